"""Which shops take part in a server round: of those that are there, a seeded share, of which some drop out.

Some shops may join late, drawn by the run's seed, and a trace may say when each of them is there.

Each shop draws for itself, by run, round and shop, so the sample is the same in every arm, in a run that goes on, and
under Flower's own engines, whatever the order of shops.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require
from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.trace import Trace

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ParticipationSettings:
    """Who takes part in a round: the group `participation` of a run.

    A shop that does not is asked nothing and sent nothing: it keeps what it has, and the part of its stream that falls
    into the round is not served. All shops are evaluated.

    Raises:
        ConfigError: a value out of range.
    """

    # Of the shops that are there, so many are drawn for a round, at least one.
    share: float = 1.0
    # Each of these drops out of the round with this probability, which stands among the run's failures.
    dropout: float = 0.0
    # Of all shops, so many, rounded, are not there before the server round `late_round`.
    late_share: float = 0.0
    late_round: int = 2
    # A JSON or CSV file with the server rounds in which each shop is there (`federation.trace`); null: in all.
    trace: str | None = None

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "participation.share", self.share, "above 0, at most 1")
        require(0 <= self.dropout < 1, "participation.dropout", self.dropout, "0 up to, not including, 1")
        require(0 <= self.late_share < 1, "participation.late_share", self.late_share, "0 up to, not including, 1")
        require(self.late_round >= 1, "participation.late_round", self.late_round, "1 or more")


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
        trace: when each shop is there; one that is not named is always there.
    """

    settings: ParticipationSettings = ParticipationSettings()
    seed: int = 0
    trace: Trace = field(default_factory=dict)

    def check_shops(self, shop_ids: Sequence[str]) -> None:
        """Refuses a trace of other shops than these.

        Raises:
            ConfigError: names the first that the run does not have.
        """
        unknown = sorted(self.trace.keys() - set(shop_ids))
        if unknown:
            raise ConfigError(
                f"participation.trace={self.settings.trace} names {unknown[0]}, and {len(unknown) - 1} more, which the "
                f"run does not have. Its shops: {', '.join(shop_ids[:_SHOWN])}{', ...' if shop_ids[_SHOWN:] else ''}."
            )

    def late_shops(self, shop_ids: Iterable[str]) -> frozenset[str]:
        """Those that are not there before `late_round`."""
        shops = tuple(shop_ids)
        count = round(self.settings.late_share * len(shops))
        return frozenset(self._first(shops, count, "late", 0)) if count else frozenset()

    def of_round(self, server_round: int, shop_ids: Iterable[str]) -> TakingPart:
        """Who takes part; all where the share is 1, all are there, and nobody drops out. It may be nobody."""
        shops = tuple(shop_ids)
        late = self.late_shops(shops) if server_round < self.settings.late_round else frozenset()
        there = [each for each in shops if each not in late and self._is_there(each, server_round)]
        count = max(1, round(self.settings.share * len(there)))
        drawn = set(self._first(there, count, "participation", server_round))
        out = {one for one in drawn if self._draw("dropout", server_round, one) < self.settings.dropout}
        return TakingPart(
            tuple(shop_id for shop_id in shops if shop_id in drawn - out),
            tuple(shop_id for shop_id in shops if shop_id in out),
        )

    def _is_there(self, shop_id: str, server_round: int) -> bool:
        return shop_id not in self.trace or server_round in self.trace[shop_id]

    def _first(self, shops: Sequence[str], count: int, what: str, server_round: int) -> list[str]:
        """The `count` shops of the lowest draws."""
        return sorted(shops, key=lambda shop_id: (self._draw(what, server_round, shop_id), shop_id))[:count]

    def _draw(self, what: str, server_round: int, shop_id: str) -> float:
        return float(derive_rng(self.seed, what, server_round, shop_id).random())
