"""A search asks and tells: what it finds, how it goes on, and what it refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, RunDirectoryError, UserError, WriteError
from ecc_fed.core.failed_run import failures_below
from ecc_fed.core.folder_lock import sole_writer
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs.progress import OnProgress
from ecc_fed.runs.tuning.search import Result, Search, plan_search, run_search
from tests.runs.tuning.fakes import fake_runs, peak

optuna = pytest.importorskip("optuna", reason="the extra tune is not installed")

SPACE = ["finetune.steps=range(10,60,10)", "finetune.learning_rate=tag(log,interval(1e-4,1e-2))"]


@contextmanager
def unseen(title: str) -> Iterator[OnProgress]:
    yield lambda stage, done, total: None


def planned(*overrides: str, metric: str = "score", direction: Any = "maximize") -> Search:
    return plan_search(metric, direction, [*SPACE, *overrides], (), ())


def run(found: Search, out: Path, trials: int) -> list[Result]:
    return run_search(found, out, trials, unseen, lambda result: None)


def told(results: list[Result]) -> list[tuple[tuple[str, ...], float | None]]:
    return [(result.overrides, result.trial.result) for result in results]


def test_each_trial_is_a_run_of_its_own_and_is_told_what_its_run_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: dict[tuple[int, float], float] = {}

    def score(config: RunConfig) -> float:
        return scored.setdefault((config.finetune.steps, config.finetune.learning_rate), peak(config))

    started = fake_runs(monkeypatch, score)
    results = run(planned(), tmp_path / "out", 4)
    assert started == ["trial_000", "trial_001", "trial_002", "trial_003"]
    assert len({result.overrides for result in results}) == 4
    for result in results:
        values = result.trial.values
        assert result.trial.result == scored[values["finetune.steps"], values["finetune.learning_rate"]]
        assert 1e-4 <= values["finetune.learning_rate"] <= 1e-2 and values["finetune.steps"] in (10, 20, 30, 40, 50)
        text = RunDirectory(tmp_path / "out" / result.trial.name).config.read_text()
        assert f"steps: {values['finetune.steps']}\n" in text
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{tmp_path}/out/tune.sqlite")
    assert [trial.value for trial in study.trials] == [result.trial.result for result in results]


def test_the_seed_decides_what_is_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runs(monkeypatch, peak)
    a, b, other = (
        told(run(planned(f"seed={seed}"), tmp_path / name, 3)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert a == b
    assert not {overrides for overrides, _ in a} & {overrides for overrides, _ in other}


def test_a_search_that_was_stopped_goes_on_as_if_it_never_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_runs(monkeypatch, peak)
    undisturbed = told(run(planned(), tmp_path / "undisturbed", 5))
    stop_at = {2: KeyboardInterrupt(), 4: WriteError("the disk is full")}
    count = 0

    def stopping(config: RunConfig) -> float:
        nonlocal count
        count += 1
        if (error := stop_at.pop(count, None)) is not None:
            raise error
        return peak(config)

    started = fake_runs(monkeypatch, stopping)
    for error in (KeyboardInterrupt, WriteError):
        with pytest.raises(error):
            run(planned(), tmp_path / "stopped", 5)
    assert told(run(planned(), tmp_path / "stopped", 4)) == undisturbed[:4]
    assert told(run(planned(), tmp_path / "stopped", 5)) == undisturbed, "more trials are added to those that are there"
    assert started.count("trial_001") == 2 and len(started) == 7 and len(set(started)) == 5
    assert run(planned(), tmp_path / "stopped", 3) and len(started) == 7, "nothing is left to do"


def test_a_run_that_ended_before_it_could_be_told_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = fake_runs(monkeypatch, peak)
    undisturbed = told(run(planned(), tmp_path / "undisturbed", 2))
    monkeypatch.setattr("ecc_fed.runs.tuning.search._result", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(planned(), tmp_path / "stopped", 2)
    monkeypatch.undo()
    again = fake_runs(monkeypatch, peak)
    assert told(run(planned(), tmp_path / "stopped", 2)) == undisturbed
    assert started == ["trial_000", "trial_001", "trial_000"] and again == ["trial_001"]


def test_a_trial_that_fails_is_told_as_failed_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(config: RunConfig) -> float | None:
        if config.finetune.steps >= 40:
            raise RunDirectoryError("a number is not finite")
        return None if config.finetune.learning_rate < 1e-3 else peak(config)

    fake_runs(monkeypatch, score)
    out = tmp_path / "out"
    results = run(planned(), out, 8)
    for result in results:
        steps = result.trial.values["finetune.steps"]
        unmeasured = "it measured no score" if result.trial.values["finetune.learning_rate"] < 1e-3 else None
        expected = "a number is not finite" if steps >= 40 else unmeasured
        assert result.error == expected
        assert (result.trial.result is None) == (expected is not None)
    assert len({result.error for result in results}) == 3, "all three kinds were drawn"
    states = {
        trial.state.name
        for trial in optuna.load_study(study_name="tune", storage=f"sqlite:///{out}/tune.sqlite").trials
    }
    assert states == {"COMPLETE", "FAIL"}
    failed = {failed.name for _, failed in failures_below(out)}
    assert failed == {result.trial.name for result in results if result.error == "a number is not finite"}


def test_a_folder_is_one_searchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = fake_runs(monkeypatch, peak)
    out = tmp_path / "out"
    run(planned(), out, 1)
    for other, message in (
        (planned("corpus.num_shops=2"), r"of another search: overrides .*, and here .*corpus\.num_shops=2"),
        (planned(direction="minimize"), "of another search: direction maximize, and here minimize"),
        (planned(metric="other.mean"), "a search for score, and not for other.mean"),
    ):
        with pytest.raises(UserError, match=message):
            run(other, out, 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds notes\.txt.*no search"):
        run(planned(), tmp_path / "mine", 1)
    with sole_writer(out, "", ""), pytest.raises(UserError, match="a search is under way there"):
        run(planned(), out, 2)
    assert started == ["trial_000"]


def test_a_mistyped_metric_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = fake_runs(monkeypatch, peak)
    with pytest.raises(UserError, match=r"no number scor\. Near it: score"):
        run(planned(metric="scor"), tmp_path / "out", 2)
    assert len(run(planned(), tmp_path / "out", 2)) == 2
    assert started == ["trial_000", "trial_001"]


def test_a_setting_that_is_wrong_at_an_end_of_its_range_is_refused_before_any_run() -> None:
    with pytest.raises(ConfigError, match=r"finetune\.batch_size"):
        plan_search("score", "maximize", ["finetune.batch_size=range(0,8)"], (), ())
    with pytest.raises(ConfigError, match=r"There is no setting finetune\.stepz"):
        plan_search("score", "maximize", ["finetune.stepz=range(1,8)"], (), ())
