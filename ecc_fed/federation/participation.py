"""Which shops take part in a server round: a seeded share of them, of which some drop out.

Each shop draws for itself, by run, round and shop, so the sample is the same in every arm, in a run that goes on, and
under Flower's own engines, whatever the order of shops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecc_fed.core.ranges import require
from ecc_fed.core.seeding import derive_rng


@dataclass(frozen=True, slots=True)
class ParticipationSettings:
    """Who takes part in a round: the group `participation` of a run.

    A shop that does not is asked nothing and sent nothing: it keeps what it has, and the part of its stream that falls
    into the round is not served. All shops are evaluated.

    Raises:
        ConfigError: a value out of range.
    """

    # Of all shops, so many are drawn for a round, at least one.
    share: float = 1.0
    # Each of these drops out of the round with this probability, which stands among the run's failures.
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "participation.share", self.share, "above 0, at most 1")
        require(0 <= self.dropout < 1, "participation.dropout", self.dropout, "0 up to, not including, 1")


@dataclass(frozen=True, slots=True)
class TakingPart:
    """One round's shops, in the order given: those at work, and those that were drawn and dropped out."""

    present: tuple[str, ...]
    dropped: tuple[str, ...] = ()

    @property
    def drawn(self) -> int:
        """How many were to take part."""
        return len(self.present) + len(self.dropped)


@dataclass(frozen=True, slots=True)
class Participation:
    """The draws of a run.

    Args:
        settings: how many.
        seed: the run's.
    """

    settings: ParticipationSettings = ParticipationSettings()
    seed: int = 0

    def of_round(self, server_round: int, shop_ids: Iterable[str]) -> TakingPart:
        """Who takes part; all where the share is 1 and nobody drops out."""
        shops = tuple(shop_ids)
        count = max(1, round(self.settings.share * len(shops)))
        drawn = set(
            sorted(shops, key=lambda shop_id: (self._draw("participation", server_round, shop_id), shop_id))[:count]
        )
        out = {one for one in drawn if self._draw("dropout", server_round, one) < self.settings.dropout}
        return TakingPart(
            tuple(shop_id for shop_id in shops if shop_id in drawn - out),
            tuple(shop_id for shop_id in shops if shop_id in out),
        )

    def _draw(self, what: str, server_round: int, shop_id: str) -> float:
        return float(derive_rng(self.seed, what, server_round, shop_id).random())
