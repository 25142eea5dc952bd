"""Reads a distillation set back: what `ecc-fed distill` wrote, each row checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import CorpusError, RunDirectoryError
from ecc_fed.core.records import Turn
from ecc_fed.core.run_directory import read_jsonl

_TEXTS = ("shop_id", "pair_id", "query", "reply", "model_version")


@dataclass(frozen=True, slots=True)
class Generated:
    """A row of the set: the customer's side of a dialogue, and what the cloud answered."""

    shop_id: str
    pair_id: str
    prompt: tuple[Turn, ...]
    reply: str
    model_version: str


def read_generated(path: Path) -> list[Generated]:
    """The rows of a set, in its order; `path` is its folder or its distill.jsonl.

    Raises:
        CorpusError: no file, none of its kind, or a broken line; names file, line and remedy.
    """
    file = path / "distill.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise CorpusError(f"{file}: no such file. Make it with `ecc-fed distill --out {file.parent}`.")
    try:
        rows = read_jsonl(file)
    except RunDirectoryError as error:
        raise CorpusError(f"{error}; or go on with the `ecc-fed distill` that wrote it") from error
    if not rows:
        raise CorpusError(f"{file} is empty. Fill it with `ecc-fed distill --out {file.parent}`.")
    return [_generated(row, f"{file}, row {number}") for number, row in enumerate(rows, start=1)]


def _generated(row: Mapping[str, Any], where: str) -> Generated:
    for name in _TEXTS:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise CorpusError(f"{where} has no {name}; give what `ecc-fed distill` wrote.")
    context = row.get("context")
    turns = []
    for turn in context if isinstance(context, list) else [None]:
        if not isinstance(turn, dict) or turn.get("role") not in ("customer", "agent"):
            raise CorpusError(f"{where} has a context that is no list of turns; give what `ecc-fed distill` wrote.")
        turns.append(Turn(turn["role"], str(turn.get("text", ""))))
    prompt = (*turns, Turn("customer", row["query"]))
    return Generated(row["shop_id"], row["pair_id"], prompt, row["reply"], row["model_version"])
