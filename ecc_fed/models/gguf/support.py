"""Refuses a GGUF file that cannot become a whole and equal model, before its weights are read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ecc_fed.models.folder import refusal
from ecc_fed.models.gguf.families import FAMILIES, SPLITS, Family
from ecc_fed.models.gguf.header import AGAIN, Header, read_header

_PACKAGES = ("gguf", "accelerate")
_OTHERWISE = "give the model's Hugging Face folder"
# A teacher need not be opened here.
_SERVED = "or serve the file with llama.cpp's `llama-server` and take teacher=openai_compatible"
# Settings that say the usual, and change nothing.
_NEUTRAL: tuple[Any, ...] = (0, False, "", "none")


def check_file(file: Path, role: str) -> Header:
    """Reads a file's header, and refuses what cannot be converted.

    Args:
        file: the GGUF file.
        role: what the model is for, such as "end model"; for messages.

    Raises:
        ModelError: names the file, what is wrong with it, and the remedy.
    """
    header = read_header(file, role)
    remedy = f"{_OTHERWISE}, {_SERVED}" if role == "teacher model" else _OTHERWISE
    family = FAMILIES.get(header.architecture)
    if family is None:
        raise refusal(
            role,
            file,
            f"is of the architecture {header.architecture or '(none)'}, and those read are {', '.join(FAMILIES)}",
            remedy,
        )
    _refuse_left_out(header, family, role, remedy)
    _refuse_tokenizer(header, role, remedy)
    require_packages(file, role)
    _refuse_kinds(header, role, remedy)
    return header


def require_packages(file: Path, role: str) -> None:
    """Refuses to go on without the packages that read the weights.

    Raises:
        ModelError: names them, and the extra that brings them.
    """
    lacking = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        raise refusal(
            role,
            file,
            f"is a GGUF file, for which {' and '.join(lacking)} must be installed",
            'pip install "ecc_fed[gguf]"',
        )


def _refuse_left_out(header: Header, family: Family, role: str, remedy: str) -> None:
    """Tensors and settings that transformers does not read, and without which the model is another one."""
    blocks = header.own("block_count")
    if not isinstance(blocks, int) or blocks < 1:
        raise refusal(role, header.file, "does not say how many layers it has", AGAIN)
    own = f"{header.architecture}."
    for name, value in header.settings.items():
        if name.startswith(own) and name.removeprefix(own) not in family.settings and value not in _NEUTRAL:
            raise refusal(role, header.file, f"has the setting {name}={value}, which is not read here", remedy)
    strange = [tensor.name for tensor in header.tensors if not family.holds(tensor.name, blocks)]
    if strange:
        raise refusal(
            role, header.file, f"has {len(strange)} tensors that are not read here, such as {strange[0]}", remedy
        )


def _refuse_tokenizer(header: Header, role: str, remedy: str) -> None:
    """A vocabulary that is not there, or that would cut texts into other pieces than the model learned."""
    kind, split = (header.settings.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if not kind or not header.settings.get("tokenizer.ggml.tokens"):
        raise refusal(role, header.file, "has no tokenizer (tokenizer.ggml.model and .tokens)", remedy)
    if kind not in ("gpt2", "llama"):
        raise refusal(
            role, header.file, f"has a tokenizer of the kind {kind}, and gpt2 and llama are rebuilt here", remedy
        )
    if kind == "gpt2" and split not in SPLITS:
        raise refusal(
            role,
            header.file,
            f"splits texts by the rule {split or '(none)'} (tokenizer.ggml.pre), and those rebuilt here are "
            f"{', '.join(sorted(SPLITS))}",
            remedy,
        )


def _refuse_kinds(header: Header, role: str, remedy: str) -> None:
    """Values stored in a way that cannot be unpacked, or that are not all there."""
    import numpy
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    for kind in sorted({tensor.kind for tensor in header.tensors}):
        named = next((str(known.name) for known in GGMLQuantizationType if known == kind), f"number {kind}")
        try:
            if named not in ("F32", "F16"):
                dequantize(numpy.zeros((1, sizes[kind][1]), numpy.uint8), GGMLQuantizationType(kind))
        except (KeyError, ValueError, NotImplementedError) as error:
            raise refusal(
                role, header.file, f"has tensors stored as {named}, which are not unpacked here", remedy
            ) from error
    end = header.weights_start
    for tensor in header.tensors:
        elements, size = sizes[tensor.kind]
        end = max(end, header.weights_start + tensor.offset + tensor.elements // elements * size)
    if header.file_bytes < end:
        raise refusal(role, header.file, f"is cut off: it has {header.file_bytes:,} of {end:,} bytes", AGAIN)
