"""What shops and server teach each other by: queries that anybody may ask, and the replies to them."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.ranges import require, require_number

_MOST_QUERIES = 100_000


@dataclass(frozen=True, slots=True)
class QuerySource:
    """Where an arm's public queries come from.

    Args:
        path: a JSONL file with a `query` on every line; None: the corpus asks them.
        count: how many, 1 to 100,000. Of a file that holds more, the run's seed draws so many.

    Raises:
        ConfigError: a count out of range.
    """

    path: str | None = None
    count: int = 64

    def __post_init__(self) -> None:
        require_number("arm.queries.count", self.count, 1, _MOST_QUERIES)
        require(isinstance(self.count, int), "arm.queries.count", self.count, "a whole number")


@dataclass(frozen=True, slots=True)
class PublicSet:
    """What a shop is sent of the public queries before a server round.

    Attributes:
        queries: the same for every shop, in every round.
        agreed: the server's reply to each of them; empty where it has none. Without any, there are as many as none.
        asks: whether the shop is to answer the queries after the round.
    """

    queries: tuple[str, ...]
    agreed: tuple[str, ...] = ()
    asks: bool = True

    def __post_init__(self) -> None:
        if self.agreed and len(self.agreed) != len(self.queries):
            raise ValueError(f"{len(self.agreed)} agreed replies came to {len(self.queries)} public queries")


@dataclass(frozen=True, slots=True)
class AgreedReply:
    """What the server made of the shops' replies to one public query.

    Attributes:
        query: the query.
        reply: one of the shops' own replies; empty where none of them said anything, or where they do not agree.
        similarity: of the likest reply to all of them, weighted, 0 to 100; None where none of them said anything.
        voices: how many shops said something and counted.
    """

    query: str
    reply: str = ""
    similarity: float | None = None
    voices: int = 0
