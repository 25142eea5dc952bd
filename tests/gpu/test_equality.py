"""On a card, the shared engine against peft on the same card, and against its own plain forms on the CPU."""

import numpy as np
import pytest
import torch

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.records import Decoding, FineTuneJob, FineTuneSettings, LikelihoodRequest, ReplyRequest
from ecc_fed.end_model.adapters.low_rank import Lora, RsLora
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.training.record_privacy import RecordPrivacy

from ..end_model.drawing import lively
from ..end_model.engines.shared.test_gpu_way import EXAMPLES, jobs_for, of_update
from ..end_model.engines.shared.test_narrow_training import EXAMPLES as PAIRS
from .plain_copy import plain_copy

# Of the update after 20 steps of AdamW; bf16 where steps follow the gradient.
FP32, BF16 = 1e-3, 2e-2
IN_PROPORTION = {"epsilon": 1.0, "learning_rate": 0.1}


@pytest.fixture
def engines(base, card, plan):
    def pair(settings, quantization="none", path=base):
        return (
            PeftEngine(load_base(path, quantization, str(card)), settings),
            SharedEngine(load_base(path, quantization, str(card)), settings, plan=plan),
        )

    return pair


@pytest.mark.parametrize(("kind", "epsilon"), [(Lora, 1e-8), (RsLora, 1e-4)])
def test_ranks_side_by_side_equal_peft_in_fp32(base, card, engines, kind, epsilon):
    ranks = (2, 4, 3)
    _, shared = engines(kind(4, 16.0, lora_dropout=0.0))
    jobs = jobs_for(shared, ranks, epsilon=epsilon)
    for job, rank, found in zip(jobs, ranks, shared.fine_tune(jobs), strict=True):
        peft = PeftEngine(load_base(base, "none", str(card)), kind(rank, 16.0, lora_dropout=0.0))
        (expected,) = peft.fine_tune([job])
        assert found.losses == pytest.approx(expected.losses, abs=1e-3)
        assert of_update(expected.adapter, found.adapter, job.adapter) < FP32


@pytest.mark.parametrize("gradient", [None, RecordPrivacy(0.3, 0.5)], ids=["clipped", "record privacy"])
def test_training_of_the_embedded_model_equals_peft_in_fp32(engines, gradient):
    peft, shared = engines(Lora(8, lora_dropout=0.0), path=str(EMBEDDED))
    for expected, found, job in trained(peft, shared, gradient):
        assert found.losses == pytest.approx(expected.losses, abs=1e-3)
        assert of_update(expected.adapter, found.adapter, job.adapter) < FP32


@pytest.mark.parametrize("quantization", ["bf16", "nf4", "int8"])
@pytest.mark.parametrize("gradient", [None, RecordPrivacy(0.3, 0.5)], ids=["clipped", "record privacy"])
def test_training_over_a_narrow_base_is_that_of_peft_in_fp32_on_its_weights(
    card, plan, tmp_path, quantization, gradient
):
    if quantization != "bf16":
        pytest.importorskip("bitsandbytes")
    settings, path = Lora(8, lora_dropout=0.0), str(EMBEDDED)
    peft = PeftEngine(load_base(plain_copy(path, quantization, card, tmp_path), "none", str(card)), settings)
    shared = SharedEngine(load_base(path, quantization, str(card)), settings, plan=plan)
    for expected, found, job in trained(peft, shared, gradient, **IN_PROPORTION):
        assert found.losses == pytest.approx(expected.losses, abs=0.15)
        assert of_update(expected.adapter, found.adapter, job.adapter) < BF16


def trained(peft, shared, gradient, **chosen):
    settings = FineTuneSettings(steps=20, batch_size=2, **chosen)
    jobs = [FineTuneJob(peft.new_adapter(seed), None, PAIRS, settings, seed, gradient=gradient) for seed in range(2)]
    return zip(peft.fine_tune(jobs), shared.fine_tune(jobs), jobs, strict=True)


@pytest.mark.parametrize("quantization", ["none", "bf16"])
def test_masks_are_those_of_the_plain_forms_on_the_cpu(base, engines, quantization):
    """A shop's masks are its own on every device that counts."""
    settings = Lora(4, lora_dropout=0.3)
    _, shared = engines(settings, quantization)
    plain = SharedEngine(load_base(base, quantization, "cpu"), settings, plan=GPU_PLAIN)
    jobs = jobs_for(shared, (4, 2), **({} if quantization == "none" else IN_PROPORTION))
    for job, expected, found in zip(jobs, plain.fine_tune(jobs), shared.fine_tune(jobs), strict=True):
        assert of_update(expected.adapter, found.adapter, job.adapter) < (FP32 if quantization == "none" else BF16)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_shop_gets_the_same_alone_and_in_company_with_dropout_on(engines, quantization):
    if quantization == "nf4":
        pytest.importorskip("bitsandbytes")
    _, shared = engines(Lora(4, lora_dropout=0.3), quantization)
    jobs = jobs_for(shared, (4, 2, 6), **({} if quantization == "none" else IN_PROPORTION))
    together = shared.fine_tune(jobs)
    for job, whole in zip(jobs, together, strict=True):
        (alone,) = shared.fine_tune([job])
        assert of_update(alone.adapter, whole.adapter, job.adapter) < (FP32 if quantization == "none" else BF16)
        assert np.isfinite(whole.losses).all()


def test_replies_and_likelihoods_equal_peft(engines):
    peft, shared = engines(Lora(4, lora_dropout=0.0))
    states = [lively(peft.shapes, shop) for shop in range(3)]
    asked = [LikelihoodRequest(state, EXAMPLES) for state in (*states, None)]
    for left, right in zip(peft.likelihood(asked), shared.likelihood(asked), strict=True):
        for one, other in zip(left, right, strict=True):
            assert other.nll_nats == pytest.approx(one.nll_nats, rel=1e-3, abs=1e-3)
    prompts = tuple(example.prompt for example in EXAMPLES)
    requests = [ReplyRequest(state, prompts, Decoding(max_new_tokens=8, sample=False), 0) for state in (*states, None)]
    assert shared.reply(requests) == peft.reply(requests)


def test_torch_gives_what_the_kernels_need(card):
    """Told in words, so that whoever runs this knows which way was tested."""
    from ecc_fed.end_model.engines.shared.compute_plan import plan_for

    plan = plan_for(card)
    print(f"torch {torch.__version__} on {card}: grouped={plan.grouped} varlen={plan.varlen} rows={plan.rows.swiglu}")
    assert plan.rows is not None
