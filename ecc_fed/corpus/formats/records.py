"""Records in the forms that dialogues are passed on in, whatever file they come from.

    a list of turns      {"turns": [{"role", "text"}]}, "messages" of role and content (OpenAI), "conversations" of from
                         and value (ShareGPT), "dialogue" of speaker and text, pairs of [speaker, text]
    question and answer  prompt and response, instruction (and input) and output (Alpaca), with or without a history
    a turn a record      session, role and text: records of one session belong together wherever they stand

Names are those of `columns.py`, or as `corpus.columns` says. "shop" and "session" may stand beside any of them.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.columns import Columns, value_at
from ecc_fed.corpus.formats.files import FileCorpus
from ecc_fed.corpus.formats.grouping import TurnRow, TurnRows
from ecc_fed.corpus.formats.reading import RawSession, ReadLog
from ecc_fed.corpus.formats.turns import (
    BrokenRecord,
    checked_turns,
    names_of,
    plain_turns,
    said_before,
    speaker,
    split_turns,
)

_KNOWN = {
    ("messages", "role and content"): "OpenAI messages",
    ("conversations", "from and value"): "ShareGPT",
    ("instruction", "output"): "Alpaca",
}
_NOTHING = (
    'no list of turns under "turns" or "conversations", no question with its answer under such names as "prompt" and '
    '"response", and no turn with its session'
)


def read_records(records: Iterator[tuple[int, Any]], log: ReadLog, columns: Columns) -> Iterator[RawSession]:
    """The sessions of numbered records; broken ones are counted.

    Raises:
        CorpusError: the user has named a column for the shop that no record says anything in.
    """
    rows: TurnRows | None = None
    named = read = 0
    for number, record in records:
        try:
            found = _read(record, number, log, columns)
        except BrokenRecord as fault:
            log.broken(number, str(fault))
            continue
        read += 1
        if found is None:
            continue
        named += found.shop is not None
        if isinstance(found, RawSession):
            yield found
        else:
            rows = rows or TurnRows()
            rows.add(found)
    if rows is not None:
        yield from rows.sessions(log)
    if "shop" in columns.given and read and not named:
        raise CorpusError(
            f"corpus file {log.path} names no shop under {columns.given['shop']!r}: it is empty or missing in all "
            "its records. Name another column by corpus.columns.shop, or set it to null for a partition of your choice."
        )


def _read(record: Any, number: int, log: ReadLog, columns: Columns) -> RawSession | TurnRow | None:
    if not isinstance(record, dict):
        raise BrokenRecord("no JSON object")
    fields = columns.find(record)
    session = _name(record, fields, "session") or f"line-{number}"
    shop = _name(record, fields, "shop")
    if shop is None and "shop" in fields:
        log.notes[f'records say nothing under "{fields["shop"]}", which would name the shop'] += 1
    if "turns" in fields:
        turns = _list(value_at(record, fields["turns"]))
        by_agent, texts = plain_turns(turns) or checked_turns(turns, log.edits)
        _note(log, fields["turns"], names_of(turns))
        return RawSession(session, shop, number, by_agent, texts)
    if "query" in fields and "reply" in fields:
        by_agent, texts = _exchange(record, fields, log)
        return RawSession(session, shop, number, by_agent, texts)
    if "role" in fields and "text" in fields and "session" in fields:
        if session == f"line-{number}":
            raise BrokenRecord(f'"{fields["session"]}" is empty: it tells which turns belong together')
        try:
            by = speaker(value_at(record, fields["role"]), log.edits)
        except BrokenRecord as fault:
            raise BrokenRecord(f"the turn {fault}") from None
        text = _text(record, fields["text"])
        log.notes[f'records read as a turn each ("{fields["session"]}", "{fields["role"]}", "{fields["text"]}")'] += 1
        return None if by is None else TurnRow(session, shop, number, by, text)
    raise BrokenRecord(_NOTHING)


def _note(log: ReadLog, first: str, second: str) -> None:
    known = _KNOWN.get((first.lower(), second.lower()))
    log.notes[f'records read as {f"{known}: " if known else ""}"{first}" of {second}'] += 1


def _list(turns: Any) -> list[Any]:
    if isinstance(turns, str) and turns.lstrip().startswith("["):  # as a table or a data set may hold it
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError):
            raise BrokenRecord("the list of turns is not JSON") from None
    if not isinstance(turns, list) or not turns:
        raise BrokenRecord('no list of turns under "turns" or "conversations"')
    return turns


def _exchange(record: dict[str, Any], fields: Mapping[str, str], log: ReadLog) -> tuple[list[bool], list[str]]:
    """A question, its answer, and what was said before."""
    query, reply = _text(record, fields["query"]), " ".join(split_turns(_text(record, fields["reply"])))
    more = record.get("input") if fields["query"] == "instruction" else None
    if isinstance(more, str) and more.strip():
        query = f"{query}\n{more}"
    before = value_at(record, fields["context"]) if "context" in fields else None
    by_agent, texts = said_before(before, log.edits)
    asked = split_turns(query)  # a whole dialogue may stand there; the reply answers its last turn
    by_agent += [(len(asked) - i) % 2 == 0 for i in range(len(asked))]
    known = _KNOWN.get((fields["query"].lower(), fields["reply"].lower()))
    history = f' and "{fields["context"]}"' if "context" in fields else ""
    form = f'"{fields["query"]}" and "{fields["reply"]}"{history}'
    log.notes[f"records read as {f'{known}: ' if known else 'question and answer: '}{form}"] += 1
    return [*by_agent, True], [*texts, *asked, reply]


def _text(record: dict[str, Any], name: str) -> str:
    value = value_at(record, name)
    if not isinstance(value, str):
        raise BrokenRecord(f'"{name}" is {type(value).__name__}, not a text')
    if not value.strip():
        raise BrokenRecord(f'"{name}" is empty')
    return value


def _name(record: dict[str, Any], fields: Mapping[str, str], field: str) -> str | None:
    value = value_at(record, fields[field]) if field in fields else None
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BrokenRecord(f'"{fields[field]}" is {type(value).__name__}, not a text or a whole number')
    return str(value).strip()


@dataclass(frozen=True, kw_only=True)
class RecordCorpus(FileCorpus):
    """Shops from a file of records. Arguments: see `FileCorpus`.

    columns: field -> column or key (a path such as scenario.flow), of the fields in `columns.py`; null is told from the
             usual names
    """

    columns: Mapping[str, str | None] | None = None

    @abstractmethod
    def records(self, log: ReadLog, columns: Columns) -> Iterator[tuple[int, Any]]:
        """(number from 1, record) of the file.

        Raises:
            CorpusError: the file is missing or is of another format.
        """

    def sessions(self, log: ReadLog) -> Iterator[RawSession]:
        """The sessions of the records."""
        columns = Columns.of(self.columns)
        return read_records(self.records(log, columns), log, columns)
