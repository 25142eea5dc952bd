"""What is proposed, asked and told without any run."""

import math
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.runs.tuning.space import parse_space
from ecc_fed.runs.tuning.trials import Direction, Trials, open_trials

pytest.importorskip("optuna", reason="the extra tune is not installed")
_, SPACE = parse_space(["r=tag(log,interval(1e-4,1e-2))", "w=range(1,9,2)", "c=a,b", "s=range(0.1,0.5,0.1)"])
TRIALS = 24  # ten of them at random


def scored(values: Any) -> float | None:
    return None if values["w"] == 3 else math.log10(values["r"]) + (values["c"] == "b")


def tell(trials: Trials, times: int) -> list[tuple[Any, float | None]]:
    for _ in range(times):
        trial = trials.ask()
        trials.tell(trial, scored(trial.values))
    return [(dict(trial.values), trial.result) for trial in trials.all()]


def search(out: Path, direction: Direction = "maximize", seed: int = 0) -> list[tuple[Any, float | None]]:
    out.mkdir()
    with open_trials(out, SPACE, direction, seed) as trials:
        return tell(trials, TRIALS)


def test_what_is_told_decides_what_is_proposed_in_the_direction_that_is_asked_for(tmp_path: Path) -> None:
    directions: tuple[tuple[Direction, int], ...] = (("maximize", 1), ("minimize", -1))
    for direction, sign in directions:
        (tmp_path / direction).mkdir()
        with open_trials(tmp_path / direction, SPACE, direction, 0) as trials:
            found = [sign * result for _, result in tell(trials, 60) if result is not None]
        assert sum(found[-20:]) / 20 > sum(found[:10]) / 10 + 0.3


def test_one_that_is_opened_anew_for_every_step_proposes_the_same(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    for _ in range(TRIALS):
        with open_trials(tmp_path / "cut", SPACE, "maximize", 0) as trials:
            asked = trials.ask()
        with open_trials(tmp_path / "cut", SPACE, "maximize", 0) as trials:
            again = trials.ask()
            assert again == asked and again.running
            trials.tell(again, scored(again.values))
            found = [(dict(trial.values), trial.result) for trial in trials.all()]
    assert found == whole


def test_every_value_is_of_the_space_and_every_seed_draws_others(tmp_path: Path) -> None:
    found, other = (search(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    for values, result in found:
        assert 1e-4 <= values["r"] <= 1e-2 and values["w"] in (1, 3, 5, 7) and values["c"] in ("a", "b")
        assert min(abs(values["s"] - step) for step in (0.1, 0.2, 0.3, 0.4)) < 1e-9
        assert result == scored(values), "a failed one has no result"
    rates = {values["r"] for values, _ in found}
    assert len(rates) == TRIALS and not rates & {values["r"] for values, _ in other}
