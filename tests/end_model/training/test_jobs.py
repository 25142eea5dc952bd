"""A job's schedule, streams, and what it must bring."""

import numpy as np
import pytest

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import Example, FineTuneJob, FineTuneSettings, Turn
from ecc_fed.end_model.training.jobs import check_job, dropout_seed, learning_rate, read_optimizer

SHAPES = {"a": (2, 3), "b": (4,)}


@pytest.mark.parametrize(("decay_steps", "last"), [(None, 4), (8, 8), (3, 3)])
def test_a_decaying_rate_falls_in_a_line_to_zero_and_stays_there(decay_steps, last):
    def rates(linear_decay):
        settings = FineTuneSettings(steps=4, learning_rate=0.5, linear_decay=linear_decay)
        job = FineTuneJob({}, None, (), settings, 0, decay_steps=decay_steps)
        return [learning_rate(job, step) for step in range(last + 2)]

    assert rates(True) == pytest.approx([*(0.5 * (last - step) / last for step in range(last)), 0.0, 0.0])
    assert set(rates(False)) == {0.5}


def test_streams_of_dropout_follow_the_seed():
    assert dropout_seed(0) == dropout_seed(0) != dropout_seed(1)
    assert dropout_seed(1) != 1


def test_an_optimizer_is_read_as_it_was_and_starts_from_zero():
    fresh = read_optimizer(None, SHAPES)
    first, second = fresh.first, fresh.second
    assert fresh.steps == fresh.since == 0 and first.keys() == second.keys() == SHAPES.keys()
    assert all(
        not part[name].any() and part[name].shape == shape for part in (first, second) for name, shape in SHAPES.items()
    )
    state = {
        f"{slot}.{name}": np.full(shape, value, np.float32)
        for slot, value in (("m", 1), ("v", 2))
        for name, shape in SHAPES.items()
    }
    kept = read_optimizer({**state, "step": np.array(7.0, np.float32)}, SHAPES)
    assert (kept.steps, kept.since) == (7, 0) and (kept.first["b"] == 1).all() and (kept.second["b"] == 2).all()
    assert kept.after(3) == {"step": 10.0}
    later = read_optimizer({**state, "step": np.array(7.0), "since": np.array(4.0)}, SHAPES)
    assert (later.steps, later.since) == (7, 4) and later.after(3) == {"step": 10.0, "since": 4.0}
    with pytest.raises(ModelError, match="has no step"):
        read_optimizer(state, SHAPES)
    with pytest.raises(ModelError, match=r"has no v\.b of shape \(5,\)"):
        read_optimizer({**state, "m.b": np.zeros(5), "step": np.zeros(())}, {"b": (5,)})


def test_steps_need_examples():
    check_job(FineTuneJob({}, None, (), FineTuneSettings(steps=0), 0))
    check_job(FineTuneJob({}, None, (Example((Turn("customer", "问"),), "答"),), FineTuneSettings(steps=1), 0))
    with pytest.raises(ConfigError, match="at least one example"):
        check_job(FineTuneJob({}, None, (), FineTuneSettings(steps=1), 0))
