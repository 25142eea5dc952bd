"""The shared engine as its callers see it."""

import numpy as np
import pytest
import torch
from transformers import Qwen2Config

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, LikelihoodRequest, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.shared.support import UnsupportedBase, check_supported
from ecc_fed.end_model.limits import TokenLimits

from ...drawing import lively
from ...opening import peft_engine, shared_engine
from ...tiny_models import build_tokenizer

EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), "答" * (4 - i)) for i in range(4))
PROMPTS = tuple(example.prompt for example in EXAMPLES)
SETTINGS = FineTuneSettings(steps=3, batch_size=2)


@pytest.fixture(scope="module")
def shared(llama):
    return shared_engine(llama, Lora(4, lora_dropout=0.0))


def test_new_adapters_equal_the_peft_engines(shared, llama):
    peft = peft_engine(llama, Lora(4))
    for name, array in peft.new_adapter(0).items():
        assert np.array_equal(array, shared.new_adapter(0)[name])


def test_replies_do_not_depend_on_requests_order_or_batches(shared):
    requests = [
        ReplyRequest(lively(shared.shapes, shop), PROMPTS[: 1 + shop], Decoding(max_new_tokens=6 + shop), shop)
        for shop in range(3)
    ]
    together = shared.reply(requests)
    assert shared.reply(requests[::-1]) == together[::-1]
    shared.limits = TokenLimits(batch_tokens=1)
    assert shared.reply(requests) == together
    shared.limits = TokenLimits()
    assert [shared.reply([request])[0] for request in requests] == together
    assert shared.reply([]) == [] and shared.fine_tune([]) == [] and shared.likelihood([]) == []


def test_adapters_of_different_rank_answer_together_as_alone(shared):
    decoding = Decoding(max_new_tokens=8, sample=False)
    states = [lively(shared.banks.layout(rank).shapes(), rank) for rank in (2, 6, 4)]
    requests = [ReplyRequest(state, PROMPTS, decoding, 0) for state in [*states, None]]
    assert shared.reply(requests) == [shared.reply([request])[0] for request in requests]


def test_requests_of_one_adapter_share_a_row(shared):
    state = lively(shared.shapes)
    adapters, rows = shared.banks.serve([state, None, state, lively(shared.shapes)])
    assert rows == [0, 1, 0, 2] and len(adapters.scale) == 3
    assert shared.banks.serve([None, None]) == (None, [0, 0])


def test_inputs_are_left_as_they_were(shared):
    state = lively(shared.shapes)
    before = {name: array.copy() for name, array in state.items()}
    result = shared.fine_tune([FineTuneJob(state, None, EXAMPLES, SETTINGS, 0)])[0]
    again = shared.fine_tune([FineTuneJob(result.adapter, result.optimizer, EXAMPLES, SETTINGS, 0)])[0]
    assert all(np.array_equal(state[name], before[name]) for name in state)
    assert result.optimizer["step"] == 3 and again.optimizer["step"] == 6
    assert not any(np.shares_memory(result.adapter[name], again.adapter[name]) for name in state)


def test_adapters_on_the_head_are_outside_the_packed_form():
    with pytest.raises(UnsupportedBase, match="lm_head"):
        check_supported(Qwen2Config(num_hidden_layers=1), ("q_proj", "lm_head"))


def test_mistakes_are_refused_by_name(shared, llama):
    state = shared.new_adapter(0)
    with pytest.raises(ConfigError, match="base_products='fp8'"):
        shared_engine(llama, base_products="fp8")
    with pytest.raises(ConfigError, match="at least one example"):
        shared.fine_tune([FineTuneJob(state, None, (), SETTINGS, 0)])
    with pytest.raises(ModelError, match="lacks"):
        shared.fine_tune([FineTuneJob({}, None, EXAMPLES, SETTINGS, 0)])
    with pytest.raises(ModelError, match="lacks"):
        shared.reply([ReplyRequest({}, PROMPTS, Decoding(), 0)])
    mixed = {**state, next(iter(state)): np.zeros((2, 32), np.float32)}
    with pytest.raises(ModelError, match="has shape"):
        shared.likelihood([LikelihoodRequest(mixed, EXAMPLES)])


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_quantized_base_equals_peft_on_its_dequantized_weights(llama, tmp_path, quantization):
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM

    from ecc_fed.end_model.base import load_base
    from ecc_fed.end_model.engines.shared.frozen_matrix import dequantize

    quantized = load_base(llama, quantization=quantization, device="cpu").model
    plain = AutoModelForCausalLM.from_pretrained(llama)
    changed = 0
    for name, module in quantized.named_modules():
        if type(module).__module__.startswith("bitsandbytes"):
            target = plain.get_submodule(name)
            weight = dequantize(module, torch.float32)
            changed += int(not torch.equal(weight, target.weight))
            target.weight.data.copy_(weight)
    assert changed == 14
    plain.save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    peft = peft_engine(str(tmp_path), Lora(4, lora_dropout=0.0))
    shared = shared_engine(llama, Lora(4, lora_dropout=0.0), quantization)
    job = FineTuneJob(lively(peft.shapes), None, EXAMPLES, SETTINGS, 0)
    one, other = peft.fine_tune([job])[0], shared.fine_tune([job])[0]
    assert other.losses == pytest.approx(one.losses, abs=1e-4)
    request = [ReplyRequest(one.adapter, PROMPTS, Decoding(max_new_tokens=8, sample=False), 0)]
    assert shared.reply(request) == peft.reply(request)


def test_bf16_bases_and_products_stay_close(shared, llama):
    state = lively(shared.shapes)
    exact = shared.likelihood([LikelihoodRequest(state, EXAMPLES)])[0]
    for options in ({"quantization": "bf16"}, {"base_products": "bf16"}):
        rounded = shared_engine(llama, Lora(4, lora_dropout=0.0), **options)
        found = rounded.likelihood([LikelihoodRequest(state, EXAMPLES)])[0]
        for one, other in zip(exact, found, strict=True):
            assert other.nll_nats == pytest.approx(one.nll_nats, rel=0.02)
        result = rounded.fine_tune([FineTuneJob(state, None, EXAMPLES, FineTuneSettings(steps=15), 0)])[0]
        assert result.losses[-1] < 0.7 * result.losses[0]


@pytest.mark.parametrize("packs", [False, True], ids=["any CPU", "a CPU with AVX512-BF16"])
def test_the_peft_engine_serves_quantized_bases_too(llama, monkeypatch, packs):
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: packs)
    pytest.importorskip("bitsandbytes")
    engine = peft_engine(llama, Lora(4, lora_dropout=0.0), "nf4")
    result = engine.fine_tune([FineTuneJob(engine.new_adapter(0), None, EXAMPLES, FineTuneSettings(steps=15), 0)])[0]
    assert result.losses[-1] < 0.7 * result.losses[0]
