"""A user's own file format: the reader and the class, as docs/own_parts.md says, in a module of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ecc_fed.corpus.formats.files import FileCorpus
from ecc_fed.corpus.formats.reading import RawSession, ReadLog, read_lines


def read_arrows(log: ReadLog) -> Iterator[RawSession]:
    """A line is a dialogue: `customer > agent > customer > …`."""
    for number, line in read_lines(log):
        texts = line.split(" > ")
        if len(texts) < 2:
            log.broken(number, "no arrow")
            continue
        yield RawSession(f"line-{number}", None, number, [i % 2 == 1 for i in range(len(texts))], texts)


@dataclass(frozen=True, kw_only=True)
class ArrowCorpus(FileCorpus):
    """Says what a line looks like."""

    format: ClassVar[str] = "arrows"
    expected: ClassVar[str] = "arrows: a line is `customer > agent > customer > …`"
    reader = staticmethod(read_arrows)


class PlainArrowCorpus(FileCorpus):
    """The least that the documentation asks for."""

    format = "arrows"
    reader = staticmethod(read_arrows)
