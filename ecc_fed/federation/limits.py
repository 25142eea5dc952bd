"""What a shop's reply can be at most, by the server's own settings: nothing that a shop says moves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.ranges import require, require_one_of

NormRule = Literal["flag", "refuse"]


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """What the server accepts of a shop: the group `replies` of a run.

    Raises:
        ConfigError: a value out of range.
    """

    # A reply with a tensor that holds a value beyond this, either way, is refused.
    max_value: float = 1e4
    # An update is too large where its norm exceeds so many times the median of its round; null: none is.
    norm_factor: float | None = 10.0
    # What becomes of it. flag: it counts, and stands flagged in updates.jsonl; refuse: it is left out.
    norm_rule: NormRule = "flag"
    # A shop of which a reply to a public query is longer than this is refused.
    max_characters: int = 1000

    def __post_init__(self) -> None:
        require(0 < self.max_value <= 1e9, "replies.max_value", self.max_value, "above 0, at most 1e9")
        factor = self.norm_factor
        require(factor is None or factor > 1, "replies.norm_factor", factor, "above 1, or null")
        most = self.max_characters
        require(1 <= most <= 10**6, "replies.max_characters", most, "1 to 1,000,000")
        require_one_of("replies.norm_rule", self.norm_rule, get_args(NormRule))


# Counts up to here are exact as floats, in every language's JSON too.
MOST_EXAMPLES = 2**53


def _unscaled(rank: int) -> float:
    return 1.0


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """What one reply may hold.

    Attributes:
        settings: declared bounds.
        scale_at: the s of W + s B A for an adapter of a rank, as the run's adapter settings say.
        max_examples: that a shop can learn from in one server round.
        shapes: names and shapes of a fresh adapter; its rank is the highest where ranks may differ. None: not
            known yet, and then no update is taken.
        shared_rank: of every pair so many ranks travel; None: all.
        scale_factors: by what the s of a shop's adapter is multiplied, dealt in turn in the order of the shops' names;
            empty: by nothing.
    """

    settings: ReplySettings = ReplySettings()
    scale_at: Callable[[int], float] = _unscaled
    max_examples: int = MOST_EXAMPLES
    shapes: Shapes | None = None
    shared_rank: int | None = None
    scale_factors: tuple[float, ...] = ()
