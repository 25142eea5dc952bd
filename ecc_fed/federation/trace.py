"""A trace of availability: a file that says in which server rounds each shop is there.

    JSON    {"shop_0001": [1, 2, 5], "shop_0002": "3-6 8"}
    CSV     shop,rounds
            shop_0001,1 2 5
            shop_0002,3-6 8

Rounds count from 1; `3-` is from round 3 to the end of the run. A shop that is not named is always there.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.errors import ConfigError

_SPAN = re.compile(r"([0-9]{1,9})(-([0-9]{1,9})?)?")


@dataclass(frozen=True, slots=True)
class Rounds:
    """Server rounds: spans of a first and a last one, both included; None for the last is the run's end."""

    spans: tuple[tuple[int, int | None], ...]

    def __contains__(self, server_round: int) -> bool:
        return any(first <= server_round and (last is None or server_round <= last) for first, last in self.spans)


# By shop.
Trace = Mapping[str, Rounds]


def read_trace(path: Path) -> dict[str, Rounds]:
    """What the file says, by shop.

    Raises:
        ConfigError: no such file, none of the two formats, or a line of it that says no rounds; names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"participation.trace={path} cannot be read: {error}. Name a JSON or CSV file.") from None
    found: dict[str, Rounds] = {}
    for shop_id, value in _from_json(path, text) if text.lstrip().startswith("{") else _from_csv(path, text):
        if shop_id in found:
            raise ConfigError(f"participation.trace={path}: {shop_id} stands there a second time. Keep one of the two.")
        found[shop_id] = _rounds(path, shop_id, value)
    return found


def _from_json(path: Path, text: str) -> Iterator[tuple[str, object]]:
    try:
        # Pairs, as a name that stands twice would be lost in a mapping.
        pairs: list[tuple[str, object]] = json.loads(text, object_pairs_hook=list)
    except ValueError as error:
        raise ConfigError(f"participation.trace={path} is no JSON: {error}. {_WANTED}") from None
    yield from pairs


def _from_csv(path: Path, text: str) -> Iterator[tuple[str, object]]:
    rows = csv.reader(text.splitlines())
    if [name.strip() for name in next(rows, [])] != ["shop", "rounds"]:
        raise ConfigError(f"participation.trace={path} does not begin with the line shop,rounds. {_WANTED}")
    for row in rows:
        if not row:
            continue
        if len(row) != 2:
            raise ConfigError(f"participation.trace={path}, line {rows.line_num}: {len(row)} cells, not 2. {_WANTED}")
        yield row[0].strip(), row[1]


_WANTED = 'Write lines such as shop_0001,1-3 5 below shop,rounds, or {"shop_0001": [1, 2, 3, 5]}.'


def _rounds(path: Path, shop_id: str, value: object) -> Rounds:
    words: Iterable[object] = value.split() if isinstance(value, str) else value if isinstance(value, list) else [value]
    spans = []
    for word in words:
        match = None if isinstance(word, bool) else _SPAN.fullmatch(str(word))
        first = int(match[1]) if match else 0
        last = first if match and not match[2] else int(match[3]) if match and match[3] else None
        if not first or (last is not None and last < first):
            raise ConfigError(
                f"participation.trace={path}, {shop_id}: {word!r} names no rounds; they count from 1. {_WANTED}"
            )
        spans.append((first, last))
    return Rounds(tuple(spans))
