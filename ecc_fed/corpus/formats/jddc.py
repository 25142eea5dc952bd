"""JDDC (Chen et al. 2020, "The JDDC Corpus: A Large-Scale Multi-Turn Chinese Dialogue Dataset for
E-commerce Customer Service"), from its tab-separated file.

A line is a turn: session, user, sent-by-agent (0 or 1), transferred, repeated, SKU or nan, text.
Lines of a session stand together in the published file; where they do not, as in a log by time, they are put together.
The text is anonymised with placeholders ([订单x], [数字x]), which are kept: they are what the customer said, as far as
anyone may know.

`transferred` and `repeated` are facts about a whole session (the chat was handed over; the customer
came back about the same matter) and are the same on all its lines, so they say nothing against a
turn: they are counted and drop nothing. Turns that really repeat are found by their text.

No column tells when a session was, and dates in the text are masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from ecc_fed.corpus.formats.files import FileCorpus, Reader
from ecc_fed.corpus.formats.grouping import TurnRow, TurnRows
from ecc_fed.corpus.formats.reading import MAX_LINE_BYTES, RawSession, ReadLog, open_text, read_lines


def _fault(columns: list[str]) -> str | None:
    if len(columns) != 7:
        return f"{len(columns)} columns instead of 7"
    if not columns[0]:
        return "no session"
    for name, value in (("sent-by-agent", columns[2]), ("transferred", columns[3]), ("repeated", columns[4])):
        if value not in ("0", "1"):
            return f"{name} is {value[:20]!r}, not 0 or 1"
    return None


def _turns(log: ReadLog) -> Iterator[tuple[int, list[str]]]:
    """(line number, its seven columns) of every line that is whole."""
    for number, line in read_lines(log):
        columns = line.split("\t")
        if (fault := _fault(columns)) is not None:
            log.broken(number, fault)
            continue
        yield number, columns


def _note(columns: list[str], log: ReadLog) -> None:
    """What a session's first line says of it."""
    if columns[3] == "1":
        log.notes["sessions handed to another agent (kept)"] += 1
    if columns[4] == "1":
        log.notes["sessions of customers who came back about the same matter (kept)"] += 1


def _stand_apart(log: ReadLog) -> bool:
    """Whether any session has lines of another between its own: a look at the first column alone."""
    ended: set[int] = set()
    last = None
    with open_text(log.path, log.expected) as file:
        for raw in iter(partial(file.readline, MAX_LINE_BYTES), b""):
            name, tab, _ = raw.partition(b"\t")
            if not tab or name == last:
                continue
            if (key := hash(name)) in ended:
                return True
            ended.add(key)
            last = name
    return False


def read_jddc(log: ReadLog) -> Iterator[RawSession]:
    """The sessions of a JDDC file, in the order of their first lines.

    Raises:
        CorpusError: the file is missing or is no JDDC file (see `read_lines`).
    """
    if _stand_apart(log):
        rows = TurnRows()
        for number, columns in _turns(log):
            if rows.add(TurnRow(columns[0], None, number, columns[2] == "1", columns[6])):
                _note(columns, log)
        yield from rows.sessions(log)
        return
    session: RawSession | None = None
    for number, columns in _turns(log):
        if session is None or session.session_id != columns[0]:
            if session is not None:
                yield session
            session = RawSession(columns[0], None, number, [], [])
            _note(columns, log)
        session.by_agent.append(columns[2] == "1")
        session.texts.append(columns[6])
    if session is not None:
        yield session


@dataclass(frozen=True, kw_only=True)
class JddcCorpus(FileCorpus):
    """Shops from a JDDC file. Arguments: see `FileCorpus`."""

    format: ClassVar[str] = "jddc"
    expected: ClassVar[str] = (
        "JDDC: a line is seven tab-separated columns: session, user, sent-by-agent (0 or 1), "
        "transferred, repeated, SKU or nan, text"
    )
    order: ClassVar[str] = "Split in the file's order, which is not known to be that of time: JDDC tells no time."
    reader: ClassVar[Reader] = staticmethod(read_jddc)
