"""The way that a GPU computes, by its plain forms on the CPU: what it must equal, and what it must not keep."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ecc_fed.core.records import Example, FineTuneJob, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Lora, RsLora
from ecc_fed.end_model.engines.shared.adapter_banks import AdapterBanks, read_results
from ecc_fed.end_model.engines.shared.compute_plan import CPU as CPU_PLAN
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.engines.shared.training import train_batch
from ecc_fed.end_model.training.examples import EncodedExample
from ecc_fed.end_model.training.record_privacy import RecordPrivacy

from ...drawing import lively
from ...opening import peft_engine, shared_engine
from ...tiny_models import FAMILIES, build_model

CPU = torch.device("cpu")
EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i % 5)),), "答" * (1 + i % 4)) for i in range(7))
ENCODED = [EncodedExample([(7 * i + 3 * place + 4) % 200 for place in range(5 + 2 * i)], 3 + i) for i in range(5)]
# Of the update after 20 steps of AdamW.
FP32_GATE = 1e-3


def of_update(expected, found, start):
    """||found - expected|| over the norm of the update."""
    error = sum(float(((expected[name] - found[name]) ** 2).sum()) for name in expected)
    return (error / sum(float(((expected[name] - start[name]) ** 2).sum()) for name in expected)) ** 0.5


def jobs_for(engine, ranks, steps=20, **settings):
    return [
        FineTuneJob(
            lively(engine.banks.layout(rank).shapes(), shop),
            None,
            EXAMPLES[shop:],
            FineTuneSettings(steps=steps, batch_size=2 + shop, **settings),
            shop,
        )
        for shop, rank in enumerate(ranks)
    ]


def trained(model, plan, ranks, dropout=0.0, gradient=None, batch_tokens=4096, alone=None, targets="all-linear"):
    """fp64 results of three steps for shops of these ranks, or of one of them by itself."""
    base = take_apart(model, CPU, plan=plan)
    banks = AdapterBanks(base, Lora(4, lora_dropout=dropout, target_modules=targets))
    jobs = []
    for shop, rank in enumerate(ranks):
        settings = FineTuneSettings(steps=3, batch_size=2, weight_decay=0.01, clipping_norm=0.3 + shop)
        adapter = lively(banks.layout(rank).shapes(), shop)
        jobs.append(FineTuneJob(adapter, None, EXAMPLES[: len(ENCODED)], settings, shop, gradient=gradient))
    chosen = jobs if alone is None else [jobs[alone]]
    shop_jobs, bank = banks.train(chosen, [ENCODED] * len(chosen))
    train_batch(base, bank, shop_jobs, dropout, batch_tokens)
    return read_results(bank, shop_jobs)


def furthest(left, right):
    """The largest difference between two results' adapters and losses."""
    adapters = max(np.abs(left.adapter[name] - right.adapter[name]).max() for name in right.adapter)
    return max(adapters, np.abs(np.subtract(left.losses, right.losses)).max())


@pytest.mark.parametrize("gradient", [None, RecordPrivacy(0.2, 0.5)], ids=["clipped", "record privacy"])
@pytest.mark.parametrize("family", FAMILIES)
def test_in_fp64_it_equals_the_cpus_way(family, gradient):
    """Mixed ranks, several passes a step, sequences beyond a window where a family has one.

    `read_results` rounds to fp32, which is all that may differ.
    """
    for batch_tokens in (30, 4096):
        both = [
            trained(build_model(family).double(), plan, (2, 4, 9), gradient=gradient, batch_tokens=batch_tokens)
            for plan in (CPU_PLAN, GPU_PLAIN)
        ]
        for plain, other in zip(*both, strict=True):
            assert furthest(plain, other) < 1e-6
            assert other.losses == pytest.approx(plain.losses, abs=1e-9)


# Of twice the scale and more, rsLoRA's runs are unstable where a tiny gradient decides a whole step.
@pytest.mark.parametrize(("kind", "epsilon"), [(Lora, 1e-8), (RsLora, 1e-4)])
def test_in_fp32_it_equals_peft_to_1e_3_of_the_update(llama, kind, epsilon):
    ranks, alpha = (2, 4, 3), 16.0
    shared = shared_engine(llama, kind(4, alpha, lora_dropout=0.0), plan=GPU_PLAIN)
    jobs = jobs_for(shared, ranks, epsilon=epsilon)
    for job, rank, found in zip(jobs, ranks, shared.fine_tune(jobs), strict=True):
        expected = peft_engine(llama, kind(rank, alpha, lora_dropout=0.0)).fine_tune([job])[0]
        assert found.losses == pytest.approx(expected.losses, abs=1e-4)
        assert of_update(expected.adapter, found.adapter, job.adapter) < FP32_GATE


def test_in_fp32_record_privacy_equals_peft_to_1e_3_of_the_update(llama):
    settings = Lora(4, lora_dropout=0.0)
    shared, peft = shared_engine(llama, settings, plan=GPU_PLAIN), peft_engine(llama, settings)
    jobs = [replace(job, gradient=RecordPrivacy(0.3, 0.5)) for job in jobs_for(shared, (4, 4))]
    for job, expected, found in zip(jobs, peft.fine_tune(jobs), shared.fine_tune(jobs), strict=True):
        assert found.losses == pytest.approx(expected.losses, abs=1e-4)
        assert of_update(expected.adapter, found.adapter, job.adapter) < FP32_GATE


@pytest.mark.parametrize("targets", ["all-linear", ("o_proj", "up_proj")])
@pytest.mark.parametrize("gradient", [None, RecordPrivacy(0.2, 0.0)], ids=["clipped", "record privacy"])
def test_with_dropout_a_shop_gets_the_same_alone_and_in_any_company(gradient, targets):
    model = lambda: build_model("llama").double()  # noqa: E731
    ranks = (2, 4, 3)
    together = trained(model(), GPU_PLAIN, ranks, 0.3, gradient, targets=targets)
    for batch_tokens in (1, 40):
        for whole, part in zip(
            together, trained(model(), GPU_PLAIN, ranks, 0.3, gradient, batch_tokens, targets=targets), strict=True
        ):
            assert furthest(whole, part) < 1e-6
    for shop in range(len(ranks)):
        (own,) = trained(model(), GPU_PLAIN, ranks, 0.3, gradient, alone=shop, targets=targets)
        assert furthest(together[shop], own) < 1e-6
    without = trained(model(), GPU_PLAIN, ranks, 0.0, gradient, targets=targets)
    assert furthest(together[0], without[0]) > 1e-3


def test_stacks_without_adapters_draw_no_masks_and_keep_no_input():
    """Of what autograd keeps, nothing is as wide as the down projection's input, and norms keep their input alone."""
    model = build_model("llama")
    width = model.config.intermediate_size
    base = take_apart(model, CPU, torch.bfloat16, GPU_PLAIN)
    banks = AdapterBanks(base, Lora(4, lora_dropout=0.3, target_modules=("q_proj", "v_proj")))
    job = FineTuneJob(lively(banks.layout(4).shapes(), 0), None, EXAMPLES[:5], FineTuneSettings(steps=2), 0)
    shop_jobs, bank = banks.train([job], [ENCODED])
    kept, drawn = [], []

    def drop(x, key):
        drawn.append((key.step, key.site))
        return GPU_PLAIN.rows.drop(x, key)

    base.plan = replace(GPU_PLAIN, rows=replace(GPU_PLAIN.rows, drop=drop))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        train_batch(base, bank, shop_jobs, 0.3, 4096)
    wide = [tensor.shape[-1] for tensor in kept if tensor.dim() == 2]
    assert wide.count(2 * width) == 2 * 2 and width not in wide
    assert all(tensor.dtype == torch.bfloat16 for tensor in kept if tensor.dim() == 2 and tensor.shape[-1] > 1)
    # Two projections of one stack in two layers, once on the way forward and once on the way back, anew in every step.
    assert sorted(drawn) == sorted([(step, site) for step in (0, 1) for site in (0, 1, 64, 65)] * 2)


def test_ranks_are_padded_to_multiples_of_8_and_results_cut_back(llama):
    shared = shared_engine(llama, Lora(3, lora_dropout=0.1), plan=GPU_PLAIN)
    (job,) = jobs_for(shared, (3,), steps=1)
    (_, bank) = shared.banks.train([job], [ENCODED])
    assert bank.layout.rank == 8
    (result,) = shared.fine_tune([job])
    assert {name: each.shape for name, each in result.adapter.items()} == {n: a.shape for n, a in job.adapter.items()}


def test_a_base_of_odd_widths_pads_its_adapter_products_and_says_so(caplog):
    """A grouped product reads 16 bytes at a time: better told before training than by torch within it."""
    shape = {"hidden_size": 36, "num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 20}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=210, num_hidden_layers=1, **shape))
    base = take_apart(model, CPU, torch.bfloat16, GPU_PLAIN)
    assert type(base.training_groups([0], [3])) is Groups
    assert "no multiple of 8" in caplog.text
    (bank, jobs) = (AdapterBanks(base, Lora(4)), [FineTuneJob({}, None, EXAMPLES[:5], FineTuneSettings(steps=1), 0)])
    jobs = [replace(job, adapter=lively(bank.layout(4).shapes(), 0)) for job in jobs]
    shop_jobs, trained_bank = bank.train(jobs, [ENCODED])
    train_batch(base, trained_bank, shop_jobs, 0.1, 4096)
    assert np.isfinite(shop_jobs[0].losses).all()
