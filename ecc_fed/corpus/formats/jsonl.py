"""Dialogues as JSON: a record on every line (JSON lines), or one document of many, in the order of time.

Either {"shop": "…", "turns": [{"role": "customer"|"agent", "text": "…"}, …]}
or     {"conversations": [{"role": "user"|"assistant", "content": "…"}, …]}
Both may carry "shop" (a text or a number) and "session" (a name that no other record has). The same under other usual
names is read alike, as are questions with their answers and turns with their session (`records.py`); the report says
what was found. System turns are dropped, and what an agent's program and its tools say to each other; both are counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ecc_fed.corpus.formats.columns import Columns, is_record
from ecc_fed.corpus.formats.json_document import read_document
from ecc_fed.corpus.formats.reading import MAX_LINE_BYTES, RawSession, ReadLog, open_text, read_lines
from ecc_fed.corpus.formats.records import RecordCorpus, read_records


def _is_document(log: ReadLog) -> bool:
    """Whether the file is one JSON document and not a record on every line."""
    with open_text(log.path, log.expected) as file:
        first = b""
        while not first.strip(b"\xef\xbb\xbf \t\r\n"):
            first = file.readline(MAX_LINE_BYTES)
            if not first:
                return False
        second = file.readline(MAX_LINE_BYTES).strip()
    if first.lstrip(b"\xef\xbb\xbf \t")[:1] not in (b"[", b"{"):
        return False
    value = _value(first)
    if isinstance(value, dict):
        # {"0": {…}} or {"data": […]} by itself, and not the only record of its file.
        held = value.values()
        return bool(held) and not second and not is_record(value) and all(isinstance(one, dict | list) for one in held)
    if isinstance(value, list):
        return not second and (not value or isinstance(value[0], dict))
    # It goes on in the next line, unless it is a broken line among whole ones.
    return _value(second) is None


def _value(line: bytes) -> Any:
    """The JSON object or list that a line is by itself, else None."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def json_records(log: ReadLog) -> Iterator[tuple[int, Any]]:
    """(number from 1, record) of a file of JSON lines or of one JSON document.

    Raises:
        CorpusError: the file is missing or is of another format (see `read_lines`).
    """
    if _is_document(log):
        yield from read_document(log)
        return
    for number, line in read_lines(log):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
            log.broken(number, f"not JSON{where}")
            continue
        yield number, record


def read_jsonl(log: ReadLog) -> Iterator[RawSession]:
    """The sessions of a file whose fields have their usual names, in the file's order.

    Raises:
        CorpusError: the file is missing or is of another format (see `read_lines`).
    """
    return read_records(json_records(log), log, Columns())


@dataclass(frozen=True, kw_only=True)
class JsonlCorpus(RecordCorpus):
    """Shops from a file of JSON. Arguments: see `RecordCorpus`."""

    format: ClassVar[str] = "jsonl"
    expected: ClassVar[str] = (
        'JSON lines: a line is {"shop": …, "turns": [{"role": "customer"|"agent", "text": …}, …]} or '
        '{"conversations": [{"role": "user"|"assistant", "content": …}, …]}'
    )
    order: ClassVar[str] = "Split in the file's order, which is taken for that of time."

    def records(self, log: ReadLog, columns: Columns) -> Iterator[tuple[int, Any]]:
        """See `RecordCorpus`."""
        return json_records(log)
