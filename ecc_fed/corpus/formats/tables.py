"""Dialogues in a table: CSV or TSV with a header, a dialogue, a question with its answer or a turn in every row.

What the columns hold is told from their names, or as `corpus.columns` says (`records.py`). Commas, tabs, semicolons or
bars part the cells, whichever the header has most of; a cell in double quotes may hold any of them, and line ends.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.columns import FIELDS, Columns, is_record
from ecc_fed.corpus.formats.reading import ReadLog, looks_like, read_lines
from ecc_fed.corpus.formats.records import RecordCorpus

_SIGNS = "\t,;|"


def read_rows(log: ReadLog) -> Iterator[tuple[int, list[str]]]:
    """(line on which it ends, cells) of every row, the header first; no row is longer or shorter than that.

    Raises:
        CorpusError: the file is missing or most of its rows are broken (see `read_lines`).
    """
    lines = read_lines(log)
    number, first = next(lines, (0, ""))
    header = 0
    sign = max(_SIGNS, key=first.count)

    def texts() -> Iterator[str]:
        nonlocal number
        yield f"{first}\n"
        for number, line in lines:  # noqa: B007 - the closure's
            yield f"{line}\n"

    rows = csv.reader(texts(), delimiter=sign, strict=True)
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            log.broken(number, f"{error}: a quote stands alone or a cell is too long")
            continue
        if row is None:
            return
        header = header or len(row)
        if len(row) != header:
            log.broken(number, f"{len(row)} cells instead of {header}")
            continue
        yield number, row


def check_header(header: list[str], log: ReadLog, columns: Columns) -> None:
    """Refuses a table of which nobody can say what its columns hold.

    Raises:
        CorpusError: a column that is named is not there, or no dialogue can be read from those that are.
    """
    listed = ", ".join(repr(name[:40]) for name in header[:20])
    found = columns.find(header)
    for field, column in columns.given.items():
        if field not in found:
            raise CorpusError(
                f"corpus file {log.path} has no column {column!r} for corpus.columns.{field}. Its columns: {listed}."
            )
    if is_record(header, columns):
        return
    other = looks_like(log.sample)
    hint = f" It looks like {other.upper()}: use corpus={other}." if other not in (None, "csv", log.format) else ""
    raise CorpusError(
        f"corpus file {log.path}: its first line should name columns that make a dialogue, and holds {listed}. Put "
        "a header there, such as query,reply or session,role,text, or say which column holds what, as with "
        f"corpus.columns.query=NAME corpus.columns.reply=NAME (fields: {', '.join(FIELDS)}).{hint}"
    )


@dataclass(frozen=True, kw_only=True)
class TableCorpus(RecordCorpus):
    """Shops from a table. Arguments: see `RecordCorpus`."""

    format: ClassVar[str] = "csv"
    expected: ClassVar[str] = (
        "a table whose first line names its columns, such as query,reply or session,role,text, cells parted by "
        "commas, tabs, semicolons or bars"
    )
    order: ClassVar[str] = "Split in the file's order, which is taken for that of time."

    def records(self, log: ReadLog, columns: Columns) -> Iterator[tuple[int, Any]]:
        """See `RecordCorpus`."""
        rows = read_rows(log)
        _, header = next(rows, (0, []))
        header = [name.strip() for name in header]
        check_header(header, log, columns)
        log.dropped["header"] += 1
        for number, row in rows:
            yield number, dict(zip(header, row, strict=True))
