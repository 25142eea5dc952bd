"""Which way a device computes."""

import sys

import pytest
import torch

from ecc_fed.end_model.engines.shared.compute_plan import CPU, GPU_PLAIN, gpu_plan, plan_for
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.row_functions import PLAIN


@pytest.fixture
def capability(monkeypatch):
    """Stands in for a GPU's."""
    found = [(9, 0)]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: found[0])
    gpu_plan.cache_clear()
    yield found
    gpu_plan.cache_clear()


def test_the_device_alone_chooses(capability):
    assert plan_for(torch.device("cpu")) is CPU
    plan = plan_for(torch.device("cuda"))
    assert plan is plan_for(torch.device("cuda", 0))
    assert plan.grouped is not None and plan.grouped is not GPU_PLAIN.grouped
    assert plan.one_launch == (torch.bfloat16,)  # torch's kernels take nothing else


def test_a_gpu_without_a_grouped_kernel_pads(capability):
    """torch itself would loop there, and wait for the GPU in every product."""
    capability[0] = (8, 6)
    assert plan_for(torch.device("cuda")).grouped is None


def test_a_gpu_without_triton_says_that_it_is_slower(capability, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "ecc_fed.end_model.engines.shared.row_kernels", raising=False)
    assert plan_for(torch.device("cuda")).rows is PLAIN
    assert "without fused kernels, which is slower: triton cannot be imported" in caplog.text


def test_a_cpu_loops_over_groups_that_have_rows_enough_and_a_gpu_never_does():
    assert CPU.loops_over(1, 1) and CPU.loops_over(2, 48) and not CPU.loops_over(2, 47)
    assert not GPU_PLAIN.loops_over(1, 10_000) and not GPU_PLAIN.loops_over(2, 10_000)
    assert Groups([0, 1], [47, 1], torch.device("cpu")).loop
    assert not Groups([0, 1], [46, 1], torch.device("cpu")).loop
