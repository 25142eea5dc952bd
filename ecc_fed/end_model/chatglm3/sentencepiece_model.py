"""Reads `tokenizer.model`: its pieces, scores and the settings that decide how text is cut.

The file is a protobuf message (sentencepiece_model.proto). It is read here by its wire format,
since the generated module of sentencepiece does not load beside every protobuf version, and its
Python API tells neither the normalizer's settings nor the type of a user-defined piece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import ModelError

# ModelProto: field numbers.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
# SentencePiece.Type
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_BPE = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary; its id is its position."""

    text: str
    score: float
    type: int


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """A byte-fallback BPE model. `processor` is sentencepiece's own encoder, the reference."""

    pieces: tuple[Piece, ...]
    processor: Any


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Reads and checks a `tokenizer.model`.

    Raises:
        ModelError: sentencepiece is not installed, the file is missing or broken, or it is another
            kind of model than byte-fallback BPE with a dummy prefix and no normalization.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise ModelError(
            'reading tokenizer.model needs the package sentencepiece; pip install "ecc_fed[chatglm3]"'
        ) from error
    if not path.is_file():
        raise ModelError(f"{path} does not exist; copy the checkpoint's tokenizer.model beside its weights")
    try:
        content = path.read_bytes()
        processor = SentencePieceProcessor(model_proto=content)
        pieces, trainer, normalizer = _parse(content)
    except (OSError, RuntimeError, ValueError, IndexError, struct.error) as error:
        raise ModelError(f"{path} is no sentencepiece model ({error}); download it again") from error
    _check_settings(path, trainer, normalizer)
    _check_pieces(path, pieces)
    return SentencePieceModel(pieces, processor)


def _check_settings(path: Path, trainer: dict[int, Any], normalizer: dict[int, Any]) -> None:
    # An absent field stands for the schema's default, the second argument.
    for holds, what in (
        (trainer.get(3, 1) == _BPE, "its model_type is not BPE"),
        (bool(trainer.get(35, 0)), "it has no byte_fallback"),
        (not trainer.get(24, 0), "it writes white space as a suffix"),
        (not normalizer.get(2, b""), f"it normalizes text ({_name(normalizer)})"),
        (bool(normalizer.get(3, 1)), "it adds no dummy prefix"),
        (not normalizer.get(4, 1), "it removes extra white space"),
        (bool(normalizer.get(5, 1)), "it does not escape white space"),
    ):
        if not holds:
            raise ModelError(f"{path} is not ChatGLM3's: {what}; give the checkpoint's own tokenizer.model")


def _check_pieces(path: Path, pieces: tuple[Piece, ...]) -> None:
    head = [(piece.text, piece.type) for piece in pieces[:3]]
    if head != [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]:
        raise ModelError(
            f"{path} begins with {[text for text, _ in head]}, wanted <unk>, <s>, </s>; "
            "give the checkpoint's own tokenizer.model"
        )
    for number, piece in enumerate(pieces[3:], 3):
        if piece.type not in (NORMAL, BYTE):
            raise ModelError(
                f"{path}: piece {number} ({piece.text!r}) has type {piece.type}, wanted a normal or a byte piece; "
                "give the checkpoint's own tokenizer.model"
            )
    if sum(piece.type == BYTE for piece in pieces) != 256:
        raise ModelError(f"{path} does not hold the 256 byte pieces; give the checkpoint's own tokenizer.model")


def _name(normalizer: dict[int, Any]) -> str:
    name = normalizer.get(1, b"")
    return name.decode("utf-8", "replace") if isinstance(name, bytes) and name else "rules of its own"


def _parse(content: bytes) -> tuple[tuple[Piece, ...], dict[int, Any], dict[int, Any]]:
    pieces: list[Piece] = []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    for field, value in _fields(content):
        if field == _PIECES:
            piece = dict(_fields(value))
            pieces.append(Piece(piece[1].decode("utf-8"), _as_float(piece.get(2, 0)), piece.get(3, NORMAL)))
        elif field == _TRAINER:
            trainer.update(_fields(value))
        elif field == _NORMALIZER:
            normalizer.update(_fields(value))
    return tuple(pieces), trainer, normalizer


def _as_float(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of one protobuf message: int for numbers, bytes for what has a length."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value: Any
            value, at = _varint(message, at)
        elif wire == 2:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
            value, at = int.from_bytes(message[at : at + width], "little"), at + width
        else:
            raise ValueError(f"protobuf wire type {wire}")
        yield field, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
