from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate
from ecc_fed.federation.aggregation.averaging import update_norm, weighted_mean
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.product_error import product_error
from ecc_fed.federation.aggregation.weights import ByExamples, Uniform
from tests.federation.aggregation.adapters import pair


def updates(scales: list[float], counts: list[int], rank: int = 2) -> list[AdapterUpdate]:
    rng = np.random.default_rng(len(scales))
    return [
        AdapterUpdate(f"shop_{i}", 1, pair(rng, 7, 6, rank), count, scale)
        for i, (scale, count) in enumerate(zip(scales, counts, strict=True))
    ]


def test_the_aggregate_of_one_is_that_one_bit_for_bit():
    (only,) = updates([4.0], [9])
    state, report = FedAvg().aggregate(FedAvg().start(), [only])
    assert all(np.array_equal(state.adapter[name], only.adapter[name]) for name in only.adapter)
    assert report.relative_error == 0.0


def test_all_shops_are_sent_the_mean_by_examples():
    given = updates([4.0, 4.0, 4.0], [1, 5, 0])
    method = FedAvg()
    assert method.downlink(method.start(), "shop_0") is None
    state, _ = method.aggregate(method.start(), given)
    mean = weighted_mean([update.adapter for update in given], [1, 5, 0])
    assert all(np.array_equal(state.adapter[name], mean[name]) for name in mean)
    assert method.downlink(state, "shop_0") is method.downlink(state, "shop_2") is state.adapter
    assert method.exchange(7) == WHOLE


def test_weights_are_a_setting():
    given = updates([4.0, 4.0], [1, 5])
    assert (ByExamples()(given), Uniform()(given)) == ([1.0, 5.0], [1.0, 1.0])
    state, report = FedAvg(Uniform()).aggregate(FedAvg().start(), given)
    mean = weighted_mean([update.adapter for update in given], [1, 1])
    assert all(np.array_equal(state.adapter[name], mean[name]) for name in mean)
    error = product_error(mean, 4.0, [update.adapter for update in given], [4.0, 4.0], [1, 1])
    assert (report.relative_error, report.module_errors) == (error.total, error.modules)


def test_the_report_says_what_the_mean_cost_where_scales_differ():
    given = updates([4.0, 8.0], [1, 3], rank=3)
    method = FedAvg()
    first, report = method.aggregate(method.start(), given)
    error = product_error(first.adapter, 7.0, [u.adapter for u in given], [4.0, 8.0], [1, 3])
    assert report.relative_error == pytest.approx(error.total, rel=1e-12)
    assert report.ranks == {"shop_0": 3, "shop_1": 3}
    assert report.aggregate_rank == 3
    assert report.update_bytes == {"shop_0": 4 * 3 * (7 + 6), "shop_1": 4 * 3 * (7 + 6)}
    assert report.update_norm is None
    second, report = method.aggregate(first, given[:1])
    assert report.update_norm == update_norm(second.adapter, first.adapter) > 0
    more = replace(given[0], adapter={**given[0].adapter, "norm.weight": np.ones(2, np.float32)})
    assert method.aggregate(first, [more])[1].update_norm is None, "there is nothing to subtract from it"
