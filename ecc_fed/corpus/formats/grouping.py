"""Sessions from rows of one turn each, in whatever order the rows stand.

An agent serves two customers at once, and a log that is kept by time has the turns of both side by side. So rows are
kept in a temporary file until all are there, and a session is the rows of its name, in the order of the file; sessions
stand in the order of their first rows. In memory are a number or two for every row and the name of every session.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from ecc_fed.corpus.formats.reading import RawSession, ReadLog

_FIELD, _LINE_FEED = "\x1e", "\x1f"
REPEATED = "repeated_line"


class TurnRow(NamedTuple):
    """One turn: whose it is, of which session and shop, and the line it stands on."""

    session_id: str
    shop: str | None
    line_number: int
    by_agent: bool
    text: str


class TurnRows:
    """Takes rows in the file's order; `sessions` gives them back together."""

    def __init__(self) -> None:
        self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="ecc_fed-rows-"))  # noqa: SIM115 - lives until the rows are read
        self._ends = array("q", [0])
        self._session_of = array("l")
        self._numbers: dict[str, int] = {}

    def add(self, row: TurnRow) -> bool:
        """Keeps a row; True if it is the first of its session."""
        text = row.text.replace(_FIELD, " ").replace(_LINE_FEED, " ")
        fields = (row.session_id.replace(_FIELD, " "), row.shop or "", str(row.line_number), "01"[row.by_agent], text)
        data = _FIELD.join(fields).encode(errors="replace")
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        is_first = row.session_id not in self._numbers
        self._session_of.append(self._numbers.setdefault(row.session_id, len(self._numbers)))
        return is_first

    def sessions(self, log: ReadLog) -> Iterator[RawSession]:
        """Every session once. The rows of one that the file holds twice over count as `repeated_line`."""
        owners = np.array(self._session_of, dtype=np.int64)
        if not len(owners):
            return
        order = np.argsort(owners, kind="stable")
        starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
        ends = np.append(starts[1:], len(order))
        apart = int(np.count_nonzero(order[ends - 1] - order[starts] >= ends - starts))
        if apart:
            log.notes["sessions have lines of others between theirs, and are put together by their names"] += apart
        for rows in np.split(order, starts[1:]):
            yield self._session(rows.tolist(), log)
        self._file.close()

    def _session(self, rows: list[int], log: ReadLog) -> RawSession:
        found = [self._row(row) for row in rows]
        together = rows[-1] - rows[0] == len(rows) - 1
        said = [(row.by_agent, row.text) for row in found]
        times = 1 if together else _times(said)
        if times > 1:
            log.dropped[REPEATED] += len(said) - len(said) // times
            found = found[: len(said) // times]
        first = found[0]
        shop = next((row.shop for row in found if row.shop), None)
        texts = [row.text for row in found]
        return RawSession(first.session_id, shop, first.line_number, [row.by_agent for row in found], texts)

    def _row(self, row: int) -> TurnRow:
        self._file.seek(self._ends[row])
        data = self._file.read(self._ends[row + 1] - self._ends[row]).decode()
        session_id, shop, number, by_agent, text = data.split(_FIELD)
        return TurnRow(session_id, shop or None, int(number), by_agent == "1", text)


def _times(said: list[tuple[bool, str]]) -> int:
    """How many times over the list says one and the same: 2 for a file that was joined to itself."""
    for times in range(len(said) // 2, 1, -1):
        length, rest = divmod(len(said), times)
        if length >= 2 and not rest and said == said[:length] * times:
            return times
    return 1
