"""Lines of a corpus file: opened with care, broken ones counted, a foreign file refused by name."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.columns import is_record
from ecc_fed.corpus.report import BrokenLine

PROBE_LINES = 1000  # a foreign file is refused after this many lines, not after hours
KEPT_BROKEN_LINES = 20
MAX_LINE_BYTES = 4 << 20
_SAMPLE_BYTES = 10_000
# Of the bytes of a text; what it has of them is cleaned away, and a binary file has more.
_MOST_CONTROLS = 0.05
_CONTROLS = bytes([*range(9), 11, *range(14, 32)])
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_TABLES = {b"PAR1": "Parquet", b"ARROW1": "Arrow"}
_COMMON_HAN = re.compile("[的是我你不了在有这好]")


class RawSession(NamedTuple):
    """A session as the file tells it. `by_agent[i]` says who spoke `texts[i]`; `line_number` is its first line."""

    session_id: str
    shop: str | None
    line_number: int
    by_agent: list[bool]
    texts: list[str]


@dataclass
class ReadLog:
    """Counts of one pass over one file, which is to be of the format that `expected` describes."""

    path: Path
    format: str
    expected: str
    lines: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    broken_lines: list[BrokenLine] = field(default_factory=list)
    undecodable: int = 0
    undecoded: bytes = b""
    sample: str = ""

    def cannot_decode(self, number: int, line: bytes, error: UnicodeDecodeError) -> None:
        """Counts a line that is not UTF-8."""
        self.undecodable += 1
        self.undecoded += line[: max(0, _SAMPLE_BYTES - len(self.undecoded))]
        self.broken(number, f"not UTF-8 (byte {error.start + 1} of the line)")

    def broken(self, number: int, reason: str) -> None:
        """Counts a broken line and keeps the first few."""
        self.dropped["broken"] += 1
        if len(self.broken_lines) < KEPT_BROKEN_LINES:
            self.broken_lines.append(BrokenLine(number, reason))

    def refuse_foreign(self) -> None:
        """Refuses a file most of whose lines are broken.

        Raises:
            CorpusError: more than half of the lines that are not blank are broken, or all are blank.
        """
        filled = self.lines - self.dropped["blank"]
        broken = self.dropped["broken"]
        if filled == 0:
            raise CorpusError(f"corpus file {self.path} is empty: no line to read. Expected {self.expected}.")
        if 2 * broken <= filled:
            return
        if 2 * self.undecodable > broken:
            raise not_utf8(self.path, f"{self.undecodable} of its first {self.lines} lines", self.undecoded)
        first = self.broken_lines[0]
        other = looks_like(self.sample)
        hint = f" It looks like {other.upper()}: use corpus={other}." if other not in (None, self.format) else ""
        raise CorpusError(
            f"corpus file {self.path} is not in the {self.format.upper()} format: {broken} of its first {filled} "
            f"lines are broken, the first being line {first.number} ({first.reason}). "
            f"Expected {self.expected}.{hint}"
        )


def not_utf8(path: Path, what: str, sample: bytes) -> CorpusError:
    """The error for a text in another encoding, which is told from what `sample` would say in it."""
    convert = f"Convert it first, as with `iconv -f {{}} -t UTF-8 {path.name} > utf8.txt`"
    # Text in Chinese has one of its ten commonest characters in no time; text in Latin letters gives rare ones.
    chinese = _COMMON_HAN.search(sample.decode("gb18030", errors="ignore")) is not None
    remedy = convert.format("GB18030" if chinese else "WINDOWS-1252")
    other = "" if chinese else " (or with GB18030, where it is Chinese)"
    return CorpusError(f"corpus file {path} is not UTF-8: {what} cannot be decoded. {remedy}{other}.")


def looks_like(line: str) -> str | None:
    """The format that one line fits, if any."""
    columns = line.split("\t")
    if line.lstrip()[:2] in ("[", "[{"):
        return "jsonl"
    if columns[0] in ("0", "1") and len(columns) >= 3:
        return "ecd"
    if len(columns) == 7 and columns[2] in ("0", "1"):
        return "jddc"
    if line.lstrip().startswith("{"):
        try:
            record = json.loads(line)
        except ValueError:
            return None
        return "jsonl" if isinstance(record, dict) else None
    return "csv" if is_record(line.split("\t" if "\t" in line else ",")) else None


def check_file(path: Path, expected: str) -> None:
    """Refuses what cannot be such a file, by its beginning.

    Raises:
        CorpusError: no such file, a directory, not readable, compressed or binary.
    """
    open_text(path, expected).close()


def open_text(path: Path, expected: str) -> BinaryIO:
    """The file at its beginning, once that has been looked at.

    Raises:
        CorpusError: no such file, a directory, not readable, compressed, binary, or in UTF-16.
    """
    remedy = f"Set corpus.path to a file of this kind: {expected}."
    if path.is_dir():
        raise CorpusError(f"corpus path {path} is a directory, not a file. {remedy}")
    if not path.exists():
        raise CorpusError(f"corpus file {path} does not exist. {remedy}")
    if not path.is_file():
        raise CorpusError(f"corpus path {path} is no regular file. {remedy}")
    try:
        file = path.open("rb")
        head = file.read(1 << 16)
        file.seek(0)
    except OSError as error:
        raise CorpusError(f"corpus file {path} cannot be read: {error.strerror}. Check its permissions.") from error
    problem = None
    if not head:
        problem = f"is empty. {remedy}"
    elif head[:2] in (b"\xff\xfe", b"\xfe\xff") or _every_other_is_nul(head):
        problem = f"is UTF-16. Convert it to UTF-8 first, as with `iconv -f UTF-16 -t UTF-8 {path.name} > utf8.txt`."
    else:
        packed = next((kind for magic, kind in _COMPRESSED.items() if head.startswith(magic)), None)
        if packed is not None:
            problem = f"is compressed ({packed}). Unpack it first. {remedy}"
        table = next((kind for magic, kind in _TABLES.items() if head.startswith(magic)), None)
        if table is not None:
            problem = f"is a table of {table}. Read its folder with corpus=hf corpus.path={path.parent}."
        elif packed is None and len(head.translate(None, _CONTROLS)) < (1 - _MOST_CONTROLS) * len(head):
            problem = f"is a binary file. {remedy}"
    if problem is not None:
        file.close()
        raise CorpusError(f"corpus file {path} {problem}")
    return file


def _every_other_is_nul(head: bytes) -> bool:
    """True for UTF-16 without a mark, where the text is of Latin letters."""
    fewer, more = sorted((head[0::2].count(0), head[1::2].count(0)))
    has_others = any(sign in _CONTROLS for sign in head.replace(b"\x00", b""))
    return more > 0.4 * len(head) and fewer < 0.1 * len(head) and not has_others


def read_lines(log: ReadLog) -> Iterator[tuple[int, str]]:
    """(number from 1, text without its end) of every line that is UTF-8 and not blank.

    Reads one line at a time, so a file of any size takes the memory of one line.

    Raises:
        CorpusError: no such file, a directory, not readable, compressed, binary, or of another format.
    """
    with open_text(log.path, log.expected) as file:
        for raw in iter(partial(file.readline, MAX_LINE_BYTES), b""):
            log.lines += 1
            number = log.lines
            if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
                while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                log.broken(number, f"longer than {MAX_LINE_BYTES >> 20} MiB")
                continue
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                log.cannot_decode(number, raw, error)
                continue
            if number == 1:
                line = line.removeprefix("\ufeff")
            line = line.rstrip("\r\n")
            if not line or line.isspace():
                log.dropped["blank"] += 1
                continue
            if not log.sample:
                log.sample = line
            yield number, line
            if number == PROBE_LINES:
                log.refuse_foreign()
    log.refuse_foreign()
