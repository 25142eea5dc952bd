"""Which way a device computes."""

import torch

from ecc_fed.end_model.engines.shared.compute_plan import CPU, GPU, plan_for
from ecc_fed.end_model.engines.shared.groups import Groups


def test_the_device_alone_chooses():
    assert plan_for(torch.device("cpu")) is CPU
    assert plan_for(torch.device("cuda")) is plan_for(torch.device("cuda", 1)) is GPU


def test_a_cpu_loops_over_groups_that_have_rows_enough_and_a_gpu_never_does():
    assert CPU.loops_over(1, 1) and CPU.loops_over(2, 48) and not CPU.loops_over(2, 47)
    assert not GPU.loops_over(1, 10_000) and not GPU.loops_over(2, 10_000)
    assert Groups([0, 1], [47, 1], torch.device("cpu")).loop
    assert not Groups([0, 1], [46, 1], torch.device("cpu")).loop
