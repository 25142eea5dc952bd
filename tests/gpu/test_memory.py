"""On a card, passes are sized by the budget, the same every time, and hold within it."""

import pytest
import torch

from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.hosts.memory import GIB
from ecc_fed.hosts.meters import GpuMeter
from ecc_fed.hosts.pass_size import measure_passes

from ..end_model.engines.shared.test_gpu_way import jobs_for

pytestmark = pytest.mark.card_only


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_the_measured_passes_are_the_same_every_time_and_fit(base, quantization):
    if quantization == "nf4":
        pytest.importorskip("bitsandbytes")
    engine = SharedEngine(load_base(base, quantization, "cuda"), Lora(4))
    (job,) = jobs_for(engine, (4,), steps=1)
    meter = GpuMeter(2 * GIB)
    first, second = (measure_passes(engine, job, meter, 8, None, "") for _ in range(2))
    assert (first.shops, first.tokens) == (second.shops, second.tokens)
    engine.training_tokens = first.tokens
    peak = meter.peak_bytes(lambda: engine.trial_pass(job, first.shops, first.tokens))
    assert peak <= meter.budget_bytes


def test_a_token_costs_the_same_in_a_large_pass_as_in_the_trial(base):
    """What the sizing rests on: memory grows by tokens in a straight line."""
    engine = SharedEngine(load_base(base, "bf16", "cuda"), Lora(4))
    (job,) = jobs_for(engine, (4,), steps=1)
    meter = GpuMeter(int(torch.cuda.get_device_properties(0).total_memory))
    few, more, most = (meter.peak_bytes(lambda t=t: engine.trial_pass(job, 1, t)) for t in (256, 768, 4096))
    predicted = few + (more - few) / 512 * (4096 - 256)
    assert most <= 1.1 * predicted + 64 * 2**20
