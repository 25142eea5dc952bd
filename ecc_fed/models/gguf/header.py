"""What a GGUF file says of itself: its settings and its table of tensors, read without the weights."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ecc_fed.models.folder import POINTER, reason_of, refusal

MAGIC = b"GGUF"
AGAIN = "download the file again"
# Version 1 counted in 32 bits, and its files are gone.
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
# A value's kind in the file -> its form for `struct`: 8-, 16- and 32-bit integers, float, bool, 64-bit ones, double.
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's place in the file. `kind` is ggml's number of how its values are stored."""

    name: str
    shape: tuple[int, ...]  # as torch writes it: rows first
    kind: int
    offset: int  # from the beginning of the weights

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """A file's settings by their names, and its tensors. Of a list of texts, the settings hold the length alone."""

    file: Path
    settings: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    weights_start: int
    file_bytes: int

    @property
    def architecture(self) -> str:
        """The family of the model, as llama.cpp names it; empty where the file does not say."""
        return str(self.settings.get("general.architecture", ""))

    def own(self, name: str) -> Any:
        """A setting of the architecture, such as `block_count`; None where the file has none."""
        return self.settings.get(f"{self.architecture}.{name}")


def read_header(file: Path, role: str) -> Header:
    """Reads a file up to its weights.

    Args:
        file: the GGUF file.
        role: what the model is for, such as "end model"; for messages.

    Raises:
        ModelError: it cannot be read, is no GGUF file, one of several parts, of another version, or cut off.
    """
    try:
        with file.open("rb") as opened:
            beginning = opened.read(len(POINTER))
            if beginning == POINTER:
                raise refusal(role, file, "is a git-lfs pointer, not the file", "run `git lfs pull` in its folder")
            if beginning[: len(MAGIC)] != MAGIC:
                raise refusal(
                    role,
                    file,
                    f"is no folder and no GGUF file (it begins with {beginning[:4]!r})",
                    "give a model's folder, a hub id such as `name/model`, or a GGUF file",
                )
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _header(file, role, content)
    except (OSError, ValueError) as error:
        raise refusal(role, file, f"cannot be read ({reason_of(error)})", AGAIN) from error
    except (struct.error, OverflowError, MemoryError) as error:
        raise refusal(role, file, "is cut off, or broken, before its weights begin", AGAIN) from error


def _header(file: Path, role: str, content: mmap.mmap) -> Header:
    (version,) = struct.unpack_from("<I", content, len(MAGIC))
    if version not in _VERSIONS:
        raise refusal(
            role,
            file,
            f"is of GGUF version {version}, and versions {' and '.join(map(str, _VERSIONS))} are read",
            "convert the model with a recent llama.cpp, on a little-endian machine",
        )
    tensors, settings = struct.unpack_from("<QQ", content, 8)
    reader = _Reader(content, 24)
    found = {reader.text(): reader.value(reader.number("I")) for _ in range(settings)}
    _refuse_part(file, role, found)
    table = tuple(reader.tensors(tensors))
    alignment = int(found.get("general.alignment", _ALIGNMENT)) or _ALIGNMENT
    start = -(-reader.at // alignment) * alignment
    return Header(file, found, table, start, len(content))


def _refuse_part(file: Path, role: str, settings: Mapping[str, Any]) -> None:
    named = _PART.search(file.name)
    parts = int(settings.get("split.count", 0)) or (int(named[2]) if named else 0)
    if parts > 1:
        raise refusal(
            role,
            file,
            f"is one of {parts} parts of a model",
            "join them with llama.cpp's `llama-gguf-split --merge FIRST_PART WHOLE.gguf`, and give that file",
        )


class _Reader:
    """Walks through a file from one value to the next."""

    def __init__(self, content: mmap.mmap, at: int) -> None:
        self._content = content
        self.at = at

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self._content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return value

    def text(self) -> str:
        length = self.number("Q")
        (value,) = struct.unpack_from(f"<{length}s", self._content, self.at)
        self.at += length
        return str(value, "utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(_form(kind))
        kind, length = self.number("I"), self.number("Q")
        if kind == _STRING:
            for _ in range(length):
                self._pass_text()
            return length
        values = list(struct.unpack_from(f"<{length}{_form(kind)}", self._content, self.at))
        self.at += struct.calcsize(f"<{length}{_form(kind)}")
        return values

    def _pass_text(self) -> None:
        (length,) = struct.unpack_from("<Q", self._content, self.at)
        self.at += 8 + length

    def tensors(self, count: int) -> Iterator[Tensor]:
        for _ in range(count):
            name = self.text()
            dimensions = [self.number("Q") for _ in range(self.number("I"))]
            # Stored with the fastest dimension first.
            yield Tensor(name, tuple(reversed(dimensions)), self.number("I"), self.number("Q"))


def _form(kind: int) -> str:
    form = _FORMS.get(kind)
    if form is None:
        raise struct.error(f"no kind of value has the number {kind}")
    return form
