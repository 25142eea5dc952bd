"""What a base can do is found by trying, and what it cannot is refused when it is opened."""

import logging

import pytest
import torch
import transformers as hf

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Dora, Lora
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.reference import generation
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.reference.shapes import adapter_shapes
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt

from ...opening import peft_engine
from ...tiny_models import build_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out")
WORDS = {"vocab_size": 272, "bos_token_id": None, "eos_token_id": 1}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0, **WORDS}
PROMPTS = ((Turn("customer", "发什么快递"),), (Turn("customer", "在"),))
GREEDY = Decoding(6, sample=False)


def save(folder, model) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return str(folder)


def gpt2(folder, positions: int) -> str:
    config = hf.GPT2Config(n_positions=positions, n_embd=32, n_layer=2, n_head=2, **WORDS)
    return save(folder, hf.GPT2LMHeadModel(config))


def generated(engine, path: str) -> list[str]:
    """Greedy replies of transformers' own generation, without padding."""
    model = hf.AutoModelForCausalLM.from_pretrained(path).eval()
    replies = []
    for prompt in PROMPTS:
        ids = torch.tensor([encode_prompt(engine.tokenizer, prompt, 256)])
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6, pad_token_id=0
        )
        new = found[0, ids.shape[1] :].tolist()
        replies.append(decode_reply(engine.tokenizer, new[: new.index(1)] if 1 in new else new))
    return replies


def test_a_state_space_model_answers_as_transformers_does(tmp_path) -> None:
    path = save(tmp_path, hf.MambaForCausalLM(hf.MambaConfig(state_size=8, **SIZES)))
    with pytest.raises(
        ModelError, match=rf"^the end model {tmp_path} cannot bear a lora adapter \(.*'out_proj'.*\): check"
    ):
        peft_engine(path, Lora(2))
    engine = peft_engine(path, Lora(2, lora_dropout=0.0, target_modules=["in_proj", "x_proj"]))
    assert engine.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)])[0] == generated(engine, path)
    job = FineTuneJob(engine.new_adapter(0), None, (Example(PROMPTS[0], "好"),), FineTuneSettings(steps=2), 0)
    assert engine.fine_tune([job])[0].losses[1] < engine.fine_tune([job])[0].losses[0]


@pytest.mark.parametrize("way", ["batched", "one by one", "anew"])
def test_every_way_gives_the_same_replies(llama, way) -> None:
    engine = peft_engine(llama, Lora(2))
    assert engine.way == "batched"
    expected = generated(engine, llama)
    engine.way = way
    assert engine.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)])[0] == expected


def test_a_model_that_takes_no_padding_is_served_row_by_row(llama, monkeypatch) -> None:
    forward = generation._PaddedBatch._forward

    def blind(self, ids):
        self.mask = torch.ones_like(self.mask)  # sees its pads
        return forward(self, ids)

    monkeypatch.setattr(generation._PaddedBatch, "_forward", blind)
    engine = peft_engine(llama, Lora(2))
    assert engine.way == "one by one"
    assert engine.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)])[0] == generated(engine, llama)


def test_a_model_without_a_cache_reads_every_text_anew_and_says_so(llama, monkeypatch, caplog) -> None:
    def none(self, tokens):
        raise TypeError("no cache\nof this kind")

    monkeypatch.setattr(generation._PaddedBatch, "next", none)
    with caplog.at_level(logging.WARNING):
        engine = peft_engine(llama, Lora(2))
    said = "in a padded batch no cache of this kind; with a cache no cache of this kind"
    assert f"{llama} is served row by row, and reads a whole text again for every token: {said}" in caplog.text
    assert engine.way == "anew" and engine.fallback_reason is None
    assert engine.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)])[0] == generated(engine, llama)
    stood_in = PeftEngine(load_base(llama, "none", "cpu"), Lora(2), fallback_reason="its kind")
    assert stood_in.fallback_reason.startswith("its kind; it is served row by row, and reads")


def test_a_model_that_looks_ahead_is_refused(tmp_path) -> None:
    config = hf.BertConfig(num_attention_heads=2, intermediate_size=48, max_position_embeddings=1024, **SIZES)
    path = save(tmp_path, hf.BertLMHeadModel(config))
    with pytest.raises(ModelError, match=rf"^the end model {tmp_path} does not speak word by word: .*: take a causal"):
        peft_engine(path, Lora(2))


def test_weights_that_are_no_numbers_are_refused(tmp_path) -> None:
    config = hf.GPT2Config(n_positions=900, n_embd=32, n_layer=1, n_head=2, **WORDS)
    model = hf.GPT2LMHeadModel(config)
    model.transformer.ln_f.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="gives logits that are no numbers"):
        peft_engine(save(tmp_path, model), Lora(2))


def test_a_short_table_of_positions_bounds_replies_and_says_so(tmp_path, caplog) -> None:
    path = gpt2(tmp_path, 60)
    with caplog.at_level(logging.WARNING):
        engine = peft_engine(path, Lora(2, lora_dropout=0.0), max_prompt_tokens=40)
    assert (engine.positions, engine.limits.max_reply_tokens) == (60, 20)
    assert f"{path} has 60 positions: replies are learned up to 20 tokens" in caplog.text
    long = Example((Turn("customer", "问" * 99),), "答" * 99)
    job = FineTuneJob(engine.new_adapter(0), None, (long,), FineTuneSettings(steps=1), 0)
    assert engine.fine_tune([job])[0].label_tokens == 20
    fits = ReplyRequest(None, (long.prompt,), Decoding(20, sample=False), 0)
    assert len(engine.reply([fits])[0]) == 1
    with pytest.raises(ConfigError, match=r"60 positions, and a prompt with its longest reply takes \d+: lower"):
        engine.reply([ReplyRequest(None, (long.prompt,), Decoding(40, sample=False), 0)])
    with pytest.raises(ConfigError, match=r"max_prompt_tokens=60 leaves no reply: .* has 60 positions"):
        peft_engine(path, Lora(2), max_prompt_tokens=60)
    assert peft_engine(gpt2(tmp_path / "long", 800), Lora(2)).positions is None


@pytest.mark.parametrize(
    "settings", [Lora(2, target_modules=["embed_tokens"]), Dora(2, target_modules=["embed_tokens", "q_proj"])]
)
def test_adapters_on_embeddings_are_refused_before_training(llama, settings) -> None:
    said = rf"^the end model {llama} cannot bear a {settings.method} adapter on model.embed_tokens, which is no linear"
    for make in (lambda: peft_engine(llama, settings), lambda: adapter_shapes(llama, settings)):
        with pytest.raises(ModelError, match=said):
            make()


def test_adapters_on_the_head_learn(bases) -> None:
    engine = peft_engine(bases["qwen2"], Lora(2, lora_dropout=0.0, target_modules=["lm_head"]))
    job = FineTuneJob(engine.new_adapter(0), None, (Example(PROMPTS[0], "好"),), FineTuneSettings(steps=3), 0)
    result = engine.fine_tune([job])[0]
    assert all(abs(tensor).max() > 0 for tensor in result.adapter.values())


def test_adapters_on_experts_are_refused_before_training(tmp_path) -> None:
    config = hf.Qwen3MoeConfig(
        num_attention_heads=4,
        num_key_value_heads=2,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        head_dim=8,
        **SIZES,
    )
    path = save(tmp_path, hf.Qwen3MoeForCausalLM(config))
    said = (
        rf"^the end model {tmp_path} cannot bear a lora adapter on model.layers.0.mlp.experts.base_layer, which is no"
    )
    everywhere = Lora(2, lora_dropout=0.0)
    for make in (lambda: peft_engine(path, everywhere), lambda: adapter_shapes(path, everywhere)):
        with pytest.raises(ModelError, match=said):
            make()
    engine = peft_engine(path, Lora(2, lora_dropout=0.0, target_modules=["q_proj", "v_proj"]))
    assert engine.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)])[0] == generated(engine, path)
