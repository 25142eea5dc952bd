"""Customer Support on Twitter (TWCS), from its CSV file: a tweet a row, and companies as shops.

Columns: tweet_id, author_id, inbound (True: a customer's), created_at, text, response_tweet_id,
in_response_to_tweet_id.

A conversation is a tweet that answers none in the file, with all that answer it directly or by others, in the order of
time. Its shop is the company that answers first, its customer who writes first; what other people and companies say
in between is left out and counted. Names that a tweet begins with ("@115712 …") say whom it answers and go.

Conversations stand in the order of their first tweets' time. In memory are some 60 bytes for every tweet; the texts
are in a temporary file.
"""

from __future__ import annotations

import calendar
import re
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, cast

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.files import FileCorpus, Reader
from ecc_fed.corpus.formats.reading import RawSession, ReadLog
from ecc_fed.corpus.formats.tables import read_rows

_COLUMNS = ("tweet_id", "author_id", "inbound", "created_at", "text", "in_response_to_tweet_id")
_ADDRESSED = re.compile(r"(?:@\w+\s*)+")
_TIME = re.compile(r"\w{3} (\w{3}) (\d\d?) (\d\d):(\d\d):(\d\d) \+0000 (\d{4})")
_MONTHS = {name: i for i, name in enumerate(calendar.month_abbr) if name}
_NUMBER = re.compile(r"(\d{1,18})(?:\.0)?")  # tables that were written anew have 3.0 for 3

Numbers = npt.NDArray[np.int64]


def _seconds(created_at: str) -> int | None:
    match = _TIME.fullmatch(created_at)
    month = _MONTHS.get(match[1]) if match else None
    if match is None or month is None:
        return None
    return calendar.timegm((int(match[6]), month, *map(int, match.group(2, 3, 4, 5))))


class _Tweets:
    """All tweets of a file, by number."""

    def __init__(self) -> None:
        self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="ecc_fed-tweets-"))  # noqa: SIM115 - closed by `close`
        self._ends = array("q", [0])
        self.ids, self.answered, self.times, self.lines, self.authors = (array("q") for _ in range(5))
        self.inbound = array("b")
        self._numbers: dict[str, int] = {}

    def add(self, line: int, cells: dict[str, str]) -> str | None:
        """Keeps a tweet, or says what is wrong with it."""
        number = _NUMBER.fullmatch(cells["tweet_id"])
        before = _NUMBER.fullmatch(cells["in_response_to_tweet_id"])
        seconds = _seconds(cells["created_at"])
        if number is None or (before is None and cells["in_response_to_tweet_id"] not in ("", "nan")):
            return "tweet_id or in_response_to_tweet_id is no whole number"
        if cells["inbound"] not in ("True", "False"):
            return f"inbound is {cells['inbound'][:20]!r}, not True or False"
        if seconds is None:
            return f"created_at is {cells['created_at'][:40]!r}, not as in 'Tue Oct 31 22:10:47 +0000 2017'"
        data = cells["text"].encode(errors="replace")
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        self.ids.append(int(number[1]))
        self.answered.append(int(before[1]) if before else -1)
        self.times.append(seconds)
        self.lines.append(line)
        self.inbound.append(cells["inbound"] == "True")
        self.authors.append(self._numbers.setdefault(cells["author_id"], len(self._numbers)))
        return None

    def names(self) -> list[str]:
        """The authors, by number."""
        return list(self._numbers)

    def text(self, row: int) -> str:
        """What a tweet says, without whom it is addressed to."""
        self._file.seek(self._ends[row])
        text = self._file.read(self._ends[row + 1] - self._ends[row]).decode()
        match = _ADDRESSED.match(text)
        return text[match.end() :] if match else text

    def close(self) -> None:
        """Lets the texts go."""
        self._file.close()


def conversations(ids: Numbers, answered: Numbers) -> Numbers:
    """(tweets,): the row of the tweet with which each one's conversation begins.

    `answered` holds the id of the tweet that each answers, -1 or an unknown one where it begins a conversation.
    """
    order = np.argsort(ids, kind="stable")
    places = np.minimum(np.searchsorted(ids[order], answered), len(ids) - 1)
    up = np.where(ids[order][places] == answered, order[places], np.arange(len(ids)))
    for _ in range(max(1, len(ids)).bit_length()):  # each step looks twice as far up
        up = up[up]
    return up


def _sessions(tweets: _Tweets, log: ReadLog) -> Iterator[RawSession]:
    times, names = np.array(tweets.times), tweets.names()
    roots = conversations(np.array(tweets.ids), np.array(tweets.answered))
    order = np.lexsort((np.arange(len(times)), times, roots))
    starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
    parts = np.split(order, starts[1:])
    for part in np.argsort(times[order[starts]], kind="stable"):
        rows = parts[part].tolist()
        company = next((tweets.authors[row] for row in rows if not tweets.inbound[row]), None)
        customer = next((tweets.authors[row] for row in rows if tweets.inbound[row]), None)
        kept = [row for row in rows if tweets.authors[row] == (customer if tweets.inbound[row] else company)]
        if len(kept) < len(rows):
            log.notes["tweets of other people and companies within a conversation are left out"] += len(rows) - len(
                kept
            )
        yield RawSession(
            f"tweet-{tweets.ids[rows[0]]}",
            None if company is None else names[company],
            tweets.lines[rows[0]],
            [not tweets.inbound[row] for row in kept],
            [tweets.text(row) for row in kept],
        )


def read_twcs(log: ReadLog) -> Iterator[RawSession]:
    """The conversations of a TWCS file, in the order of time.

    Raises:
        CorpusError: the file is missing or is no TWCS file.
    """
    rows = read_rows(log)
    _, header = next(rows, (0, []))
    lacking = [name for name in _COLUMNS if name not in header]
    if lacking:
        raise CorpusError(
            f"corpus file {log.path} is not in the TWCS format: its first line names no column {', '.join(lacking)}. "
            f"Expected {log.expected}; for another table use corpus=csv."
        )
    log.dropped["header"] += 1
    tweets = _Tweets()
    for number, row in rows:
        fault = tweets.add(number, dict(zip(header, row, strict=True)))
        if fault is not None:
            log.broken(number, fault)
    if tweets.ids:
        yield from _sessions(tweets, log)
    tweets.close()


@dataclass(frozen=True, kw_only=True)
class TwcsCorpus(FileCorpus):
    """Shops from a TWCS file. Arguments: see `FileCorpus`."""

    format: ClassVar[str] = "twcs"
    expected: ClassVar[str] = f"TWCS: a table with the columns {', '.join(_COLUMNS)}"
    order: ClassVar[str] = "Split in the order of time, by each conversation's first tweet."
    reader: ClassVar[Reader] = staticmethod(read_twcs)
