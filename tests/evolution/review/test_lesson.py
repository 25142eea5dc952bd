"""A lesson's fine-tuning is the run's, but for its steps and its constant rate."""

from dataclasses import replace
from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import FineTuneSettings
from ecc_fed.evolution.review.lesson import Lesson

RUN = FineTuneSettings(steps=50, batch_size=3, learning_rate=4e-3, linear_decay=True, weight_decay=0.1)


def test_a_lesson_takes_a_quarter_of_the_runs_rate_and_does_not_decay() -> None:
    assert Lesson(steps=5).fine_tune(RUN) == replace(RUN, steps=5, learning_rate=1e-3, linear_decay=False)


def test_a_rate_of_its_own_wins() -> None:
    assert Lesson(learning_rate=0.5).fine_tune(RUN).learning_rate == 0.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, r"chat\.steps=0 is out of range: 1 or more"),
        ({"learning_rate": 0.0}, r"chat\.learning_rate=0\.0 is out of range: between 0 and 1, or null"),
        ({"learning_rate": 1.0}, r"chat\.learning_rate=1\.0 is out of range"),
        ({"label_share": 0.0}, r"chat\.label_share=0\.0 is out of range: above 0, at most 1"),
        ({"label_share": 1.1}, r"chat\.label_share=1\.1 is out of range"),
    ],
)
def test_a_lesson_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Lesson(**changed)


def test_a_whole_lesson_may_be_labels() -> None:
    assert Lesson(label_share=1.0).label_share == 1.0
