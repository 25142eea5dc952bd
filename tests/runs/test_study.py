"""The runs of a study, and the hosts that they find open."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.runs import study
from ecc_fed.runs.progress import OnProgress
from ecc_fed.runs.study import plan_study, run_study, studies


@pytest.mark.parametrize("name", sorted(studies()))
def test_every_study_composes_all_its_runs(name: str) -> None:
    runs = plan_study(name, [], allowed=["experiments"])
    assert len({run.name for run in runs}) == len(runs)


def test_a_users_override_reaches_every_run_of_a_study() -> None:
    runs = plan_study("quickstart", ["study.seeds=[3,4]", "corpus.num_shops=2"])
    assert {run.config.seed for run in runs} == {3, 4}
    assert {run.config.corpus["num_shops"] for run in runs} == {2}


def test_an_arms_setting_goes_to_the_arms_that_have_it() -> None:
    runs = plan_study("quickstart", ["arm.personal_rounds=1", "evolution.server_rounds=1"])
    found = {run.config.arm["name"]: run.config.arm.get("personal_rounds") for run in runs}
    assert found == {"none": None, "retrieval": None, "local": None, "aggregated": None, "personalized": 1}
    with pytest.raises(
        ConfigError, match=r"arm\.personal_rounds=1 is a setting of none of the study's arms: none, local"
    ):
        plan_study("quickstart", ["arm.personal_rounds=1", "study.arms=[none,local]"])


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

    monkeypatch.setattr(study, "open_hosts", open_hosts)
    monkeypatch.setattr(study, "simulate", simulate)
    monkeypatch.setattr(study, "write_summary", lambda root: noted.append("summary"))
    return noted


@contextmanager
def unseen(title: str) -> Iterator[OnProgress]:
    yield lambda stage, done, total: None


def of_variants(*variants: str, arms: str = "local") -> list[study.StudyRun]:
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
    runs = [study.StudyRun(str(number), DictConfig({}), each) for number, each in enumerate((config, other, other))]
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

    monkeypatch.setattr(study, "simulate", simulate)
    with pytest.raises(KeyboardInterrupt):
        run_study(runs, Path("out"), unseen)
    stops = False
    assert run_study(runs, Path("out"), unseen) == 1
    assert [name for name, _ in ids] == ["none_seed0", "local_seed0", "local_seed0", "aggregated_seed0"]
    assert ids[1] == ids[2] and len({run_id for _, run_id in ids}) == 3
    assert run_study(runs, Path("out"), unseen) == 3 and len(ids) == 4
    other = plan_study("quickstart", ["study.arms=[none,local,aggregated]", "corpus.num_shops=2"])
    with pytest.raises(
        ConfigError, match=r"none_seed0 is the folder of a run with another config: corpus\.num_shops was"
    ):
        run_study(other, Path("out"), unseen)
