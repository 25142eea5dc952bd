"""Reads an original checkpoint shard by shard: names, shapes and dtypes first, rows when asked.

Nothing is ever executed: safetensors, or `.bin` through `torch.load(weights_only=True, mmap=True)`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open

from ecc_fed.core.errors import ModelError

Format = Literal["safetensors", "bin"]
# (index of the shards, the whole model in one file), in the order of preference.
_LAYOUTS: dict[Format, tuple[str, str]] = {
    "safetensors": ("model.safetensors.index.json", "model.safetensors"),
    "bin": ("pytorch_model.bin.index.json", "pytorch_model.bin"),
}
_SAFETENSORS_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}
DTYPES = ("float16", "bfloat16", "float32")
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the weights lie."""

    format: Format
    shards: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in its shard."""

    shard: Path
    shape: tuple[int, ...]
    dtype: str


# rows(name, start, stop) -> a fresh tensor of these rows.
RowReader = Callable[[str, int, int], torch.Tensor]


def find_checkpoint(folder: Path) -> Checkpoint:
    """The first complete set of weights in `folder`, safetensors before `.bin`.

    Raises:
        ModelError: no weights, or shards are missing.
    """
    lacking: list[str] = []
    for kind, (index, single) in _LAYOUTS.items():
        if (folder / index).is_file():
            shards = [folder / name for name in _listed_shards(folder / index)]
        elif (folder / single).is_file():
            shards = [folder / single]
        else:
            continue
        absent = [shard.name for shard in shards if not shard.is_file()]
        if not absent:
            return Checkpoint(kind, tuple(shards))
        lacking.append(f"{index} lists {absent[0]}" + (f" and {len(absent) - 1} more" if absent[1:] else ""))
    if lacking:
        raise ModelError(f"{folder} is incomplete: {'; '.join(lacking)}, not there; download the missing shards")
    names = ", ".join(name for layout in _LAYOUTS.values() for name in layout)
    raise ModelError(f"{folder} holds no weights (none of {names}); give the folder of an original checkpoint")


def read_headers(checkpoint: Checkpoint, on_shard: Callable[[int, int], None]) -> dict[str, Stored]:
    """Every tensor's shard, shape and dtype, without reading the weights.

    Raises:
        ModelError: a broken shard, a tensor found twice, or a dtype that is no plain floating point.
    """
    stored: dict[str, Stored] = {}
    for number, shard in enumerate(checkpoint.shards, 1):
        for name, shape, dtype in _header(checkpoint.format, shard):
            if name in stored:
                raise ModelError(f"{name} lies in both {stored[name].shard} and {shard}; download the checkpoint again")
            if dtype not in DTYPES:
                raise ModelError(
                    f"{shard}: {name} is stored as {dtype}, wanted one of {', '.join(DTYPES)}; "
                    "give the unquantized checkpoint"
                )
            stored[name] = Stored(shard, shape, dtype)
        on_shard(number, len(checkpoint.shards))
    return stored


@contextmanager
def open_shard(kind: Format, shard: Path) -> Iterator[RowReader]:
    """Opens one shard for reading rows, and only for that; its memory map is released on leaving.

    Raises:
        ModelError: the shard cannot be read.
    """
    with _readable(shard):
        if kind == "bin":
            tensors = _load_bin(shard)
            # clone: rows of one tensor share its storage, and the map must be free to go.
            yield lambda name, start, stop: tensors[name][start:stop].clone()
        else:
            with safe_open(shard, framework="pt") as file:
                yield lambda name, start, stop: file.get_slice(name)[start:stop]


def _header(kind: Format, shard: Path) -> list[tuple[str, tuple[int, ...], str]]:
    with _readable(shard):
        if kind == "bin":
            tensors = _load_bin(shard).items()
            return [(name, tuple(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in tensors]
        with safe_open(shard, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            dtypes = {name: str(part.get_dtype()) for name, part in slices.items()}
            return [
                (name, tuple(part.get_shape()), _SAFETENSORS_DTYPES.get(dtypes[name], dtypes[name]))
                for name, part in slices.items()
            ]


def _load_bin(shard: Path) -> dict[str, torch.Tensor]:
    loaded = torch.load(shard, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise ModelError(f"{shard} holds no plain dictionary of tensors; give the original checkpoint")
    return loaded


def _listed_shards(index: Path) -> list[str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of shards ({error!r}); download it again") from error
    strange = [name for name in names if not isinstance(name, str) or Path(name).name != name]
    if strange or not names:
        raise ModelError(
            f"{index} lists {strange[0]!r} as a shard; download it again" if strange else f"{index} is empty"
        )
    return names


@contextmanager
def _readable(shard: Path) -> Iterator[None]:
    try:
        with shard.open("rb") as file:
            pointer = file.read(len(_LFS_POINTER)) == _LFS_POINTER
        if pointer:
            raise ModelError(f"{shard} is a git-lfs pointer, not the weights; run `git lfs pull` in that folder")
        yield
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{shard} cannot be read ({reason}); download it again") from error
