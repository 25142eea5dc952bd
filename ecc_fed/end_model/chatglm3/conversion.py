"""Converts an original ChatGLM3 checkpoint to `GlmForCausalLM` with a fast tokenizer.

Everything is checked before a byte is written: configuration, names, shapes, dtypes, tokenizer and
disk space. Then the weights stream: rows of one source shard become one native shard of bounded
size, so that memory holds a shard's worth and never the model. The folder is written aside and
renamed when whole.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import GenerationConfig, PreTrainedTokenizerFast

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.chatglm3.checkpoint import DTYPES, Checkpoint, Stored, find_checkpoint, open_shard, read_headers
from ecc_fed.end_model.chatglm3.geometry import Geometry, native_config, read_geometry
from ecc_fed.end_model.chatglm3.sentencepiece_model import read_sentencepiece
from ecc_fed.end_model.chatglm3.tokenizer import (
    BOS_ID,
    PAD_ID,
    SPECIALS,
    build_tokenizer,
    compare_with_sentencepiece,
    end_ids,
)
from ecc_fed.end_model.chatglm3.weight_map import DROPPED, Mapped, check_names_and_shapes, map_weights

Progress = Callable[[str, int, int], None]
# A native shard's size. Peak memory is about three of them: the map of the source, the rows, the file.
SHARD_BYTES = 512 * 2**20
# Room beside the weights: tokenizer, configs, and a little air.
_MARGIN_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What was converted. `tokenizer_differences` of `tokenizer_probes` strings differ from sentencepiece."""

    destination: Path
    source_format: str
    source_tensors: int
    tensors: int
    parameters: int
    dtype: str
    weight_bytes: int
    shards: int
    pieces: int
    tokenizer_probes: int
    tokenizer_differences: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """Native shards in order; each takes its rows from one source shard."""

    shards: tuple[tuple[Path, tuple[Mapped, ...]], ...]
    dtype: str
    weight_bytes: int


def convert_chatglm3(
    source: Path,
    destination: Path,
    progress: Progress | None = None,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> ConversionReport:
    """Writes the native form of the original checkpoint in `source` to the new folder `destination`.

    `progress(stage, done, total)` is called with the stages "tokenizer" (strings), "headers"
    (source shards) and "weights" (bytes). `dtype` is float16, bfloat16 or float32; None keeps the
    source's.

    Raises:
        ModelError: `source` is no ChatGLM3 checkpoint this can carry over exactly, `destination` is
            taken, or the disk is too small. Nothing is left behind.
    """
    tell = progress or (lambda stage, done, total: None)
    source, destination = Path(source).expanduser().resolve(), Path(destination).expanduser().resolve()
    aside = _check_destination(source, destination)
    geometry = read_geometry(source)
    model = read_sentencepiece(source / "tokenizer.model")
    pieces = len(model.pieces)
    if pieces + len(SPECIALS) > geometry.vocabulary:
        raise ModelError(
            f"{source / 'tokenizer.model'} has {pieces} pieces and {len(SPECIALS)} special tokens, but config.json's "
            f"padded_vocab_size is {geometry.vocabulary}; they do not belong together"
        )
    checkpoint = find_checkpoint(source)
    stored = read_headers(checkpoint, lambda done, total: tell("headers", done, total))
    check_names_and_shapes({name: entry.shape for name, entry in stored.items()}, geometry, str(source))
    plan = _make_plan(geometry, checkpoint, stored, dtype, shard_bytes)
    tokenizer = build_tokenizer(model, geometry.positions)
    probes = compare_with_sentencepiece(tokenizer, model, lambda done, total: tell("tokenizer", done, total))
    _check_disk(destination, plan.weight_bytes)

    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
    except OSError as error:
        raise ModelError(f"cannot write beside {destination} ({error}); choose another destination") from error
    try:
        _write_weights(aside, checkpoint, plan, tell)
        _write_small_files(aside, geometry, plan.dtype, pieces, tokenizer)
        if destination.exists():
            destination.rmdir()
        aside.rename(destination)
    except OSError as error:
        raise ModelError(f"writing {destination} failed ({error}); make room or choose another destination") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    mapped = map_weights(geometry)
    return ConversionReport(
        destination=destination,
        source_format=checkpoint.format,
        source_tensors=len(stored),
        tensors=len(mapped),
        parameters=sum(math.prod(entry.shape) for entry in mapped),
        dtype=plan.dtype,
        weight_bytes=plan.weight_bytes,
        shards=len(plan.shards),
        pieces=pieces,
        tokenizer_probes=probes.compared,
        tokenizer_differences=probes.different,
    )


def _check_destination(source: Path, destination: Path) -> Path:
    """The folder to write in before renaming it."""
    if not source.is_dir():
        raise ModelError(f"{source} is no folder; give the folder of an original ChatGLM3 checkpoint")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ModelError(f"{destination} already exists; choose a new or empty folder, or remove it first")
    aside = destination.parent / f".{destination.name}.converting"
    if aside.exists():
        raise ModelError(
            f"{aside} is there from a conversion that was stopped or is still running; remove it and try again"
        )
    return aside


def _make_plan(
    geometry: Geometry, checkpoint: Checkpoint, stored: dict[str, Stored], dtype: str | None, shard_bytes: int
) -> _Plan:
    found = sorted({entry.dtype for name, entry in stored.items() if name != DROPPED})
    if dtype is None and len(found) > 1:
        raise ModelError(f"the checkpoint mixes {' and '.join(found)}; choose one with dtype={found[0]}")
    dtype = dtype or found[0]
    if dtype not in DTYPES:
        raise ModelError(f"dtype={dtype!r} is unknown; take one of {', '.join(DTYPES)}")
    width = getattr(torch, dtype).itemsize
    shards: list[tuple[Path, tuple[Mapped, ...]]] = []
    total = 0
    for shard in checkpoint.shards:
        group: list[Mapped] = []
        group_bytes = 0
        for entry in map_weights(geometry):
            if stored[entry.source].shard != shard:
                continue
            size = math.prod(entry.shape) * width
            if group and group_bytes + size > shard_bytes:
                shards.append((shard, tuple(group)))
                group, group_bytes = [], 0
            group.append(entry)
            group_bytes += size
            total += size
        if group:
            shards.append((shard, tuple(group)))
    return _Plan(tuple(shards), dtype, total)


def _check_disk(destination: Path, weight_bytes: int) -> None:
    existing = next(folder for folder in destination.parents if folder.exists())
    free = shutil.disk_usage(existing).free
    needed = weight_bytes + _MARGIN_BYTES
    if free < needed:
        raise ModelError(
            f"{destination} needs {needed / 2**30:.2f} GiB, but {existing} has {free / 2**30:.2f} GiB free; "
            "make room or choose another destination"
        )


def _write_weights(aside: Path, checkpoint: Checkpoint, plan: _Plan, tell: Progress) -> None:
    target = getattr(torch, plan.dtype)
    weight_map: dict[str, str] = {}
    done = 0
    for number, (shard, entries) in enumerate(plan.shards, 1):
        # Reopened for every native shard: a memory map kept open would grow to the whole source shard.
        with open_shard(checkpoint.format, shard) as rows:
            tensors = {entry.name: rows(entry.source, entry.start, entry.stop).to(target) for entry in entries}
        name = f"model-{number:05d}-of-{len(plan.shards):05d}.safetensors"
        try:
            save_file(tensors, aside / name, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        weight_map.update(dict.fromkeys(tensors, name))
        done += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        del tensors
        tell("weights", done, plan.weight_bytes)
    index = {"metadata": {"total_size": plan.weight_bytes}, "weight_map": dict(sorted(weight_map.items()))}
    (aside / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_small_files(
    aside: Path, geometry: Geometry, dtype: str, pieces: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    ends = end_ids(pieces)
    native_config(geometry, dtype, BOS_ID, ends, PAD_ID).save_pretrained(aside)
    ids = {"bos_token_id": BOS_ID, "eos_token_id": list(ends), "pad_token_id": PAD_ID}
    GenerationConfig(**ids).save_pretrained(aside)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(aside)
