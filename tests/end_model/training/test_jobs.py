"""What every engine asks of a job."""

from typing import Any

import pytest

from ecc_fed.core.records import FineTuneJob, FineTuneSettings
from ecc_fed.end_model.training.jobs import learning_rate


def job(decay_steps: int | None = None, **settings: Any) -> FineTuneJob:
    return FineTuneJob({}, None, (), FineTuneSettings(**{"steps": 4, **settings}), 0, decay_steps=decay_steps)


@pytest.mark.parametrize(("decay_steps", "last"), [(None, 4), (8, 8), (3, 3)])
def test_a_decaying_rate_falls_in_a_line_to_zero_and_stays_there(decay_steps: int | None, last: int) -> None:
    tuned = job(decay_steps, learning_rate=0.5, linear_decay=True)
    rates = [learning_rate(tuned, step) for step in range(last + 2)]
    assert rates == pytest.approx([*(0.5 * (last - step) / last for step in range(last)), 0.0, 0.0])
    constant = job(decay_steps, learning_rate=0.5)
    assert {learning_rate(constant, step) for step in range(last + 2)} == {0.5}
