"""The runs of a study, and the hosts that they find open."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, ModelError, RunDirectoryError, TeacherError, UserError, WriteError
from ecc_fed.core.failed_run import failures_below
from ecc_fed.core.run_directory import RunDirectory, read_json, write_text
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.waiting import RayDied
from ecc_fed.runs import attempts, conclusion
from ecc_fed.runs.attempts import PlannedRun
from ecc_fed.runs.progress import OnProgress
from ecc_fed.runs.study import finished_runs, plan_study, run_study, studies


@pytest.mark.parametrize("name", sorted(studies()))
def test_every_study_composes_all_its_runs(name: str) -> None:
    own = (
        ["corpus.path=somewhere", "end_model.path=embedded"]
        if name in ("real_jddc", "real_ecd", "real_rates", "real_teacher")
        else []
    )
    own += ["end_model.path=embedded"] if name == "real_english" else []
    runs = plan_study(name, ["study.seeds=[0]", *own], allowed=["experiments"])  # all seeds compose alike
    assert len({run.name for run in runs}) == len(runs)


def test_a_study_of_real_dialogues_names_the_file_that_it_lacks() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.path has no value\. Set corpus\.path=VALUE"):
        plan_study("real_ecd", ["study.seeds=[0]"], allowed=["experiments"])


def test_studies_of_real_dialogues_ask_no_teacher_and_aggregate_before_the_last_rounds() -> None:
    for name in ("real_jddc", "real_ecd"):
        given = ["study.seeds=[0]", "corpus.path=somewhere", "end_model.path=embedded"]
        runs = {run.name: run.config for run in plan_study(name, given, allowed=["experiments"])}
        assert len(runs) == 7
        for config in runs.values():
            assert (config.evolution.reference, config.evolution.reference_rate) == ("sampled", 0.0)
            assert (config.evolution.pseudo_share, config.evolution.human_share) == (0.0, 1.0)
            assert config.arm["evaluates_base"] is False
        personalized = runs["personalized_seed0"]
        assert 0 < personalized.arm["personal_rounds"] < personalized.evolution.server_rounds


def test_a_study_of_the_users_own_is_a_file_beside_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\n# Mine.\nstudy:\n  arms: [none, local]\n  seeds: [4]\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    runs = plan_study("mine", ["corpus.num_shops=2"], [str(tmp_path)])
    assert [run.name for run in runs] == ["none_seed4", "local_seed4"]
    assert studies([str(tmp_path)])["mine"] == "Mine." and "mine" not in studies()
    with pytest.raises(
        UserError, match=r"no study mien\. Did you mean mine\? .*experiment/mien\.yaml in a folder given"
    ):
        plan_study("mien", [], [str(tmp_path)])


def test_a_users_override_reaches_every_run_of_a_study() -> None:
    runs = plan_study("quickstart", ["study.seeds=[3,4]", "corpus.num_shops=2"])
    assert {run.config.seed for run in runs} == {3, 4}
    assert {run.config.corpus["num_shops"] for run in runs} == {2}


def test_who_plans_a_study_is_told_how_far_that_is() -> None:
    told: list[tuple[int, int]] = []
    plan_study("quickstart", ["study.seeds=[3,4]", "study.arms=[none,local]"], (), (), lambda *far: told.append(far))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_arms_setting_goes_to_the_arms_that_have_it() -> None:
    runs = plan_study("quickstart", ["arm.personal_rounds=1", "evolution.server_rounds=1"])
    found = {run.config.arm["name"]: run.config.arm.get("personal_rounds") for run in runs}
    assert found == {"none": None, "retrieval": None, "local": None, "aggregated": None, "personalized": 1}
    with pytest.raises(
        ConfigError, match=r"arm\.personal_rounds=1 is a setting of none of the study's arms: none, local"
    ):
        plan_study("quickstart", ["arm.personal_rounds=1", "study.arms=[none,local]"])


def test_arms_that_aggregate_are_run_by_every_method_and_others_once() -> None:
    methods = ['+study.methods.averaged=["strategy=fedavg"]', '+study.methods.side_by_side=["adapter.shared_rank=4"]']
    chosen = ["study.arms=[local,aggregated]", "study.seeds=[0,1]"]
    runs = {run.name: run.config for run in plan_study("quickstart", [*chosen, *methods])}
    assert list(runs) == [
        "local_seed0", "aggregated_averaged_seed0", "aggregated_side_by_side_seed0",
        "local_seed1", "aggregated_averaged_seed1", "aggregated_side_by_side_seed1",
    ]  # fmt: skip
    assert (
        runs["aggregated_side_by_side_seed1"].adapter.shared_rank == 4
        and runs["local_seed0"].adapter.shared_rank is None
    )
    above = plan_study("quickstart", [*chosen, *methods, "adapter.shared_rank=2"])
    assert {run.config.adapter.shared_rank for run in above} == {2}, "what the user asks for stands above a method"


def test_a_setting_within_an_arms_setting_goes_there_too() -> None:
    runs = plan_study("quickstart", ["study.arms=[local,distilled]", "arm.queries.count=5"])
    assert [run.config.arm.get("queries", {}).get("count") for run in runs] == [None, 5]
    with pytest.raises(ConfigError, match=r"There is no setting arm\.queries\.counts"):
        plan_study("quickstart", ["study.arms=[local,distilled]", "arm.queries.counts=5"])


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Hosts opened and closed and runs made on them, without Ray or any model."""
    noted: list[Any] = []

    @contextmanager
    def open_hosts(config: RunConfig, at_least: int) -> Iterator[HostSettings]:
        noted.append(("open", config.runtime.hosts))
        yield config.runtime
        noted.append(("close", config.runtime.hosts))

    def simulate(
        config: RunConfig, directory: RunDirectory, hosts: HostSettings, on_progress: OnProgress, run_id: str
    ) -> None:
        assert directory.config.is_file(), "a run's config is there before it starts"
        assert hosts.pool == config.runtime.pool, "a run works on the hosts that it asks for"
        noted.append(str(directory.root.relative_to(Path.cwd() / "out")))

    monkeypatch.setattr(attempts, "open_hosts", open_hosts)
    monkeypatch.setattr(attempts, "simulate", simulate)
    monkeypatch.setattr(conclusion, "write_summary", lambda root: noted.append("summary"))
    return noted


@contextmanager
def unseen(title: str) -> Iterator[OnProgress]:
    yield lambda stage, done, total: None


def of_variants(*variants: str, arms: str = "local") -> list[PlannedRun]:
    given = [f'+study.variants.v{number}=["{override}"]' for number, override in enumerate(variants)]
    return plan_study("quickstart", [f"study.arms=[{arms}]", *given])


def test_each_run_is_made_on_the_hosts_that_it_asks_for_and_none_are_opened_in_vain(
    events: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_study(of_variants("runtime.hosts=1", "runtime.hosts=2", arms="none,local"), Path("out"), unseen)
    assert [event for event in events if event != "summary"] == [
        ("open", 1),
        "v0/none_seed0",
        "v0/local_seed0",
        ("close", 1),
        ("open", 2),
        "v1/none_seed0",
        "v1/local_seed0",
        ("close", 2),
    ]
    assert events.count("summary") == 4


@pytest.mark.parametrize(
    ("changes", "times_opened"),
    [
        ({"threads_per_host": 2}, 2),
        ({"gpus_per_host": 0.5}, 2),
        ({"ray_address": "auto"}, 2),
        # What a host may use is told it with every run.
        ({"shops_per_batch": 3, "host_memory_gib": 2.0, "gpu_memory_gib": 8.0, "engine": "peft"}, 1),
    ],
)
def test_hosts_are_opened_anew_for_what_they_are_made_from_alone(
    changes: dict[str, Any], times_opened: int, events: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = to_run_config(compose_run([]))
    other = replace(config, runtime=replace(config.runtime, **changes))
    runs = [PlannedRun(str(number), DictConfig({}), each) for number, each in enumerate((config, other, other))]
    run_study(runs, Path("out"), unseen)
    assert sum(event[0] == "open" for event in events) == times_opened


def test_a_folder_with_something_else_is_refused_before_any_run_starts(
    events: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = of_variants("seed=0", "corpus.num_shops=2")
    there = Path("out") / runs[-1].name / "notes.txt"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    with pytest.raises(UserError, match=r"out/v1/local_seed0 is not empty \(it holds notes\.txt\).*with --out FOLDER"):
        run_study(runs, Path("out"), unseen)
    assert events == []
    assert [path for path in Path("out").rglob("*") if path.is_file()] == [there]


def test_a_study_started_again_skips_what_is_finished_goes_on_with_what_was_stopped_and_starts_the_rest(
    events: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = plan_study("quickstart", ["study.arms=[none,local,aggregated]"])
    ids: list[tuple[str, str]] = []
    stops = True

    def simulate(config: RunConfig, directory: RunDirectory, hosts: Any, on_progress: Any, run_id: str) -> None:
        ids.append((directory.root.name, run_id))
        directory.shops.mkdir(exist_ok=True)
        if stops and len(ids) == 2:
            raise KeyboardInterrupt
        write_text(directory.run, "{}")
        write_text(directory.summary, "{}")

    monkeypatch.setattr(attempts, "simulate", simulate)
    with pytest.raises(KeyboardInterrupt):
        run_study(runs, Path("out"), unseen)
    stops = False
    assert finished_runs(runs, Path("out")) == 1 and run_study(runs, Path("out"), unseen) == ()
    assert [name for name, _ in ids] == ["none_seed0", "local_seed0", "local_seed0", "aggregated_seed0"]
    assert ids[1] == ids[2] and len({run_id for _, run_id in ids}) == 3
    assert finished_runs(runs, Path("out")) == 3 and run_study(runs, Path("out"), unseen) == () and len(ids) == 4
    other = plan_study("quickstart", ["study.arms=[none,local,aggregated]", "corpus.num_shops=2"])
    with pytest.raises(
        ConfigError, match=r"none_seed0 is the folder of a run with another config: corpus\.num_shops was"
    ):
        run_study(other, Path("out"), unseen)


def killed(runs: list[PlannedRun], out: Path, at: int) -> int:
    """Makes a study in a process of its own that is killed at its rename number `at`; returns how many there were.

    What a kill leaves changes at renames alone.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        renames, replace = 0, Path.replace

        def counted(self: Path, target: Path) -> Path:
            nonlocal renames
            renames += 1
            if renames == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(self, target)

        Path.replace = counted  # type: ignore[method-assign, assignment]
        try:
            run_study(runs, out, unseen)
            os.write(writer, str(renames).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return int(told or -1)


def test_a_study_that_was_killed_anywhere_makes_what_it_lacks_and_nothing_else(
    events: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = plan_study("quickstart", ["study.arms=[none,local,aggregated]"])
    started: list[str] = []

    def simulate(config: RunConfig, directory: RunDirectory, hosts: Any, on_progress: Any, run_id: str) -> None:
        started.append(directory.root.name)
        if config.arm["name"] == "local":
            raise TeacherError("the cloud is gone")
        for name in ("metrics.jsonl", "run.json"):
            write_text(directory.root / name, run_id)

    monkeypatch.setattr(attempts, "simulate", simulate)
    monkeypatch.setattr(conclusion, "write_summary", lambda root: write_text(root / "summary.json", "{}"))
    renames = killed(runs, Path("whole"), -1)
    assert renames > 10
    for at in sorted(random.Random(0).sample(range(1, renames + 1), 6)):
        out = Path(f"killed_{at}")
        assert killed(runs, out, at) == -1
        begun = {path.parent.name: path.read_text() for path in out.glob("*/claim.json")}
        done = {path.parent.name for path in out.glob("*/run.json")}
        started.clear()
        assert [failed.name for failed in run_study(runs, out, unseen)] == ["local_seed0"]
        assert started == [run.name for run in runs if run.name not in done], f"killed at rename {at} of {renames}"
        for path in out.glob("*/claim.json"):
            assert begun.get(path.parent.name, text := path.read_text()) == text, "it goes on, and does not start anew"
        for name in ("none_seed0", "aggregated_seed0"):
            assert RunDirectory(out / name).run.read_text() == read_json(out / name / "claim.json")["run_id"]
            assert RunDirectory(out / name).summary.is_file()


def test_a_study_gets_more_seeds_and_keeps_the_runs_that_it_has(
    events: list[Any], fails: dict[str, BaseException | None]
) -> None:
    run_study(plan_study("quickstart", ["study.arms=[none,local]"]), Path("out"), unseen)
    more = plan_study("quickstart", ["study.arms=[none,local,aggregated]", "study.seeds=[0,1]"])
    assert finished_runs(more, Path("out")) == 2
    run_study(more, Path("out"), unseen)
    names = [event for event in events if isinstance(event, str) and "_seed" in event]
    assert names == ["none_seed0", "local_seed0", "aggregated_seed0", "none_seed1", "local_seed1", "aggregated_seed1"]


@pytest.fixture
def fails(events: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseException | None]:
    """What each run of a study ends of, by its name; None: it ends well. Names are noted in `events` as they start."""
    monkeypatch.chdir(tmp_path)
    ends: dict[str, BaseException | None] = {}

    def simulate(config: RunConfig, directory: RunDirectory, hosts: Any, on_progress: Any, run_id: str) -> None:
        events.append(directory.root.name)
        if (error := ends.get(directory.root.name)) is not None:
            raise error
        write_text(directory.run, "{}")
        write_text(directory.summary, "{}")

    monkeypatch.setattr(attempts, "simulate", simulate)
    return ends


ARMS = ["none_seed0", "local_seed0", "aggregated_seed0"]


def three() -> list[PlannedRun]:
    return plan_study("quickstart", ["study.arms=[none,local,aggregated]"])


@pytest.mark.parametrize(
    "error",
    [
        TeacherError("the cloud is gone"),
        ModelError("there is no such model"),  # a user's mistake, which frees the folder
        RunDirectoryError("cannot write run.json: a number is not finite"),
        ZeroDivisionError("nobody thought of it"),
    ],
)
def test_a_run_that_fails_is_told_and_the_others_are_made(
    error: Exception, events: list[Any], fails: dict[str, BaseException | None]
) -> None:
    fails["local_seed0"] = error
    told: list[str] = []
    outcome = run_study(three(), Path("out"), unseen, lambda failed: told.append(failed.name))
    assert [event for event in events if event in ARMS] == ARMS
    # What the hosts were at when it failed is not known: the run after it gets others.
    assert events.index(("close", 0)) < events.index("aggregated_seed0")
    assert events.count(("open", 0)) == 2 == events.count(("close", 0))
    assert told == ["local_seed0"] == [failed.name for failed in outcome]
    (failed,) = outcome
    assert (failed.kind, failed.error) == (type(error).__name__, str(error))
    assert failed.exit_code == getattr(error, "exit_code", 1)
    assert ("test_study.py" in failed.traceback) == isinstance(error, ZeroDivisionError)
    assert list(failures_below(Path("out"))) == [(Path("out/local_seed0"), failed)]


def test_a_run_that_failed_is_tried_again_and_then_nothing_tells_of_it(
    events: list[Any], fails: dict[str, BaseException | None]
) -> None:
    fails["local_seed0"] = TeacherError("the cloud is gone")
    run_study(three(), Path("out"), unseen)
    first = RunDirectory(Path("out/local_seed0")).claim.read_text()
    again = run_study(three(), Path("out"), unseen)
    assert finished_runs(three(), Path("out")) == 2 and len(again) == 1
    fails.clear()
    assert run_study(three(), Path("out"), unseen) == ()
    assert events.count("local_seed0") == 3 and events.count("none_seed0") == 1
    assert RunDirectory(Path("out/local_seed0")).claim.read_text() == first, "it went on, and did not start anew"
    assert list(Path("out").rglob("*.failed.json")) == []
    assert finished_runs(three(), Path("out")) == 3 and run_study(three(), Path("out"), unseen) == ()


def test_a_run_that_failed_and_was_finished_by_itself_is_no_failure_any_more(
    fails: dict[str, BaseException | None],
) -> None:
    fails["local_seed0"] = TeacherError("the cloud is gone")
    run_study(three(), Path("out"), unseen)
    write_text(RunDirectory(Path("out/local_seed0")).run, "{}")
    assert list(failures_below(Path("out"))) == []


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), WriteError("the disk is full"), RayDied("Ray is gone"), OSError(28, "no space")]
)
def test_what_is_not_a_runs_own_failure_ends_the_study(
    error: BaseException, events: list[Any], fails: dict[str, BaseException | None]
) -> None:
    fails["local_seed0"] = error
    with pytest.raises(type(error)):
        run_study(three(), Path("out"), unseen)
    assert [event for event in events if event in ARMS] == ARMS[:2]
    assert list(failures_below(Path("out"))) == []
    fails.clear()
    assert finished_runs(three(), Path("out")) == 1 and run_study(three(), Path("out"), unseen) == ()


def test_a_broken_record_of_a_failure_is_told_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "a.failed.json"
    path.write_text('{"schema": 99, "name": "a", "kind": "E", "error": "e", "exit_code": 1, "traceback": ""}')
    with pytest.raises(RunDirectoryError, match=r"a\.failed\.json was written by another version: remove that file"):
        list(failures_below(tmp_path))
    path.write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"a\.failed\.json.*remove that file"):
        list(failures_below(tmp_path))
