"""What the conversion does not know it refuses by name, and nothing is left on the disk."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.chatglm3 import conversion, convert_chatglm3

from . import original

Weights = dict[str, Tensor]
FUSED = "transformer.encoder.layers.1.self_attention.query_key_value.weight"


@pytest.fixture(scope="module")
def weights() -> Weights:
    return original.random_weights(original.CONFIG)


def refuse(source: Path, message: str, **options: Any) -> None:
    destination = source.parent / "native"
    with pytest.raises(ModelError, match=message):
        convert_chatglm3(source, destination, **options)
    assert [path.name for path in source.parent.iterdir()] == [source.name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "glm"}, "model_type='glm', wanted 'chatglm'"),
        ({"_name_or_path": "THUDM/chatglm2-6b"}, "is ChatGLM2"),
        ({"rmsnorm": False}, "rmsnorm=False, but only True"),
        ({"post_layer_norm": False}, "post_layer_norm=False"),
        ({"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm=True"),
        ({"add_bias_linear": True}, "add_bias_linear=True"),
        ({"add_qkv_bias": None}, "add_qkv_bias=None"),
        ({"multi_query_attention": False}, "multi_query_attention=False"),
        ({"original_rope": False}, "original_rope=False"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings=True"),
        ({"attention_dropout": 0.1}, "attention_dropout=0.1"),
        ({"quantization_bit": 4}, "quantization_bit=4"),
        ({"pre_seq_len": 128}, "pre_seq_len=128"),
        ({"mixture_of_depths": 2}, "unknown key mixture_of_depths=2"),
        ({"num_layers": 0}, "num_layers=0 is no positive whole number"),
        ({"hidden_size": "32"}, "hidden_size='32' is no positive whole number"),
        ({"rope_ratio": -1}, "rope_ratio=-1 is no positive number"),
        ({"multi_query_group_num": 3}, "num_attention_heads=4 is no multiple of multi_query_group_num=3"),
        ({"kv_channels": 18}, "kv_channels=18 is no multiple of 4"),
        ({"ffn_hidden_size": 41}, "dense_h_to_4h.weight has shape"),
        ({"num_layers": 4}, "lacks transformer.encoder.layers.3.input_layernorm.weight, .* and 4 more"),
        ({"num_layers": 2}, "holds transformer.encoder.layers.2.input_layernorm.weight"),
        ({"padded_vocab_size": 1000}, "padded_vocab_size is 1000"),
    ],
)
def test_config(tmp_path: Path, weights: Weights, pieces: bytes, change: dict[str, Any], message: str) -> None:
    refuse(original.write_checkpoint(tmp_path / "source", weights, original.CONFIG | change, pieces), message)


def test_an_absent_switch_means_the_original_default(tmp_path: Path, weights: Weights, pieces: bytes) -> None:
    config = {name: value for name, value in original.CONFIG.items() if name != "add_qkv_bias"}
    source = original.write_checkpoint(tmp_path / "source", weights, config, pieces)
    refuse(source, "add_qkv_bias is absent, which means False")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(FUSED), f"lacks {FUSED}"),
        (lambda w: w.update({FUSED: w[FUSED][:-1].clone()}), f"{FUSED} has shape"),
        (lambda w: w.update({FUSED: w[FUSED].to(torch.int8)}), f"{FUSED} is stored as"),
        (lambda w: w.update({FUSED: w[FUSED].half()}), "mixes float16 and float32"),
        (
            lambda w: w.update({"transformer.prefix_encoder.embedding.weight": torch.zeros(4, 4)}),
            "holds transformer.prefix_encoder.embedding.weight",
        ),
    ],
)
def test_tensors(
    tmp_path: Path, weights: Weights, pieces: bytes, kind: str, change: Callable[[Weights], object], message: str
) -> None:
    changed = dict(weights)
    change(changed)
    refuse(original.write_checkpoint(tmp_path / "source", changed, original.CONFIG, pieces, kind), message)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_files(tmp_path: Path, weights: Weights, pieces: bytes, kind: str) -> None:
    source = original.write_checkpoint(tmp_path / "source", weights, original.CONFIG, pieces, kind)
    shard = sorted(source.glob(f"*-00002-of-*.{kind}"))[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    refuse(source, rf"{shard.name} cannot be read .*; download it again")
    shard.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    refuse(source, "git-lfs pointer")
    shard.unlink()
    refuse(source, rf"incomplete: .*lists {shard.name}, not there")
    shard.write_bytes(whole)
    index = next(source.glob("*.index.json"))
    index.write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}))
    refuse(source, "lists '../a.safetensors' as a shard")
    index.write_text("{}")
    refuse(source, "is no index of shards")
    index.unlink()
    refuse(source, "holds no weights")
    (source / "tokenizer.model").write_bytes(b"aGVsbG8= 0\n")
    refuse(source, r"tokenizer\.model is no sentencepiece model")
    (source / "tokenizer.model").unlink()
    refuse(source, r"tokenizer\.model does not exist")
    (source / "config.json").write_text("{")
    refuse(source, r"config\.json cannot be read")
    (source / "config.json").unlink()
    refuse(source, r"config\.json does not exist")
    shutil.rmtree(source)
    with pytest.raises(ModelError, match="is no folder"):
        convert_chatglm3(source, tmp_path / "native")


def test_a_pickle_is_never_executed(tmp_path: Path, weights: Weights, pieces: bytes) -> None:
    source = original.write_checkpoint(tmp_path / "source", weights, original.CONFIG, pieces, "bin", shards=1)
    mark = tmp_path / "mark"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    torch.save({FUSED: Evil()}, source / "pytorch_model.bin")
    refuse(source, "pytorch_model.bin cannot be read")


def test_destination(tmp_path: Path, weights: Weights, pieces: bytes) -> None:
    source = original.write_checkpoint(tmp_path / "source", weights, original.CONFIG, pieces)
    with pytest.raises(ModelError, match="already exists"):
        convert_chatglm3(source, source)
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="already exists"):
        convert_chatglm3(source, tmp_path / "file")
    with pytest.raises(ModelError, match=r"cannot write beside|File exists"):
        convert_chatglm3(source, tmp_path / "file" / "native")
    (tmp_path / ".native.converting").mkdir()
    with pytest.raises(ModelError, match="was stopped or is still running"):
        convert_chatglm3(source, tmp_path / "native")
    (tmp_path / ".native.converting").rmdir()
    with pytest.raises(ModelError, match="dtype='int8' is unknown"):
        convert_chatglm3(source, tmp_path / "native", dtype="int8")
    (tmp_path / "native").mkdir()
    assert convert_chatglm3(source, tmp_path / "native").destination == tmp_path / "native"
    assert convert_chatglm3(source, tmp_path / "new" / "deep").destination.is_dir()


def test_too_small_a_disk_is_told_beforehand(
    tmp_path: Path, weights: Weights, pieces: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    source = original.write_checkpoint(tmp_path / "source", weights, original.CONFIG, pieces)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda path: Usage(2**20))
    refuse(source, r"needs 0\.06 GiB, but .* has 0\.00 GiB free")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_broken_off_write_leaves_nothing(
    tmp_path: Path, weights: Weights, pieces: bytes, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    source = original.write_checkpoint(tmp_path / "source", weights, original.CONFIG, pieces)
    written = []

    def breaks(tensors: Weights, path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half")
        written.append(path)
        if len(written) == 2:
            raise failure

    monkeypatch.setattr(conversion, "save_file", breaks)
    with pytest.raises(ModelError if isinstance(failure, OSError) else KeyboardInterrupt):
        convert_chatglm3(source, tmp_path / "native")
    assert len(written) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
