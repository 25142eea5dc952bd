"""The aggregation benchmark in small: every method, and that no upload is held whole."""

import numpy as np
import pytest

from ecc_fed.core.aggregation import WHOLE
from experiments.benchmarks.aggregation import METHODS, NAIVE, QUICK, measure, uploads


@pytest.mark.parametrize("method", [NAIVE, *METHODS])
def test_every_method_is_measured(method):
    found = measure(method, 3, {"q_proj": (16, 16), "k_proj": (8, 16)}, 1)
    assert found["seconds"] > 0
    exact = method in ("ffa_lora", "rolora", "fedsvd", "flora", "fedex_lora")
    assert (found["relative_error"] is not None and found["relative_error"] < 1e-6) == exact


def test_an_upload_has_its_own_numbers_and_all_tensors_of_its_modules():
    modules, layers = QUICK
    first, second = (update.adapter for update in uploads(2, modules, layers, WHOLE))
    assert len(first) == 2 * len(modules) * layers
    assert {tensor.shape for tensor in first.values()} == {(8, 256), (256, 8), (32, 8)}
    assert not any(np.array_equal(first[name], second[name]) for name in first)
