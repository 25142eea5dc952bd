"""Moments that begin later than the steps: corrected from there, and blind to how an SVD signs its factors."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.aggregation import low_rank_pairs
from ecc_fed.core.records import AdapterState, Example, FineTuneJob, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.evolution.downlink import fitted

from ..drawing import lively
from ..opening import peft_engine, shared_engine
from ..tiny_models import save_base

REPLIES = ("亲，发顺丰", "在的", "可以退", "九块九")
EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), reply) for i, reply in enumerate(REPLIES))
SETTINGS = FineTuneSettings(steps=4, batch_size=2, learning_rate=1e-2)


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    base = save_base(tmp_path_factory.mktemp("base"), "llama")
    lora = Lora(rank=3, lora_alpha=8.0, lora_dropout=0.0)
    return {"peft": peft_engine(base, lora), "shared": shared_engine(base, lora)}


def trained(engine, adapter: AdapterState, optimizer=None, seed: int = 5, **settings):
    chosen = replace(SETTINGS, **settings)
    return engine.fine_tune([FineTuneJob(adapter, optimizer, EXAMPLES, chosen, seed, decay_steps=20)])[0]


def test_moments_anew_are_a_fresh_optimizers_at_the_rate_that_the_steps_have_come_to(engines):
    for engine in engines.values():
        first = trained(engine, lively(engine.shapes, 1))
        anew = fitted(first.optimizer, first.adapter, turned=True)
        again = trained(engine, first.adapter, anew)
        fresh = trained(engine, first.adapter)
        assert all(np.array_equal(again.adapter[name], fresh.adapter[name]) for name in fresh.adapter)
        assert (float(again.optimizer["step"]), float(again.optimizer["since"])) == (8, 4)
        assert "since" not in fresh.optimizer
        on = trained(engine, again.adapter, again.optimizer, seed=6)
        plain = trained(engine, fresh.adapter, fresh.optimizer, seed=6)
        assert all(np.array_equal(on.adapter[name], plain.adapter[name]) for name in plain.adapter)
        slow = trained(engine, first.adapter, anew, linear_decay=True, steps=1)
        whole = trained(engine, first.adapter, anew, steps=1)
        for name, start in first.adapter.items():
            step = whole.adapter[name] - start
            np.testing.assert_allclose(slow.adapter[name] - start, 0.8 * step, rtol=1e-3, atol=1e-6)


def turned(adapter: AdapterState) -> dict[str, np.ndarray]:
    """The same products: ranks in another order, one with both its signs turned."""
    order, sign = [2, 0, 1], np.array([1, -1, 1], np.float32)
    found = {}
    for a, b in low_rank_pairs(adapter):
        found[a] = np.ascontiguousarray((adapter[a] * sign[:, None])[order])
        found[b] = np.ascontiguousarray((adapter[b] * sign)[:, order])
    return found


def apart(one: AdapterState, other: AdapterState) -> float:
    return max(float(np.abs(one[b] @ one[a] - other[b] @ other[a]).max()) for a, b in low_rank_pairs(one))


def test_the_signs_and_the_order_that_an_svd_gives_change_nothing_that_is_learned(engines):
    for engine in engines.values():
        first = trained(engine, lively(engine.shapes, 1))
        here, there = first.adapter, turned(first.adapter)
        assert apart(here, there) < 1e-6
        anew = fitted(first.optimizer, here, turned=True)
        assert apart(trained(engine, here, anew).adapter, trained(engine, there, anew).adapter) < 2e-4
        kept = apart(trained(engine, here, first.optimizer).adapter, trained(engine, there, first.optimizer).adapter)
        assert kept > 5e-3, "what was remembered of other numbers leads elsewhere"
