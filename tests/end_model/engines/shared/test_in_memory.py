"""A base that no cache holds: its matrices lie by columns, more rows share a step, and what comes out is the same."""

from dataclasses import replace

import pytest
import torch

from ecc_fed.core.records import Decoding, FineTuneJob, FineTuneSettings, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.shared import cache, generation, reply_batches
from ecc_fed.end_model.engines.shared.compute_plan import CPU, GPU_PLAIN
from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.limits import TokenLimits

from ...drawing import lively
from ...opening import peft_engine, shared_engine
from ...tiny_models import build_model
from .test_gpu_way import EXAMPLES, of_update

IN_MEMORY = replace(CPU, uncached_from=1)
PROMPTS = tuple((Turn("customer", "问" * count),) for count in (1, 9, 4, 7, 2))
GREEDY = Decoding(12, sample=False)


def by_columns(matrix):
    return matrix.dense.t().is_contiguous() and not matrix.dense.is_contiguous()


@pytest.mark.parametrize("tied", [False, True])
def test_matrices_lie_by_columns_and_a_head_by_rows(tied):
    base = take_apart(build_model("qwen2", tie_word_embeddings=tied), torch.device("cpu"), plan=IN_MEMORY)
    assert all(by_columns(stack.matrix) for layer in base.layers for stack in layer.stacks)
    assert base.lies_in_memory
    assert base.head.dense.is_contiguous() and base.head.left_for_few
    assert base.embedding.is_contiguous()
    assert (base.embedding.data_ptr() == base.head.dense.data_ptr()) is tied


@pytest.mark.parametrize("plan", [CPU, GPU_PLAIN])
def test_a_small_base_and_a_gpus_lie_by_rows(plan):
    base = take_apart(build_model("qwen2"), torch.device("cpu"), plan=plan)
    assert not base.lies_in_memory and not base.head.left_for_few
    assert all(stack.matrix.dense.is_contiguous() for layer in base.layers for stack in layer.stacks)


def test_by_size():
    large = FrozenMatrix(torch.zeros(1 << 10, 1 << 10), (), None, torch.float32)
    small = FrozenMatrix(torch.zeros(1 << 10, (1 << 10) - 1), (), None, torch.float32)
    assert large.lies_in_memory(CPU.uncached_from) and not small.lies_in_memory(CPU.uncached_from)
    assert not FrozenMatrix(large.dense.bfloat16(), (), None, torch.bfloat16).lies_in_memory(1)


@pytest.mark.parametrize("rows", [1, 2, 3, 17, 48, 49])
def test_a_matrix_that_stays_stands_left_of_a_few_rows(rows):
    generator = torch.Generator().manual_seed(rows)
    weight, x = torch.randn(40, 24, generator=generator), torch.randn(rows, 24, generator=generator)
    matrix = FrozenMatrix(weight, (), None, torch.float32)
    matrix.suit_few_rows(stays=True)
    assert matrix.dense is weight
    found = matrix.product(x)
    torch.testing.assert_close(found, x @ weight.t())
    assert found.is_contiguous()


def test_what_is_added_to_a_product_is_added_there_too():
    generator = torch.Generator().manual_seed(0)
    weight, x, bias, residual = (torch.randn(*s, generator=generator) for s in ((40, 24), (5, 24), (40,), (5, 40)))
    for added, rest in ((bias, None), (None, residual), (bias, residual)):
        matrix = FrozenMatrix(weight, (), added, torch.float32, left_for_few=True)
        expected = x @ weight.t() + sum(part for part in (added, rest) if part is not None)
        torch.testing.assert_close(matrix.product(x, rest), expected)


@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma3", "glm"])
def test_replies_and_twenty_steps_are_those_of_peft(bases, family):
    settings = Lora(4, lora_dropout=0.0)
    peft, shared = peft_engine(bases[family], settings), shared_engine(bases[family], settings, plan=IN_MEMORY)
    states = [lively(peft.shapes, seed) for seed in (3, 4)]
    requests = [ReplyRequest(state, PROMPTS, GREEDY, 0) for state in (*states, None)]
    assert shared.reply(requests) == peft.reply(requests)
    jobs = [
        FineTuneJob(state, None, EXAMPLES, FineTuneSettings(steps=20, batch_size=2, learning_rate=1e-3), seed)
        for seed, state in enumerate(states)
    ]
    for job, one, other in zip(jobs, peft.fine_tune(jobs), shared.fine_tune(jobs), strict=True):
        assert of_update(one.adapter, other.adapter, job.adapter) < 1e-3


@pytest.mark.parametrize(("plan", "batches"), [(CPU, 4), (IN_MEMORY, 1)])
def test_more_rows_share_a_step_and_prompts_are_read_in_passes(bases, monkeypatch, plan, batches):
    limits = TokenLimits(batch_tokens=60)
    engine = shared_engine(bases["qwen2"], Lora(4), limits=limits, plan=plan)
    whole = shared_engine(bases["qwen2"], Lora(4), plan=plan)
    passes, rows, tokens = [], [], []
    read = generation.read_in_passes

    def reading(base, adapters, cache, prompts, bank_rows, pass_tokens):
        passes.append(pass_tokens)
        rows.append(len(prompts))
        return read(base, adapters, cache, prompts, bank_rows, pass_tokens)

    read_one = cache.read_prompts

    def reading_one(base, adapters, kept, prompts, bank_rows, first_row=0):
        tokens.append(sum(map(len, prompts)))
        return read_one(base, adapters, kept, prompts, bank_rows, first_row)

    monkeypatch.setattr(generation, "read_in_passes", reading)
    monkeypatch.setattr(cache, "read_prompts", reading_one)
    requests = [ReplyRequest(lively(engine.shapes, 1), PROMPTS, GREEDY, 0)]
    found = engine.reply(requests)
    assert set(passes) == {60} and sum(rows) == len(PROMPTS)
    assert len(rows) == batches and reply_batches._MANY == 4
    assert max(tokens) <= 60 and len(tokens) >= 2
    assert found == whole.reply(requests)
