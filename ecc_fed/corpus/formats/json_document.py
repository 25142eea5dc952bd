"""One JSON document of many records, a record at a time: a list of them, or an object of records or of lists.

    [{…}, {…}]                       {"0": {…}, "1": {…}}            {"train": [{…}], "dev": [{…}]}

In memory is the record being read and what of the file was read with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.reading import PROBE_LINES, ReadLog, not_utf8, open_text

_CHUNK = 1 << 20
_MAX_RECORD = 64 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
# What a number at the end of the text that is there may go on with.
_UNENDED = re.compile(r"[\w+.-]*\Z")


class _Broken(Exception):
    """Where the document is no JSON."""


class _Text:
    """What of a file was read and not yet used; `at` is the place in it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held = ""
        self.at = 0
        self.used = 0  # characters before `_held`

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            match = _SPACE.match(self._held, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self._held) or not self._more():
                return self._held[self.at : self.at + 1]

    def take(self, sign: str) -> bool:
        """Whether `sign` is next, which is then taken."""
        if self.peek() != sign:
            return False
        self.at += 1
        return True

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self.at)
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or len(self._held) - self.at > _MAX_RECORD or not self._more():
                    raise _Broken from error
                continue
            if _UNENDED.match(self._held, end) and self._more():
                continue
            self.at = end
            return value

    def _more(self) -> bool:
        # Twice as much every time: a record that needs many chunks is not parsed once for each.
        chunk = self._file.read(max(_CHUNK, len(self._held) - self.at))
        self.used += self.at
        self._held, self.at = self._held[self.at :] + chunk, 0
        return bool(chunk)


def _values(text: _Text) -> Iterator[Any]:
    """The values of a list, or the records of an object."""
    closing = "]" if text.take("[") else "}"
    if closing == "}" and not text.take("{"):
        raise _Broken
    if text.take(closing):
        return
    while True:
        if closing == "}":
            if not isinstance(text.value(), str) or not text.take(":"):
                raise _Broken
            if text.peek() == "[":
                yield from _values(text)
            else:
                yield text.value()
        else:
            yield text.value()
        if text.take(closing):
            return
        if not text.take(","):
            raise _Broken


def read_document(log: ReadLog) -> Iterator[tuple[int, Any]]:
    """(number from 1, record) of a JSON document; records count as the file's lines.

    Raises:
        CorpusError: the file cannot be read, is no JSON, or its records are of another kind (see `read_lines`).
    """
    binary = open_text(log.path, log.expected)
    binary.close()
    with log.path.open(encoding="utf-8-sig") as file:
        text = _Text(file)
        try:
            for record in _values(text):
                log.lines += 1
                yield log.lines, record
                if log.lines == PROBE_LINES:
                    log.refuse_foreign()
            if text.peek():
                raise _Broken
        except UnicodeDecodeError as error:
            raise not_utf8(
                log.path, f"byte {error.start + 1} of the part after record {log.lines}", error.object
            ) from error
        except _Broken as error:
            raise CorpusError(
                f"corpus file {log.path} is no whole JSON document: it breaks off or is wrong after record "
                f"{log.lines}, near character {text.used + text.at + 1}. Mend it, or write one JSON object "
                "on every line."
            ) from error
    log.notes["records of one JSON document, counted as lines"] += log.lines
    log.refuse_foreign()
