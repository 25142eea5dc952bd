"""A file is converted once, whole or not at all, and anew when it or its folder is another."""

import errno
import hashlib
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from ecc_fed.core.errors import ModelError
from ecc_fed.models.folder import find_folder, openable
from ecc_fed.models.gguf import cache as gguf_cache
from ecc_fed.models.gguf import conversion
from ecc_fed.models.gguf.cache import cache_root, require_sha256
from tests.models.gguf.tiny_gguf import TinyFile


@pytest.fixture
def file(cache: Path, tmp_path: Path) -> Path:
    TinyFile("qwen2").write(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders written to, in order."""
    done: list[Path] = []
    convert = conversion.convert

    def counted(header: Any, folder: Path, role: str) -> None:
        done.append(folder)
        convert(header, folder, role)

    monkeypatch.setattr(conversion, "convert", counted)
    return done


def found(file: Path) -> Path:
    return find_folder(str(file), "end model")


def test_a_file_is_converted_once_and_told(
    file: Path, cache: Path, conversions: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = found(file)
    assert f"{file} is converted once, to {folder} (bf16, " in caplog.text
    caplog.clear()
    moved = file.rename(file.with_name("other name.gguf"))
    assert found(moved) == folder and len(conversions) == 1 and not caplog.text
    assert sorted(path.name for path in cache.iterdir()) == sorted([".lock", folder.name])
    source = json.loads((folder / "source.json").read_text())
    assert source["sha256"] == hashlib.sha256(moved.read_bytes()).hexdigest() and source["file"] == "tiny.gguf"
    assert openable(str(moved), "end model") == str(folder)
    assert openable("someone/model", "end model") == "someone/model"


def test_another_file_of_the_same_name_is_converted_anew(file: Path, conversions: list[Path]) -> None:
    first = found(file)
    TinyFile("qwen2", "Q8_0").write(file)
    second = found(file)
    assert first != second and len(conversions) == 2
    name = "model.layers.0.mlp.up_proj.weight"
    weights = [load_file(folder / "model.safetensors")[name] for folder in (first, second)]
    assert not weights[0].equal(weights[1])


def test_a_folder_that_was_changed_is_made_anew(file: Path, conversions: list[Path]) -> None:
    folder = found(file)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "model.safetensors").write_bytes(b"")
    found(file)
    (folder / "tokenizer.json").unlink()
    found(file)
    (folder / "source.json").write_text("[]")
    found(file)
    source = json.loads((folder / "source.json").read_text())
    (folder / "source.json").write_text(json.dumps({**source, "sha256": source["sha256"][::-1]}))
    found(file)
    assert len(conversions) == 5
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


class Killed(BaseException):
    pass


def test_a_conversion_that_was_killed_leaves_nothing_that_counts(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(header: Any, folder: Path, role: str) -> None:
        (folder / "config.json").write_text("{}")
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(conversion, "convert", half)
        # As after kill -9: nobody tidies up.
        patched.setattr(shutil, "rmtree", lambda *given, **options: None)
        with pytest.raises(Killed):
            found(file)
    assert [path.suffix for path in cache.iterdir() if path.is_dir()] == [".partial"]
    folder = found(file)
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]


def test_two_at_once_convert_once(file: Path, conversions: list[Path]) -> None:
    both = [threading.Thread(target=found, args=(file,)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(conversions) == 1


def test_a_full_disk_is_one_line_before_and_while_writing(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    remedy = "make room there, or set XDG_CACHE_HOME to a folder with room$"
    with monkeypatch.context() as patched:
        patched.setattr(conversion, "convert", full)
        with pytest.raises(ModelError, match=rf"^the end model {file} cannot be .*No space left.*: {remedy}"):
            found(file)
    with monkeypatch.context() as patched:
        patched.setattr(gguf_cache.shutil, "disk_usage", lambda root: shutil._ntuple_diskusage(9, 8, 1))  # type: ignore[attr-defined]
        with pytest.raises(ModelError, match=rf"it takes 0.06 GiB, and 0.00 GiB are free\): {remedy}"):
            found(file)
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_made_is_one_line(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    with pytest.raises(ModelError, match=r"cannot be converted to .*taken.*\(.+\): make room there, or set XDG"):
        found(file)


def test_the_cache_lies_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_root() == tmp_path / ".cache" / "ecc_fed" / "gguf"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_root() == tmp_path / ".cache" / "ecc_fed" / "gguf"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert cache_root() == tmp_path / "elsewhere" / "ecc_fed" / "gguf"


def test_a_file_is_held_to_its_sha256(file: Path) -> None:
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    require_sha256(str(file), None, "end model")
    require_sha256(str(file), right, "end model")
    with pytest.raises(ModelError, match=rf"^the end model {file} has the SHA-256 {right} and not 0+: take the file"):
        require_sha256(str(file), "0" * 64, "end model")
    with pytest.raises(ModelError, match=r"^the end model 'a/b' is no GGUF file, .*end_model.sha256=null"):
        require_sha256("a/b", right, "end model")
