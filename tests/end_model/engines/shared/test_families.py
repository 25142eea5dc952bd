"""Every family's replies are transformers' own, and what a family is changed by on purpose is refused in words."""

import logging

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, LikelihoodRequest, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.engines.shared.families import FAMILIES as TAKEN
from ecc_fed.end_model.engines.shared.support import UnsupportedBase, check_parts, check_supported
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt

from ...drawing import lively
from ...opening import peft_engine, shared_engine
from ...tiny_models import FAMILIES, build_model, save_base

GREEDY = Decoding(16, sample=False)
PROMPTS = tuple((Turn("customer", "问" * count),) for count in (1, 9, 4))
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 3.0],
    "long_factor": [2.0, 9.0],
    "rope_theta": 1e4,
    "partial_rotary_factor": 0.5,
}
LENGTHS = {"original_max_position_embeddings": 90, "max_position_embeddings": 400}


def generated(path, state):
    """Greedy replies of transformers' generation on peft, without padding."""
    base = load_base(path, device="cpu")
    config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base.model, config).eval()
    set_peft_model_state_dict(model, {name: torch.tensor(tensor) for name, tensor in state.items()})
    replies = []
    for prompt in PROMPTS:
        ids = torch.tensor([encode_prompt(base.tokenizer, prompt, 256)])
        new = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=16, pad_token_id=0
        )[0, ids.shape[1] :].tolist()
        replies.append(decode_reply(base.tokenizer, new[: new.index(1)] if 1 in new else new))
    return replies


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_replies_are_those_of_generate(bases, family):
    engine = shared_engine(bases[family], Lora(4, lora_dropout=0.0))
    states = [lively(engine.shapes, seed) for seed in (3, 4)]
    found = engine.reply([ReplyRequest(state, PROMPTS, GREEDY, 0) for state in states])
    assert found == [generated(bases[family], state) for state in states] and found[0] != found[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_twenty_steps_move_an_adapter_as_peft_does(bases, family):
    peft, shared = (engine(bases[family], Lora(4, lora_dropout=0.0)) for engine in (peft_engine, shared_engine))
    examples = tuple(Example(prompt, "答" * (5 - place)) for place, prompt in enumerate(PROMPTS))
    start = lively(shared.shapes)
    job = FineTuneJob(start, None, examples, FineTuneSettings(steps=20, batch_size=2, learning_rate=1e-3), 0)
    one, other = (engine.fine_tune([job])[0].adapter for engine in (peft, shared))
    error = sum(float(np.square(one[name] - other[name]).sum()) for name in start)
    moved = sum(float(np.square(one[name] - start[name]).sum()) for name in start)
    assert moved > 0 and (error / moved) ** 0.5 < 1e-3


def test_every_family_is_tried():
    assert {build_model(family).config.model_type for family in FAMILIES} == set(TAKEN)


def test_frequencies_for_longer_sequences_are_left_to_peft_where_sequences_may_be_so_long(tmp_path, caplog):
    path = save_base(tmp_path, "phi3", rope_parameters=LONGROPE, **LENGTHS)
    short = EndModelSettings(path=path, device="cpu", max_prompt_tokens=60, max_reply_tokens=30)
    shared = open_engine(short, Lora(4, lora_dropout=0.0))
    assert isinstance(shared, SharedEngine)
    peft = peft_engine(path, Lora(4, lora_dropout=0.0), max_prompt_tokens=60, max_reply_tokens=30)
    state = lively(shared.shapes)
    asked = [LikelihoodRequest(state, tuple(Example(prompt, "答" * 9) for prompt in PROMPTS))]
    for one, other in zip(peft.likelihood(asked)[0], shared.likelihood(asked)[0], strict=True):
        assert other.nll_nats == pytest.approx(one.nll_nats, rel=1e-4)
    assert shared.reply([ReplyRequest(state, PROMPTS, GREEDY, 0)])[0] == generated(path, state)
    with pytest.raises(ConfigError, match=r"for 90 positions, and a prompt with its longest reply takes 1\d\d: lower"):
        shared.reply([ReplyRequest(state, PROMPTS, Decoding(80, sample=False), 0)])
    with caplog.at_level(logging.WARNING):
        left = open_engine(
            EndModelSettings(path=path, device="cpu", max_prompt_tokens=61, max_reply_tokens=30), Lora(4)
        )
    assert isinstance(left, PeftEngine)
    assert left.fallback_reason.startswith("its rotary frequencies are others beyond 90 tokens")
    assert "max_reply_tokens together are 91" in caplog.text


@pytest.mark.parametrize(
    "family, changed, said",
    [
        ("qwen2", {"hidden_act": "gelu"}, "its activation is gelu, not one of silu, gelu_pytorch_tanh"),
        ("qwen2", {"attention_dropout": 0.1}, "attention_dropout=0.1"),
        (
            "qwen2",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "its rotary type dynamic depends on the length",
        ),
        ("smollm3", {"layer_types": ["full_attention", "chunked_attention", "full_attention"]}, "kind chunked_att"),
        ("phi3", {"resid_pdrop": 0.1}, "its config has resid_pdrop=0.1"),
        ("gemma3", {"use_bidirectional_attention": True}, "its config has use_bidirectional_attention=True"),
        ("gemma3", {"hidden_activation": "relu"}, "its activation is relu"),
    ],
)
def test_what_a_config_asks_for_beyond_a_familys_parts_is_named(family, changed, said):
    kind = type(build_model(family).config)
    config = kind(**{**build_model(family).config.to_dict(), **changed})
    with pytest.raises(UnsupportedBase, match=said):
        check_supported(config, "all-linear")


def test_other_families_and_other_places_for_adapters_are_named():
    config = build_model("phi3").config
    with pytest.raises(UnsupportedBase, match="an adapter is wanted on q_proj"):
        check_supported(config, ("q_proj",))
    check_supported(config, ("qkv_proj", "gate_up_proj", "o_proj", "down_proj"))
    config.model_type = "mixtral"
    with pytest.raises(UnsupportedBase, match=r"^its model type is mixtral, not one of llama, .*gemma3_text$"):
        check_supported(config, "all-linear")


def test_parameters_that_would_be_left_out_are_named():
    model = build_model("mistral")
    check_parts(model)
    attention = model.model.layers[1].self_attn
    attention.sinks = torch.nn.Parameter(torch.zeros(4))
    with pytest.raises(UnsupportedBase, match=r"^its layer 1 has self_attn.sinks, which is computed nowhere here"):
        check_parts(model)
    model = build_model("gemma3")
    model.model.layers[0].mlp.experts = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    with pytest.raises(UnsupportedBase, match=r"^its layer 0 has mlp.experts.0.bias"):
        check_parts(model)
    model = build_model("llama")
    del model.model.layers[0].mlp.up_proj
    with pytest.raises(UnsupportedBase, match=r"^its layer 0 lacks mlp.up_proj.weight"):
        check_parts(model)


def test_an_engine_looks_at_the_parameters_before_it_takes_them(bases):
    base = load_base(bases["llama"], device="cpu")
    base.model.model.layers[0].self_attn.sinks = torch.nn.Parameter(torch.zeros(4))
    with pytest.raises(UnsupportedBase, match=r"self_attn\.sinks"):
        SharedEngine(base, Lora(4))
    assert base.model.lm_head.weight is not None  # for the engine that is left with it
