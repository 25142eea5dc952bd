"""What is refused, before any weight is read: by the file's name, what is wrong with it, and the remedy."""

import importlib.util
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecc_fed.core.errors import ModelError
from ecc_fed.models.folder import check_folder, find_folder
from ecc_fed.models.gguf import cache as gguf_cache
from ecc_fed.models.gguf.header import read_header
from ecc_fed.models.gguf.support import check_file
from tests.models.gguf.tiny_gguf import LAYERS, TinyFile, build_tokenizer


def refused(file: Path, said: str, role: str = "end model") -> None:
    with pytest.raises(ModelError, match=rf"^the {role} {re.escape(str(file))} {said}") as found:
        check_file(file, role)
    assert "\n" not in str(found.value)


@pytest.fixture(scope="session")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    TinyFile("qwen2").write(file)
    return file


def test_a_header_tells_settings_and_tensors(whole_file: Path) -> None:
    header = read_header(whole_file, "end model")
    assert header.architecture == "qwen2" and header.own("block_count") == LAYERS
    assert header.settings["tokenizer.ggml.tokens"] == len(build_tokenizer())
    assert header.settings["tokenizer.ggml.token_type"][:4] == [1, 1, 1, 3]
    tensors = {tensor.name: tensor for tensor in header.tensors}
    assert tensors["blk.0.ffn_down.weight"].shape == (64, 96)
    last = max(header.tensors, key=lambda tensor: tensor.offset)
    assert 0 <= header.file_bytes - (header.weights_start + last.offset + 2 * last.elements) < 64


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04zip", "is no folder and no GGUF file .*: give a model's folder, a hub id"),
        (b"", "is no folder and no GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a git-lfs pointer, .*: run `git lfs pull`"),
        (b"GGUF", "is cut off, or broken, before its weights begin: download"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "is of GGUF version 1, .*: convert"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is of GGUF version 50331648, .*: convert"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62) + b"x", "is cut off, or broken"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<II", 99, 0), "is cut off, or broken"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), r"is of the architecture \(none\)"),
    ],
)
def test_what_is_no_whole_gguf_file(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "tiny.gguf").write_bytes(content)
    refused(tmp_path / "tiny.gguf", said)


def test_a_file_cut_off_anywhere_is_refused(whole_file: Path, tmp_path: Path) -> None:
    content, file = whole_file.read_bytes(), tmp_path / "cut.gguf"
    for length in [*range(5, len(content), len(content) // 40), len(content) - 64]:
        file.write_bytes(content[:length])
        refused(file, "is cut off.*: download the file again$")
    file.write_bytes(content[:-64])
    refused(file, rf"is cut off: it has {len(content) - 64:,} of [\d,]+ bytes")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"llama.rope.scaling.type": "linear"}}, "has the setting llama.rope.scaling.type=linear, which"),
        ({"settings": {"llama.expert_count": 8}}, "has the setting llama.expert_count=8"),
        ({"tensors": {"rope_freqs.weight": np.ones(8, np.float32)}}, "has 1 tensors .*such as rope_freqs.weight"),
        ({"tensors": {"blk.0.attn_q.bias": np.ones(64, np.float32)}}, "has 1 tensors .*such as blk.0.attn_q.bias"),
        ({"tensors": {f"blk.{LAYERS}.ffn_up.weight": np.ones(4, np.float32)}}, "has 1 tensors .*such as blk.2"),
        ({"without": ("llama.block_count",)}, "does not say how many layers"),
        ({"without": ("tokenizer.ggml.model",)}, "has no tokenizer"),
        ({"without": ("tokenizer.ggml.tokens",)}, "has no tokenizer"),
        ({"settings": {"tokenizer.ggml.model": "rwkv"}}, "has a tokenizer of the kind rwkv, and gpt2 and llama are"),
        ({"settings": {"tokenizer.ggml.pre": "poro-chat"}}, r"splits texts by the rule poro-chat .* gpt-2, .*qwen2"),
        ({"without": ("tokenizer.ggml.pre",)}, r"splits texts by the rule \(none\)"),
        ({"settings": {"split.count": 3}}, "is one of 3 parts of a model: join them .*llama-gguf-split --merge"),
    ],
)
def test_what_would_become_another_model(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    TinyFile("llama", **changes).write(tmp_path / "tiny.gguf")
    refused(tmp_path / "tiny.gguf", said)


def test_settings_that_say_the_usual_pass(tmp_path: Path) -> None:
    usual = {"llama.rope.scaling.type": "none", "llama.expert_count": 0, "split.count": 0}
    TinyFile("llama", settings=usual).write(tmp_path / "tiny.gguf")
    assert check_file(tmp_path / "tiny.gguf", "end model").architecture == "llama"


def test_a_part_is_told_by_its_name_too(whole_file: Path, tmp_path: Path) -> None:
    part = tmp_path / "big-00001-of-00003.gguf"
    part.write_bytes(whole_file.read_bytes())
    refused(part, "is one of 3 parts")


def test_another_architecture_is_named_with_those_that_are_read(whole_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(whole_file.read_bytes().replace(b"qwen2", b"bloom"))
    said = "is of the architecture bloom, and those read are llama, qwen2, qwen3, gemma3: give .*Hugging Face folder"
    refused(file, said + "$")
    refused(file, said + ", or serve .*llama-server` and take teacher=openai_compatible$", "teacher model")


@pytest.mark.parametrize(("kind", "named"), [(28, "F64"), (15, "Q8_K"), (4, "number 4"), (250, "number 250")])
def test_a_kind_of_values_that_is_not_unpacked(whole_file: Path, tmp_path: Path, kind: int, named: str) -> None:
    content, name = whole_file.read_bytes(), b"output_norm.weight"
    at = content.index(name) + len(name) + 4 + 8  # behind one dimension
    file = tmp_path / "kind.gguf"
    file.write_bytes(content[:at] + struct.pack("<I", kind) + content[at + 4 :])
    refused(file, f"has tensors stored as {named}, which are not unpacked here: give")


@pytest.mark.parametrize("lacking", ["gguf", "accelerate"])
def test_a_missing_package_is_named_with_its_extra(
    whole_file: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == lacking else find(name))
    refused(whole_file, rf'is a GGUF file, for which {lacking} must be installed: pip install "ecc_fed\[gguf\]"$')


def test_a_file_that_is_not_there_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"^the end model 'models/tiny.gguf' is no file: give a GGUF file that is"):
        find_folder("models/tiny.gguf", "end model")


def test_a_folder_with_a_file_in_it_names_the_file(whole_file: Path) -> None:
    with pytest.raises(ModelError, match=rf"has no config.json: give the file, {re.escape(str(whole_file))}$"):
        check_folder(whole_file.parent, "end model")


def test_nothing_is_made_of_what_is_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_cache, "_convert", lambda *given: pytest.fail("it was converted"))
    TinyFile("llama", settings={"llama.expert_count": 8}).write(tmp_path / "tiny.gguf")
    with pytest.raises(ModelError, match="expert_count"):
        find_folder(str(tmp_path / "tiny.gguf"), "end model")
