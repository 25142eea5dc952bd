"""What the ledger holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# Of a digest in hex: 128 bits, so that nobody finds other bytes with the same one.
_DIGEST_CHARACTERS = 32


def short_digest(*parts: bytes) -> str:
    """The first 32 hex characters of the SHA-256 of all parts, one after the other.

    It tells who has the bytes whether they are these, and whoever guesses a short text whether the guess is right.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:_DIGEST_CHARACTERS]


@dataclass(frozen=True, slots=True)
class EgressEntry:
    """One line of the ledger: bytes that left a shop (or came to it), to whom and of what kind.

    `digest` is the `short_digest` of exactly the `num_bytes` counted; empty in ledgers of before it was written.
    """

    shop_id: str
    server_round: int
    destination: Literal["cloud_teacher", "aggregator", "pool"]
    direction: Literal["up", "down"]
    kind: str
    num_bytes: int
    redaction: str = "none"
    details: Mapping[str, str | int | float] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        if self.num_bytes < 0 or self.server_round < 0:
            raise ValueError(f"has num_bytes {self.num_bytes} and server_round {self.server_round}: both count from 0")


@dataclass(frozen=True, slots=True)
class TeacherText:
    """A text as it left for the cloud's teacher, redacted: the part `kind` of every prompt whose entry in the ledger
    has this digest.
    """

    shop_id: str
    kind: str
    digest: str
    text: str
