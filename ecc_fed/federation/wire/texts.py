"""Texts on the wire: one JSON list in UTF-8, so that its bytes can be counted, and read with doubt on the server."""

from __future__ import annotations

import json
from collections.abc import Sequence

from flwr.app import ConfigRecord

from ecc_fed.federation.wire.checks import RefusedReply, shown

TEXTS = "texts"
# JSON's longest way to write one: two escapes, as \ud83d\ude00 for a character beyond the first plane.
_MOST_BYTES_A_CHARACTER = 12


def to_texts(texts: Sequence[str]) -> ConfigRecord:
    """The texts as they travel."""
    return ConfigRecord({TEXTS: json.dumps(list(texts), ensure_ascii=False).encode("utf-8", "replace")})


def from_texts(record: ConfigRecord | None) -> tuple[str, ...]:
    """What the server sent; nothing where it sent none."""
    return () if record is None else tuple(json.loads(record[TEXTS]))  # type: ignore[arg-type]


def read_replies(record: ConfigRecord | None, count: int, max_characters: int) -> tuple[str, ...]:
    """What a shop sent: `count` texts of at most `max_characters` each, which may be empty.

    Raises:
        RefusedReply: it is something else.
    """
    data = None if record is None else record.get(TEXTS)
    if record is None or set(record) != {TEXTS} or not isinstance(data, bytes):
        raise RefusedReply("the reply holds no replies to the public queries")
    most = count * (max_characters * _MOST_BYTES_A_CHARACTER + 4) + 2
    if len(data) > most:
        raise RefusedReply(f"the replies to the public queries take {len(data)} bytes; {most} are the most")
    try:
        texts = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RefusedReply(f"the replies to the public queries cannot be read: {shown(str(error))}") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RefusedReply("the replies to the public queries are no list of texts")
    if len(texts) != count:
        raise RefusedReply(f"{len(texts)} replies came to {count} public queries")
    for place, text in enumerate(texts, start=1):
        if len(text) > max_characters:
            raise RefusedReply(
                f"the reply to public query {place} has {len(text)} characters; replies.max_characters is "
                f"{max_characters}"
            )
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise RefusedReply(f"the reply to public query {place} holds half a character")
    return tuple(texts)
