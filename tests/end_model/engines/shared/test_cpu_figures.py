"""What a CPU has always computed: recorded figures rest on its masks and on its arithmetic."""

import hashlib

import numpy as np
import pytest
import torch

from ecc_fed.end_model.engines.shared.compute_plan import CPU, plan_for
from ecc_fed.end_model.engines.shared.dropout import StreamDropout

from ...tiny_models import build_model
from .test_gpu_way import trained


def test_a_cpus_masks_are_those_of_the_recorded_runs():
    dropout, found = StreamDropout(0.1, [5, 6], torch.device("cpu")), hashlib.sha256()
    for sizes, width in (([3, 40], 32), ([1, 7], 48)):
        for mask in dropout.draw(sizes, width, 2):
            found.update(mask.numpy().tobytes())
    assert found.hexdigest().startswith("2961375903127be1")


def test_a_cpus_results_are_those_of_the_recorded_runs():
    """fp64, so that no processor's rounding shows; with dropout."""
    assert plan_for(torch.device("cpu")) is CPU
    (result,) = trained(build_model("llama").double(), None, (4,), 0.2)
    some = np.concatenate([result.adapter[name].reshape(-1)[:2] for name in sorted(result.adapter)]).astype(np.float64)
    assert result.losses == pytest.approx((5.914984996455773, 5.713461202730901, 5.5237958578488096), abs=1e-9)
    assert (some.sum(), np.abs(some).sum()) == pytest.approx((-0.3827498808968812, 3.8612198017071933), abs=1e-6)
