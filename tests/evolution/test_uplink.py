from dataclasses import replace

import numpy as np

from ecc_fed.core.aggregation import EVERYTHING, LORA_B, NOTHING, WHOLE, Exchange
from ecc_fed.evolution.uplink import Uplink

A, B = "m.lora_A.weight", "m.lora_B.weight"
START = {A: np.ones((2, 3), np.float32), B: np.zeros((4, 2), np.float32)}
END = {A: np.full((2, 3), 5, np.float32), B: np.ones((4, 2), np.float32)}


class Times:
    """Multiplies the step by a factor."""

    sums_only = False

    def __init__(self, factor):
        self.factor, self.seen = factor, []

    def on_device(self, update, start):
        self.seen.append(set(start))
        return replace(update, adapter={n: start[n] + self.factor * (t - start[n]) for n, t in update.adapter.items()})


def test_what_was_asked_for_leaves_in_the_adapters_own_scale():
    update = Uplink(lambda rank: 32 / rank).update("a", 3, START, END, 7, Exchange(EVERYTHING, LORA_B))
    assert (update.shop_id, update.server_round, update.num_examples, update.scale, update.rank) == ("a", 3, 7, 16.0, 2)
    assert set(update.adapter) == {B}
    assert update.adapter[B] is END[B]


def test_transforms_work_in_order_on_what_goes_up_and_on_nothing_else():
    class Plus(Times):
        def on_device(self, update, start):
            return replace(update, adapter={name: t + self.factor for name, t in update.adapter.items()})

    double, add = Times(2), Plus(10)
    update = Uplink(transforms=(double, add)).update("a", 1, START, END, 1, Exchange(EVERYTHING, LORA_B))
    assert double.seen == [{B}]
    assert np.all(update.adapter[B] == 0 + 2 * (1 - 0) + 10)


def test_where_nothing_goes_up_no_transform_sees_anything():
    double = Times(2)
    update = Uplink(transforms=(double,)).update("a", 1, START, END, 5, Exchange(EVERYTHING, NOTHING))
    assert (update.adapter, update.num_examples, double.seen) == ({}, 5, [])


def test_an_adapter_without_factors_has_no_scale():
    prefix = {"prompt_encoder.embedding.weight": np.ones((3, 4), np.float32)}
    update = Uplink(lambda rank: 1 / 0).update("a", 1, prefix, prefix, 1, WHOLE)
    assert (update.scale, update.rank) == (1.0, None)
