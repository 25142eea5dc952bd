"""Which engine a base is opened with, and what is said of it."""

import logging

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, LikelihoodRequest, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Dora, Lora, RsLora
from ecc_fed.end_model.adapters.prefix import PrefixTuning, PTuningV2
from ecc_fed.end_model.engines import opening
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.engines.shared.families import FAMILIES
from ecc_fed.end_model.settings import EndModelSettings

from ..opening import peft_engine
from ..tiny_models import build_tokenizer

EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), "答" * (4 - i)) for i in range(4))
PROMPTS = tuple(example.prompt for example in EXAMPLES)
GREEDY = Decoding(max_new_tokens=6, sample=False)


@pytest.fixture
def loads(monkeypatch):
    """Every base loaded by the opener."""
    found = []

    def load(*arguments):
        found.append(load_base(*arguments))
        return found[-1]

    load_base = opening.load_base
    monkeypatch.setattr(opening, "load_base", load)
    return found


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("ecc_fed")]


@pytest.mark.parametrize("settings", [Lora(2, lora_dropout=0.0), RsLora(2, lora_dropout=0.0)])
def test_low_rank_pairs_on_a_supported_base_share_one_batch(llama, loads, caplog, settings):
    limits = EndModelSettings(path=llama, device="cpu", max_reply_tokens=9)
    engine = open_engine(limits, settings)
    assert isinstance(engine, SharedEngine) and engine.fallback_reason is None
    assert (engine.settings, engine.limits, len(loads), said(caplog)) == (settings, limits, 1, [])


@pytest.mark.parametrize(
    "settings", [Dora(4, lora_dropout=0.0), PrefixTuning(5, 12), PTuningV2(5)], ids=lambda settings: settings.method
)
def test_other_adapters_are_left_to_peft_with_the_reason(llama, loads, caplog, settings):
    with caplog.at_level(logging.WARNING):
        engine = open_engine(EndModelSettings(path=llama, device="cpu", batch_tokens=99), settings)
    assert isinstance(engine, PeftEngine) and len(loads) == 1 and engine.limits.batch_tokens == 99
    assert engine.fallback_reason == f"a {settings.method} adapter is more than pairs of low-rank matrices"
    assert said(caplog) == [f"{llama} is served by the peft engine, one job after another: {engine.fallback_reason}"]
    plain = peft_engine(llama, settings)
    assert plain.fallback_reason is None
    state = engine.new_adapter(4)
    assert all(np.array_equal(array, plain.new_adapter(4)[name]) for name, array in state.items())
    job = FineTuneJob(state, None, EXAMPLES, FineTuneSettings(steps=2, batch_size=2), 0)
    assert engine.fine_tune([job])[0].losses == plain.fine_tune([job])[0].losses
    request = ReplyRequest(state, PROMPTS, GREEDY, 0)
    assert engine.reply([request]) == plain.reply([request])


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
def test_another_family_is_left_to_peft_with_the_reason(tmp_path, loads, caplog):
    config = GPT2Config(vocab_size=272, n_positions=128, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=1)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        engine = open_engine(
            EndModelSettings(path=str(tmp_path), device="cpu", max_prompt_tokens=64), Lora(2, lora_dropout=0.0)
        )
        job = FineTuneJob(engine.new_adapter(0), None, EXAMPLES, FineTuneSettings(steps=3, batch_size=2), 0)
        result = engine.fine_tune([job])[0]
        engine.reply([ReplyRequest(result.adapter, PROMPTS, GREEDY, 0)])
        engine.likelihood([LikelihoodRequest(result.adapter, EXAMPLES)])
    assert len(loads) == 1 and len(said(caplog)) == 2
    assert engine.fallback_reason == f"its model type is gpt2, not one of {', '.join(FAMILIES)}"
    assert len(result.losses) == 3


def test_peft_may_be_asked_for(llama, loads, caplog):
    engine = open_engine(EndModelSettings(path=llama, device="cpu"), Lora(2), "peft")
    assert isinstance(engine, PeftEngine) and engine.fallback_reason is None
    assert len(loads) == 1 and said(caplog) == []


def test_what_no_engine_can_bear_is_refused_by_name(llama):
    with pytest.raises(ModelError, match=r"cannot bear a lora adapter \(.*no_such_proj"):
        open_engine(EndModelSettings(path=llama, device="cpu"), Lora(target_modules=["no_such_proj"]))


@pytest.mark.parametrize("engine", ["shared", "peft"])
def test_a_base_lies_in_memory_as_it_is_asked_to(llama, loads, engine):
    open_engine(EndModelSettings(path=llama, device="cpu", quantization="bf16"), Lora(2), engine)
    frozen = [each for each in loads[0].model.parameters() if not each.requires_grad]
    assert {parameter.dtype for parameter in frozen} == {torch.bfloat16}


@pytest.mark.parametrize("engine", ["shared", "peft"])
def test_a_system_text_is_before_every_dialogue_that_is_served_learned_or_weighed(llama, engine):
    """This base's template has no place of its own for it: it stands before the first customer's words."""
    settings = EndModelSettings(path=llama, device="cpu"), Lora(2, lora_dropout=0.0), engine
    told, plain = open_engine(*settings, "规矩"), open_engine(*settings)
    led = [Example((Turn("customer", f"规矩\n{each.prompt[0].text}"),), each.reply) for each in EXAMPLES]
    adapter, learning = told.new_adapter(0), FineTuneSettings(steps=2, batch_size=2)
    assert told.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)]) == plain.reply(
        [ReplyRequest(None, tuple(each.prompt for each in led), GREEDY, 0)]
    )
    assert told.likelihood([LikelihoodRequest(None, EXAMPLES)]) == plain.likelihood(
        [LikelihoodRequest(None, tuple(led))]
    )
    learned, expected = (
        model.fine_tune([FineTuneJob(adapter, None, tuple(examples), learning, 0)])[0].adapter
        for model, examples in ((told, EXAMPLES), (plain, led))
    )
    assert all(np.array_equal(array, expected[name]) for name, array in learned.items())
    assert told.likelihood([LikelihoodRequest(None, EXAMPLES)]) != plain.likelihood([LikelihoodRequest(None, EXAMPLES)])
