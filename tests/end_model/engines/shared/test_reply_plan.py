"""The memory that a device has decides how replies read the base."""

from dataclasses import replace

import pytest
import torch

from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.shared import reply_plan
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN
from ecc_fed.end_model.engines.shared.dense_base import dense_bytes, pass_bytes, token_bytes
from ecc_fed.end_model.engines.shared.reply_plan import MOST_ROWS, plan_replies, plan_within
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

from ...tiny_models import build_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def quantized(bases):
    pytest.importorskip("bitsandbytes")
    return take_apart(load_base(bases["llama"], "nf4", "cpu").model, CPU)


def needed(base, longest):
    """Free bytes from which on the base is dequantized once a call."""
    dtype = base.layers[0].mlp_in.matrix.dtype
    wanted = 2 * 64 * longest * token_bytes(base, dtype)
    return (wanted + dense_bytes(base, dtype) + pass_bytes(base, 256, MOST_ROWS, dtype)) / 0.9


def test_a_base_is_dequantized_once_a_call_where_a_cache_fits_beside_it(quantized):
    free = needed(quantized, 100)
    enough, short = (plan_within(quantized, 100, 256, int(each)) for each in (free + 99, free - 99))
    assert enough.dense and not short.dense
    assert enough.dtype == torch.float32 and enough.reason.startswith("replies by captured steps over the base deq")
    assert short.reason.startswith("replies by captured steps, each of which dequantizes the base (once a call")
    # What is not taken by the weights is room for rows.
    assert short.cached_tokens >= enough.cached_tokens >= 64 * 100 / 2


def test_a_base_that_is_dense_needs_no_choice():
    base = take_apart(build_model("llama").eval(), CPU)
    assert plan_within(base, 100, 256, 2**30).reason == "replies by captured steps"
    plans = [plan_within(base, 100, 256, free) for free in (0, 2**27, 2**27 + 5, 2**30)]
    assert [plan.cached_tokens.bit_count() for plan in plans] == [1] * 4
    assert plans[1] == replace(plans[2], reason=plans[1].reason)
    # Never less than one row, never more rows than a step has.
    assert [plan.rows_at_once(100) for plan in plans] == [1, MOST_ROWS, MOST_ROWS, MOST_ROWS]
    assert plans[1].rows_at_once(plans[1].cached_tokens // 3) == 3


def test_products_in_bf16_are_read_and_cached_in_bf16():
    base = take_apart(build_model("llama").eval(), CPU, torch.bfloat16)
    assert plan_within(base, 100, 256, 2**30).dtype == torch.bfloat16


def test_the_device_chooses(monkeypatch):
    base = take_apart(build_model("llama").eval(), CPU)
    assert plan_replies(base, 100, 256) is None
    monkeypatch.setattr(reply_plan, "plan_for", lambda device: GPU_PLAIN)
    monkeypatch.setattr(reply_plan, "free_gpu_bytes", lambda device: 2**30)
    assert plan_replies(base, 100, 256) == plan_within(base, 100, 256, 2**30)


def test_free_memory_is_what_the_cap_leaves_or_others_do(monkeypatch):
    gib = 2**30
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 6 * gib)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index: 5 * gib)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda index: 0.3)
    for free, expected in ((60, 19), (10, 11)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index, free=free: (free * gib, 80 * gib))
        assert reply_plan.free_gpu_bytes(torch.device("cuda")) == expected * gib
