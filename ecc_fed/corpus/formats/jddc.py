"""JDDC (Chen et al. 2020, "The JDDC Corpus: A Large-Scale Multi-Turn Chinese Dialogue Dataset for
E-commerce Customer Service"), from its tab-separated file.

A line is a turn: session, user, sent-by-agent (0 or 1), transferred, repeated, SKU or nan, text.
Lines of a session stand together. The text is anonymised with placeholders ([订单x], [数字x]), which are
kept: they are what the customer said, as far as anyone may know.

`transferred` and `repeated` are facts about a whole session (the chat was handed over; the customer
came back about the same matter) and are the same on all its lines, so they say nothing against a
turn: they are counted and drop nothing. Turns that really repeat are found by their text.

No column tells when a session was, and dates in the text are masked. The published file is sorted by session number,
and the numbers are hashes: a split by the file's order is a random one, and history is not before test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ecc_fed.corpus.formats.files import FileCorpus, Reader
from ecc_fed.corpus.formats.reading import RawSession, ReadLog, read_lines


def _fault(columns: list[str]) -> str | None:
    if len(columns) != 7:
        return f"{len(columns)} columns instead of 7"
    if not columns[0]:
        return "no session"
    for name, value in (("sent-by-agent", columns[2]), ("transferred", columns[3]), ("repeated", columns[4])):
        if value not in ("0", "1"):
            return f"{name} is {value[:20]!r}, not 0 or 1"
    return None


def read_jddc(log: ReadLog) -> Iterator[RawSession]:
    """The sessions of a JDDC file, in the file's order. A session ends where another begins.

    Raises:
        CorpusError: the file is missing or is no JDDC file (see `read_lines`).
    """
    session: RawSession | None = None
    for number, line in read_lines(log):
        columns = line.split("\t")
        if (fault := _fault(columns)) is not None:
            log.broken(number, fault)
            continue
        if session is None or session.session_id != columns[0]:
            if session is not None:
                yield session
            session = RawSession(columns[0], None, number, [], [])
            if columns[3] == "1":
                log.notes["sessions handed to another agent (kept)"] += 1
            if columns[4] == "1":
                log.notes["sessions of customers who came back about the same matter (kept)"] += 1
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
    order: ClassVar[str] = (
        "Split in the file's order, which is not that of time: JDDC tells no time, and the published file is sorted by "
        "session numbers that are hashes. History, stream and test are draws of one kind."
    )
    reader: ClassVar[Reader] = staticmethod(read_jddc)
