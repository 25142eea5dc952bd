"""Replies over a static cache, steps traced as a graph would hold them, are those of the plain way."""

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from ecc_fed.core.records import Decoding, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.batching import split_by_rows, split_in_order
from ecc_fed.end_model.engines.replies import EndMarks
from ecc_fed.end_model.engines.sampling import Row, make_rows
from ecc_fed.end_model.engines.shared import engine as engines
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.bank import AdapterLayout, load_rows
from ecc_fed.end_model.engines.shared.captured_replies import CapturedReplies, place_bucket, row_bucket
from ecc_fed.end_model.engines.shared.captured_step import as_it_is
from ecc_fed.end_model.engines.shared.dense_base import dense_bytes, reading_base
from ecc_fed.end_model.engines.shared.generation import generate_batch
from ecc_fed.end_model.engines.shared.reply_batches import captured_replies
from ecc_fed.end_model.engines.shared.reply_plan import ReplyPlan, plan_within
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

from ...drawing import lively
from ...opening import shared_engine
from ...tiny_models import FAMILIES, build_model

CPU = torch.device("cpu")
# Some of the tokens that random bases draw often enough, so that rows end at different steps.
MARKS = EndMarks(frozenset(range(0, 272, 19)))


def traced(step):
    """The step as a graph: every number and every tensor that it reads is that of now."""
    with torch.no_grad():
        return make_fx(step, tracing_mode="real")()


def adapters_of(base, ranks):
    layout = AdapterLayout(base, max(ranks), "all-linear")
    states = [lively(layout.shapes(rank), rank) for rank in ranks]
    scale = torch.tensor([8.0 / rank for rank in ranks], dtype=base.dtype)
    return ActiveAdapters(layout, load_rows(layout, states, base), scale)


def rows_of(shops, each, seed=0):
    """Prompts of 1 to 30 tokens; greedy and sampled rows side by side, of different longest replies."""
    generator = np.random.default_rng(seed)
    rows: list[Row] = []
    for shop in range(shops):
        prompts = [generator.integers(2, 272, int(generator.integers(1, 31))).tolist() for _ in range(each)]
        decoding = Decoding(12 + 9 * (shop % 3), sample=shop % 2 == 1, temperature=0.9, top_p=0.9)
        rows += make_rows(prompts, decoding, shop)
    return rows, [shop for shop in range(shops) for _ in range(each)]


def same(found, expected, tolerance=1e-5):
    assert [drawn.ids for drawn in found] == [drawn.ids for drawn in expected]
    assert [drawn.margin for drawn in found] == pytest.approx([drawn.margin for drawn in expected], abs=tolerance)


@pytest.mark.parametrize("capture", [as_it_is, traced])
@pytest.mark.parametrize("shops, each", [(1, 1), (3, 2), (8, 3)])
def test_shops_of_different_ranks_get_the_same_replies(shops, each, capture):
    base = take_apart(build_model("llama").eval(), CPU)
    adapters = adapters_of(base, [2 + shop % 3 for shop in range(shops)])
    rows, own = rows_of(shops, each)
    expected = generate_batch(base, adapters, rows, own, MARKS)
    lengths = {len(drawn.ids) for drawn in expected}
    assert shops == 1 or len(lengths) > 3
    room = max(row.total_tokens for row in rows)
    served = CapturedReplies(base, adapters, len(rows), room, capture, pass_tokens=60)
    same(served.generate(rows, own, MARKS), expected)
    # The next batch of the call finds the cache as the last one left it, and the steps captured.
    steps = dict(served._steps)
    half = slice(len(rows) // 2, None)
    same(served.generate(rows[half], own[half], MARKS), expected[half])
    assert steps.items() <= served._steps.items()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_steps_are_the_same(family):
    base = take_apart(build_model(family).eval(), CPU)
    rows, own = rows_of(2, 2, seed=3)
    for adapters, capture in ((None, as_it_is), (adapters_of(base, [2, 3]), traced)):
        expected = generate_batch(base, adapters, rows, own, MARKS)
        served = CapturedReplies(base, adapters, len(rows), 80, capture, pass_tokens=4096)
        same(served.generate(rows, own, MARKS), expected)


def test_a_long_reply_goes_on_over_more_places():
    base = take_apart(build_model("mistral").eval(), CPU)
    rows = make_rows([[5] * 110, [7, 8]], Decoding(60, sample=False), 0)
    expected = generate_batch(base, None, rows, [0, 0], EndMarks(frozenset()))
    served = CapturedReplies(base, None, 2, 170, traced, pass_tokens=4096)
    same(served.generate(rows, [0, 0], EndMarks(frozenset())), expected)
    assert sorted(served._steps) == [(2, 128), (2, 170)]


def test_rows_stay_where_they_were_captured():
    base = take_apart(build_model("llama").eval(), CPU)
    rows, own = rows_of(8, 2)
    served = CapturedReplies(base, adapters_of(base, [2] * 8), 16, 80, as_it_is, pass_tokens=99)
    held = [*served.cache.keys, *served.cache.values, served.cache.lengths, served.tokens, served.bank_rows]
    held += [each for pair in served.cache.angles.values() for each in pair]
    before = [(id(tensor), tensor.data_ptr()) for tensor in held]
    served.generate(rows, own, MARKS)
    base.angles(4000)  # another call's, which must not take the place of those that steps read
    now = [*served.cache.keys, *served.cache.values, served.cache.lengths, served.tokens, served.bank_rows]
    now += [each for pair in served.cache.angles.values() for each in pair]
    assert [(id(tensor), tensor.data_ptr()) for tensor in now] == before
    assert sorted(served._steps) == [(1, 80), (16, 80)]  # rows that were done have left


def test_a_row_that_is_done_outlasts_its_place_for_others_sake():
    base = take_apart(build_model("llama").eval(), CPU)
    long, short = make_rows([[5] * 60], Decoding(2, sample=False), 0), make_rows([[5], [6]], Decoding(90), 1)
    rows, room = [*long, *short], 91
    never = EndMarks(frozenset())
    together = generate_batch(base, None, rows, [0, 0, 0], never)
    assert [len(drawn.ids) for drawn in together] == [2, 90, 90]
    same(together, [generate_batch(base, None, [row], [0], never)[0] for row in rows])
    same(CapturedReplies(base, None, 3, room, traced, 4096).generate(rows, [0, 0, 0], never), together)


@pytest.mark.parametrize("dense", [False, True])
def test_a_quantized_base_is_dequantized_once_or_at_every_step(llama, dense):
    pytest.importorskip("bitsandbytes")
    base = take_apart(load_base(llama, "nf4", "cpu").model, CPU)
    adapters = adapters_of(base, [2, 3])
    rows, own = rows_of(2, 3)
    reading = reading_base(base, torch.float32, dense)
    assert all((layer.mlp_in.matrix.dense is not None) == dense for layer in reading.layers)
    assert (reading is base) == (not dense)
    expected = generate_batch(base, adapters, rows, own, MARKS)
    served = CapturedReplies(reading, adapters, 6, 80, as_it_is, 4096)
    same(served.generate(rows, own, MARKS), expected)


def test_what_is_dense_in_the_dtype_is_not_copied():
    base = take_apart(build_model("llama").eval(), CPU)
    assert reading_base(base, torch.float32, dense=True) is base and dense_bytes(base, torch.float32) == 0
    numbers = sum(stack.matrix.d_out * stack.d_in for layer in base.layers for stack in layer.stacks) + 272 * 32
    assert dense_bytes(base, torch.bfloat16) == 2 * numbers


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_activations_in_bf16_stay_close(family):
    base = take_apart(build_model(family).eval(), CPU, torch.bfloat16)
    adapters = adapters_of(base, [2, 3])
    rows, own = rows_of(2, 4)
    one = make_rows([row.prompt for row in rows], Decoding(1, sample=False), 0)
    expected = generate_batch(base, adapters, one, own, MARKS)
    reading = reading_base(base, torch.bfloat16, dense=True)
    served = CapturedReplies(reading, adapters.served_in(torch.bfloat16), 8, 80, as_it_is, 4096)
    assert {part.dtype for part in served.cache.keys} == {torch.bfloat16}
    for drawn, other in zip(served.generate(one, own, MARKS), expected, strict=True):
        assert drawn.margin == pytest.approx(other.margin, abs=0.08)
    assert any(drawn.ids for drawn in served.generate(rows, own, MARKS))


def test_buckets_hold_what_they_serve():
    found = [row_bucket(rows) for rows in (1, 2, 3, 5, 16, 17, 24, 25, 33, 49, 64, 65, 97, 192, 193)]
    assert found == [1, 2, 4, 8, 16, 24, 24, 32, 48, 64, 64, 96, 128, 192, 256]
    assert [place_bucket(places) for places in (1, 128, 129, 256, 257)] == [128, 128, 256, 256, 512]
    assert split_by_rows([3, 9, 5, 9], 2) == [[1, 3], [2, 0]] and split_by_rows([], 2) == []
    assert split_in_order([3, 9, 5, 2, 8], 10) == [range(1), range(1, 2), range(2, 4), range(4, 5)]


def test_the_engine_serves_requests_as_its_plan_says(llama, monkeypatch, caplog):
    plain = shared_engine(llama, Lora(4))
    assert plain.reply_plan is None and plain.reply_way is None
    plan = ReplyPlan(torch.float32, dense=True, cached_tokens=170, reason="replies by captured steps")
    monkeypatch.setattr(engines, "plan_replies", lambda base, longest, tokens: plan)
    with caplog.at_level("INFO"):
        served = shared_engine(llama, Lora(4))
    assert served.reply_way == plan.reason and f"{llama}: {plan.reason}" in caplog.text
    prompts = tuple((Turn("customer", "问" * count),) for count in (1, 9, 4, 2, 7))
    requests = [
        ReplyRequest(lively(plain.banks.layout(rank).shapes(), rank), prompts[:count], decoding, rank)
        for rank, count, decoding in ((2, 5, Decoding(12)), (5, 3, Decoding(20, sample=False)), (4, 2, Decoding(7)))
    ]
    requests += [ReplyRequest(None, prompts[:2], Decoding(9, sample=False), 0), ReplyRequest(None, (), Decoding(), 0)]
    assert served.reply(requests) == plain.reply(requests)
    assert served.reply(requests[-2:]) == plain.reply(requests[-2:]) and served.reply([]) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_captured_on_a_gpu(family):
    gpu = torch.device("cuda")
    base = take_apart(build_model(family).eval().to(gpu), gpu)
    adapters = adapters_of(base, [2, 4, 3])
    rows, own = rows_of(3, 8)
    expected = generate_batch(base, adapters, rows, own, MARKS)
    plan = plan_within(base, 80, 256, 2**30)
    for _ in range(2):
        served = captured_replies(base, plan, adapters, len(rows), 80, 256)
        same(served.generate(rows, own, MARKS), expected, 1e-3)
        held = torch.cuda.memory_allocated()
        same(served.generate(rows, own, MARKS), expected, 1e-3)  # by steps captured before
        assert torch.cuda.memory_allocated() == held
