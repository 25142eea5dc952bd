"""A row of `agreed.jsonl`: what the shops' replies to one public query became in one server round."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgreedRow:
    """One public query in a round after which shops answered it.

    Attributes:
        reply: the agreed one; empty where no shop said anything, or where they do not agree.
        similarity: of the likest reply to all that were said, 0 to 100; None where no shop said anything.
        voices: how many shops said something and counted.
    """

    server_round: int
    query: str
    reply: str
    similarity: float | None
    voices: int
