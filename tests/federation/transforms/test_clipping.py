import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.aggregation.averaging import update_norm
from ecc_fed.federation.transforms.clipping import ClipUpdate
from tests.federation.fakes import A, make_adapter


def updated(seed: int, size: float) -> tuple[AdapterUpdate, dict[str, np.ndarray]]:
    start, target = make_adapter("start", seed), make_adapter("end", seed)
    end = {name: (tensor + size * (target[name] - tensor)).astype(np.float32) for name, tensor in start.items()}
    return AdapterUpdate("a", 1, end, 3, 2.0), start


def test_a_huge_bound_changes_nothing():
    update, start = updated(0, 1.0)
    assert ClipUpdate(1e9).on_device(update, start) is update
    exactly = ClipUpdate(update_norm(update.adapter, start))
    assert exactly.on_device(update, start) is update


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.floats(0.1, 30), bound=st.floats(1e-3, 0.3))
def test_after_clipping_the_norm_is_the_bound_and_the_direction_the_same(seed, size, bound):
    update, start = updated(seed, size)
    clipped = ClipUpdate(bound).on_device(update, start)
    assert update_norm(clipped.adapter, start) == pytest.approx(bound, rel=1e-2, abs=3e-6)
    factor = bound / update_norm(update.adapter, start)
    for name, tensor in clipped.adapter.items():
        step = update.adapter[name].astype(np.float64) - start[name]
        np.testing.assert_allclose(tensor - start[name].astype(np.float64), factor * step, atol=1e-6)
    assert (clipped.shop_id, clipped.num_examples, clipped.scale) == ("a", 3, 2.0)


def test_a_bound_by_hand():
    start = {A: np.zeros((1, 2), np.float32)}
    update = AdapterUpdate("a", 1, {A: np.array([[3, 4]], np.float32)}, 1)
    clipped = ClipUpdate(2.5).on_device(update, start).adapter[A]
    np.testing.assert_allclose(clipped, [[1.5, 2.0]], rtol=1e-7)
    assert clipped.dtype == np.float32


def test_the_server_changes_nothing_and_sees_every_update():
    update, _ = updated(1, 1.0)
    assert ClipUpdate(0.1).on_server([update]) == [update]
    assert ClipUpdate(0.1).sums_only is False


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_out_of_range_is_refused(bound):
    with pytest.raises(ConfigError, match=rf"update.clip.clipping_norm={bound} is out of range: above 0"):
        ClipUpdate(bound)
