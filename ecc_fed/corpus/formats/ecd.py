"""ECD, the E-commerce Dialogue Corpus (Zhang et al. 2018, "Modeling Multi-turn Conversation with Deep
Utterance Aggregation"), from its tab-separated files.

A line is `label<TAB>turn<TAB>…<TAB>response`. Speakers take turns and the response is the agent's, so
the speaker of every turn follows from its distance to the response. Lines of label 0 hold a response
taken from elsewhere and are dropped.

Sessions: ECD has no session numbers, and lines cut from one chat stand one after another with a growing
(or equal) context. A line of label 1 whose context equals or extends the context of the line before it
belongs to the same session; the session is then the longest of those lines, so each turn of a chat is
held once, however many lines repeat it. A second response to the same context has no place in one
chat and is counted as `alternative_reply`.

Words: ECD is segmented with spaces. They are dropped next to Chinese and kept inside Latin text and
numbers ("iPhone 12 Pro"); around a lone sign they are dropped too ("15 : 00" is 15:00).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ecc_fed.corpus.formats.files import FileCorpus, Reader
from ecc_fed.corpus.formats.reading import RawSession, ReadLog, read_lines

_LATIN = "0-9A-Za-z\u00c0-\u024f"
# A space that stays: between two Latin words or numbers, or after a sign that ends a Latin phrase.
_KEPT_SPACE = re.compile(rf" (?=[{_LATIN}])(?:(?<=[{_LATIN}] )|(?<=[,!?;%] )(?=[A-Za-z]))")
_MAYBE_KEPT = re.compile(rf"[{_LATIN},!?;%] [{_LATIN}]")


def join_words(text: str) -> str:
    """Undoes word segmentation: "我 要 iPhone 12 Pro 一 台" becomes "我要iPhone 12 Pro一台"."""
    if _MAYBE_KEPT.search(text) is None:
        return text.replace(" ", "")
    return _KEPT_SPACE.sub("\x00", text).replace(" ", "").replace("\x00", " ")


def _session(number: int, dialogue: str) -> RawSession:
    texts = join_words(dialogue.replace("\x00", "")).split("\t")
    # The last turn is the agent's, the one before it the customer's, and so on.
    return RawSession(f"ecd-{number}", None, number, ([False, True] * len(texts))[-len(texts) :], texts)


def _fault(line: str) -> str | None:
    if not line.startswith(("0\t", "1\t")):
        return f"starts with {line[:20]!r}, not with label 0 or 1 and a tab"
    if line.count("\t") < 2:
        return "2 columns instead of 3 or more"
    if line[2] == "\t" and line.count("\t") == 2:
        return "holds no context"
    return "holds no response" if line.endswith("\t") else None


def read_ecd(log: ReadLog) -> Iterator[RawSession]:
    """The sessions of an ECD file, in the file's order.

    Raises:
        CorpusError: the file is missing or is no ECD file (see `read_lines`).
    """
    first = 0  # number of the open session's first line; 0 where there is none
    context = dialogue = ""  # the open session's longest context, and the same with its response
    for number, line in read_lines(log):
        if (fault := _fault(line)) is not None:
            log.broken(number, fault)
            continue
        if line[0] == "0":
            log.dropped["label_0"] += 1
            continue
        text = line[2:]
        if first and text.startswith(context + "\t"):
            if text.startswith(dialogue + "\t"):
                context, dialogue = text[: text.rfind("\t")], text
            elif text == dialogue:
                log.dropped["repeated_line"] += 1
            else:
                # The same context answered in another way: the longer line is kept.
                log.dropped["alternative_reply"] += 1
                end = text.rfind("\t")
                if end > len(context):
                    context, dialogue = text[:end], text
            continue
        if first:
            yield _session(first, dialogue)
        first, context, dialogue = number, text[: text.rfind("\t")], text
    if first:
        yield _session(first, dialogue)


@dataclass(frozen=True, kw_only=True)
class EcdCorpus(FileCorpus):
    """Shops from an ECD file. Arguments: see `FileCorpus`."""

    format: ClassVar[str] = "ecd"
    expected: ClassVar[str] = "ECD: a line is `label<TAB>turn<TAB>…<TAB>response`, label 0 or 1, words split by spaces"
    reader: ClassVar[Reader] = staticmethod(read_ecd)
