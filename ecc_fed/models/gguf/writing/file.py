"""The file itself, by llama.cpp's own package `gguf`: settings, vocabulary, and one tensor after another."""

from __future__ import annotations

import errno
import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecc_fed.models.gguf.writing.architecture import Architecture, Outtype
from ecc_fed.models.gguf.writing.refusing import inexpressible
from ecc_fed.models.gguf.writing.vocabulary import Vocabulary

_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
_SMALL_PARTS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """One tensor in the file. `kind` is its outtype: matrices have the one that was asked for, vectors are f32."""

    name: str
    source: str  # transformers' name
    shape: tuple[int, ...]  # as torch writes it: rows first
    kind: Outtype

    @property
    def bytes(self) -> int:
        """How long it is."""
        return prod(self.shape) * _DTYPES[self.kind].itemsize


def require_package(path: str) -> None:
    """Refuses to go on without the package that writes files.

    Raises:
        ModelError: names it, and the extra that brings it.
    """
    if importlib.util.find_spec("gguf") is None:
        raise inexpressible(path, "the package gguf must be installed", 'pip install "ecc_fed[gguf]"')


def places(
    shapes: Mapping[str, tuple[int, ...]], architecture: Architecture, outtype: Outtype, path: str
) -> list[Place]:
    """Every tensor's place, in the file's order.

    Args:
        shapes: of the model's weights, by transformers' names; of tied ones, the first alone.
        architecture: of the model.
        outtype: how matrices are stored.
        path: the model's; for messages.

    Raises:
        ModelError: the architecture has no such tensor.
    """
    import gguf

    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    known = gguf.get_tensor_name_map(kinds[architecture.name], architecture.layers)
    found = []
    for source, shape in shapes.items():
        name = known.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise inexpressible(path, f"a file of {architecture.name} has no place for its {source}")
        found.append(Place(name, source, shape, outtype if len(shape) > 1 else "f32"))
    return found


def require_room(folder: Path, needed: list[Place]) -> None:
    """Refuses a disk on which the tensors have no room.

    Args:
        folder: where the file will be; it or one above it is there.
        needed: the tensors.

    Raises:
        OSError: how much it takes, and how much is free.
    """
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    takes, free = sum(place.bytes for place in needed) + _SMALL_PARTS_BYTES, shutil.disk_usage(there).free
    if free < takes:
        raise OSError(errno.ENOSPC, f"it takes {takes / 2**30:.2f} GiB, and {free / 2**30:.2f} GiB are free")


def write_file(
    file: Path,
    title: str,
    model: Any,
    architecture: Architecture,
    vocabulary: Vocabulary,
    template: str,
    needed: list[Place],
    path: str,
) -> None:
    """Writes a model; beside it, no more than one tensor is held in memory.

    Args:
        file: where to.
        title: what the file calls the model.
        model: transformers', in fp32, on the CPU.
        architecture: its own.
        vocabulary: of its tokenizer.
        template: of chats.
        needed: its tensors, as `places` has them.
        path: the model's; for messages.

    Raises:
        ModelError: a weight is out of the range of f16.
        OSError: the file cannot be written.
    """
    import gguf

    kinds = {name: gguf.GGMLQuantizationType[name.upper()] for name in _DTYPES}
    writer = gguf.GGUFWriter(file, architecture.name)
    try:
        _add_settings(writer, title, architecture, _file_type(needed))
        _add_vocabulary(writer, vocabulary, template)
        for place in needed:
            # The type of the array counts for nothing where the file's is given.
            writer.add_tensor_info(place.name, place.shape, np.dtype("f4"), place.bytes, kinds[place.kind])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for array in _arrays(model, architecture, needed, path):
            writer.write_tensor_data(array)
    except OSError as error:
        if error.errno is not None:
            raise
        # numpy counts what a full disk took, and says no more.
        raise OSError(errno.ENOSPC, f"the disk took a part of a tensor: {error}") from error
    finally:
        writer.close()


def _arrays(model: Any, architecture: Architecture, needed: list[Place], path: str) -> Iterator[Any]:
    weights = dict(model.named_parameters())
    for place in needed:
        weight = weights[place.source].detach()
        if place.name.endswith("norm.weight") and architecture.norm_offset:
            weight = weight + architecture.norm_offset
        if architecture.rotated is not None and ".attn_" in place.name:
            part = place.name.rpartition("attn_")[2]
            heads = dict(zip(("q.weight", "k.weight"), architecture.rotated, strict=True)).get(part)
            weight = weight if heads is None else neighbours(weight, heads)
        stored = weight.to(_DTYPES[place.kind])
        if place.kind == "f16" and not stored.isfinite().all():
            largest = float(weight.abs().max())
            remedy = "take --outtype bf16 or f32"
            raise inexpressible(path, f"{place.source} has the weight {largest:g}, and f16 ends at 65504", remedy)
        plain = stored.contiguous()
        yield (plain.view(torch.int16) if place.kind == "bf16" else plain).numpy()


def neighbours(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of a projection in the order in which llama.cpp rotates them.

    transformers rotates row i of a head with row i + width / 2, llama.cpp's `llama` row 2 i with row 2 i + 1.

    Args:
        weight: (heads * width, columns).
        heads: how many.

    Returns:
        The same rows, (heads * width, columns).
    """
    halves = weight.reshape(heads, 2, -1, weight.shape[1])  # (heads, half, width / 2, columns)
    return halves.transpose(1, 2).reshape(weight.shape)


def _file_type(needed: list[Place]) -> int:
    import gguf

    kind = next((place.kind for place in needed if len(place.shape) > 1), "f32")
    types = gguf.LlamaFileType
    return int({"f32": types.ALL_F32, "f16": types.MOSTLY_F16, "bf16": types.MOSTLY_BF16}[kind])


def _add_settings(writer: Any, title: str, architecture: Architecture, file_type: int) -> None:
    import gguf

    writer.add_type("model")
    writer.add_name(title)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, value in architecture.settings.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{architecture.name}.{name}", value)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary, template: str) -> None:
    writer.add_tokenizer_model(vocabulary.kind)
    writer.add_tokenizer_pre(vocabulary.rule)
    writer.add_token_list(vocabulary.tokens)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    for name, index in vocabulary.ids.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", index)
    for name, adds in vocabulary.adds.items():
        writer.add_bool(f"tokenizer.ggml.add_{name}_token", adds)
    if vocabulary.space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.space_prefix)
    writer.add_chat_template(template)
