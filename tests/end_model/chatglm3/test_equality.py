"""The converted model is the original: logits, greedy replies, size."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GlmForCausalLM

from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.chatglm3 import convert_chatglm3
from ecc_fed.end_model.chatglm3.geometry import native_config, read_geometry
from ecc_fed.end_model.chatglm3.weight_map import map_weights, original_shapes
from ecc_fed.end_model.text.decoding import decode_reply

from . import original
from .conftest import Converted

FULL_SIZE = original.CONFIG | {
    "hidden_size": 4096,
    "ffn_hidden_size": 13696,
    "kv_channels": 128,
    "num_attention_heads": 32,
    "num_layers": 28,
    "padded_vocab_size": 65024,
    "seq_length": 8192,
}


def random_ids(batch: int, tokens: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, original.CONFIG["padded_vocab_size"], (batch, tokens), generator=torch.manual_seed(seed))


@torch.no_grad()
def test_logits_equal_the_original(converted: Converted) -> None:
    ids = random_ids(2, 40)
    wanted = original.forward(converted.weights, converted.config, ids)
    torch.testing.assert_close(converted.model(ids).logits, wanted, atol=1e-5, rtol=0)
    assert wanted.std() > 0.5  # A model whose logits say something.


@torch.no_grad()
def test_left_padded_logits_equal_the_original(converted: Converted) -> None:
    ids = random_ids(2, 24)
    mask = torch.ones_like(ids)
    mask[0, :9] = 0
    wanted = original.forward(converted.weights, converted.config, ids, mask)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    found = converted.model(ids, attention_mask=mask, position_ids=positions).logits
    torch.testing.assert_close(found[mask.bool()], wanted[mask.bool()], atol=1e-5, rtol=0)


def test_greedy_text_equals_the_original(converted: Converted) -> None:
    for question in ("什么时候发货？", "hello, the price please"):
        prompt = original.chat_ids(converted.processor, [("user", question)])
        ends = set(converted.model.generation_config.eos_token_id)
        wanted = original.greedy(converted.weights, converted.config, prompt, 24, ends)
        ids = torch.tensor([prompt])
        found = converted.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)[
            0, len(prompt) :
        ].tolist()
        assert found == wanted
        assert text_of(converted, found) == converted.processor.decode(spoken(converted, wanted)).strip() != ""


def spoken(converted: Converted, ids: list[int]) -> list[int]:
    """Pieces with a text of their own: a random model's lone bytes are no UTF-8, and the rest is padding."""
    pieces = [number for number in ids if number < converted.report.pieces]
    return [number for number in pieces if not converted.processor.is_byte(number)]


def text_of(converted: Converted, ids: list[int]) -> str:
    return decode_reply(converted.tokenizer, spoken(converted, ids))


@pytest.mark.parametrize(("kind", "shards"), [("bin", 3), ("bin", 1), ("safetensors", 1)])
def test_every_layout_converts_to_the_same_weights(
    tmp_path: Path, converted: Converted, pieces: bytes, kind: str, shards: int
) -> None:
    source = original.write_checkpoint(tmp_path / "source", converted.weights, original.CONFIG, pieces, kind, shards)
    report = convert_chatglm3(source, tmp_path / "native")
    assert report.source_format == kind
    state = AutoModelForCausalLM.from_pretrained(tmp_path / "native").state_dict()
    for name, tensor in converted.model.state_dict().items():
        assert torch.equal(state[name], tensor), name


@torch.no_grad()
def test_rope_ratio_of_the_long_variant(tmp_path: Path, converted: Converted, pieces: bytes) -> None:
    config = original.CONFIG | {"rope_ratio": 50}
    source = original.write_checkpoint(tmp_path / "source", converted.weights, config, pieces)
    convert_chatglm3(source, tmp_path / "native")
    ids = random_ids(1, 60)
    wanted = original.forward(converted.weights, config, ids)
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "native")(ids).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert (wanted - original.forward(converted.weights, original.CONFIG, ids)).abs().max() > 0.05


def test_half_precision_is_kept_or_chosen(tmp_path: Path, converted: Converted, pieces: bytes) -> None:
    weights = {name: tensor.half() for name, tensor in converted.weights.items()}
    source = original.write_checkpoint(tmp_path / "source", weights, original.CONFIG, pieces, "bin")
    for dtype, wanted in ((None, "float16"), ("bfloat16", "bfloat16")):
        report = convert_chatglm3(source, tmp_path / wanted, dtype=dtype)
        assert report.dtype == wanted
        model = AutoModelForCausalLM.from_pretrained(tmp_path / wanted, dtype="auto")
        assert model.dtype == getattr(torch, wanted)
        head = weights["transformer.output_layer.weight"].to(model.dtype)
        assert torch.equal(model.lm_head.weight, head)


def test_the_end_model_loads_it(converted: Converted) -> None:
    base = load_base(str(converted.folder), device="cpu")
    pieces = converted.report.pieces
    assert base.end_ids == {2, pieces + 6, pieces + 8}
    assert base.model.config.model_type == "glm"


def test_report_and_progress(converted: Converted) -> None:
    report = converted.report
    layers = original.CONFIG["num_layers"]
    assert report.source_tensors == 4 + 7 * layers
    assert report.tensors == 3 + 11 * layers == len(converted.model.state_dict())
    assert report.parameters == sum(parameter.numel() for parameter in converted.model.parameters())
    assert report.weight_bytes == 4 * report.parameters
    assert report.shards == len(list(converted.folder.glob("model-*.safetensors"))) > 3
    assert report.tokenizer_differences == 0
    assert {stage for stage, _, _ in converted.progress} == {"headers", "tokenizer", "weights"}
    assert ("weights", report.weight_bytes, report.weight_bytes) in converted.progress


def test_full_size_has_the_published_parameter_count(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FULL_SIZE))
    geometry = read_geometry(tmp_path)
    with torch.device("meta"):
        model = GlmForCausalLM(native_config(geometry, "float16", 1, (2, 64795, 64797), 0))
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_243_584_000
    mapped = {entry.name: entry.shape for entry in map_weights(geometry)}
    assert mapped == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert (len(original_shapes(geometry)), len(mapped)) == (199, 311)
