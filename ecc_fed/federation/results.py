"""What a federated run leaves behind: plain records, one a round, whatever went wrong included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeVar

from ecc_fed.core.aggregation import AggregateReport, AggregatorState
from ecc_fed.core.errors import EccError
from ecc_fed.core.records import AdapterState, AgreedReply, EgressEntry, EvaluationReport
from ecc_fed.evolution.shop_state import adapter_digest

T = TypeVar("T")
Phase = Literal["base", "train", "final"]


class FederationError(EccError):
    """The federation cannot go on: no shop, no host, or an aggregator that fails."""


@dataclass(frozen=True, slots=True)
class ShopFailure:
    """A shop that was left out of one exchange.

    `dropped`: its ClientApp raised, its host died, or no reply came. `refused`: what it replied must
    not count. `details` holds the traceback of an unexpected error. `shop_id` is None where a node
    replied that stands for no shop of the run.
    """

    shop_id: str | None
    server_round: int
    phase: Phase
    kind: Literal["dropped", "refused"]
    reason: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class SkippedRound:
    """A round after which the server has the adapter it had before."""

    server_round: int
    reason: str


@dataclass(frozen=True, slots=True)
class ShopRound:
    """What the server learned from one shop in one round.

    `num_examples` is None under secure aggregation, where it learns that of all shops together alone.
    `update_norm` is the L2 norm of its update minus what it was sent of the same tensors; None where
    that was not sent, nothing came back, or the server sees sums only. `norm_ratio` is the update's norm
    over the median of its round's (`federation.norms`); `flags` names what stands out, as in `UpdateRow`.
    """

    num_examples: int | None
    metrics: Mapping[str, float]
    update_norm: float | None = None
    norm_ratio: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the server must know to go on after `server_round`.

    `adopted` names the shops that have trained on by themselves from the aggregator's latest; the
    others still have to be sent it. `agreed` are the replies to the public queries, where shops teach each other by
    them.
    """

    server_round: int = 0
    aggregator: AggregatorState = field(default_factory=AggregatorState)
    adopted: frozenset[str] = frozenset()
    agreed: tuple[AgreedReply, ...] = ()

    @property
    def aggregate(self) -> AdapterState | None:
        """The server's adapter; None before the first aggregate."""
        return self.aggregator.adapter


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One server round. `aggregation` is None where nothing was aggregated; `agreed` what replies became in it."""

    server_round: int
    shops: Mapping[str, ShopRound]
    failures: tuple[ShopFailure, ...]
    traffic: tuple[EgressEntry, ...]
    seconds: float
    skipped: SkippedRound | None = None
    aggregation: AggregateReport | None = None
    agreed: tuple[AgreedReply, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of all shops. The rows behind the means stay with the shops."""

    shops: Mapping[str, EvaluationReport] = field(default_factory=dict)
    failures: tuple[ShopFailure, ...] = ()
    traffic: tuple[EgressEntry, ...] = ()


def _ordered(rows: Mapping[str, T], places: Mapping[str, int]) -> dict[str, T]:
    return dict(sorted(rows.items(), key=lambda row: places[row[0]]))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run as far as it has come: with the shops' states, all that it needs to go on."""

    state: ServerState
    base: Evaluation = field(default_factory=Evaluation)
    rounds: tuple[RoundRecord, ...] = ()

    def in_order(self, shop_ids: Iterable[str]) -> Checkpoint:
        """With the shops in the run's order, which JSON does not keep."""
        places = {shop_id: place for place, shop_id in enumerate(shop_ids)}
        base = replace(self.base, shops=_ordered(self.base.shops, places))
        return replace(self, base=base, rounds=tuple(replace(r, shops=_ordered(r.shops, places)) for r in self.rounds))


@dataclass(frozen=True, slots=True)
class FederationResult:
    """A whole run, what was done before it was resumed included. Every shop's own adapter stays with the shop."""

    state: ServerState
    base: Evaluation
    rounds: tuple[RoundRecord, ...]
    final: Evaluation

    @property
    def failures(self) -> tuple[ShopFailure, ...]:
        """All failures in time order."""
        rounds = (failure for record in self.rounds for failure in record.failures)
        return (*self.base.failures, *rounds, *self.final.failures)

    @property
    def skipped_rounds(self) -> tuple[SkippedRound, ...]:
        """The rounds that changed nothing at the server."""
        return tuple(record.skipped for record in self.rounds if record.skipped is not None)

    @property
    def traffic(self) -> tuple[EgressEntry, ...]:
        """Every message that went between a shop and the server, in time order."""
        rounds = (entry for record in self.rounds for entry in record.traffic)
        return (*self.base.traffic, *rounds, *self.final.traffic)


def as_json(result: FederationResult) -> dict[str, Any]:
    """The run without its tensors, ready for JSON; the aggregate stands there by its digest."""
    aggregate = result.state.aggregate
    return {
        "server_round": result.state.server_round,
        "aggregate_sha256": None if aggregate is None else adapter_digest(aggregate),
        "base": _evaluation_json(result.base),
        "final": _evaluation_json(result.final),
        "rounds": [
            {
                "server_round": record.server_round,
                "shops": {shop_id: asdict(shop) for shop_id, shop in record.shops.items()},
                "relative_error": None if record.aggregation is None else record.aggregation.relative_error,
                "update_norm": None if record.aggregation is None else record.aggregation.update_norm,
                "agreed_replies": sum(bool(each.reply) for each in record.agreed),
                "seconds": record.seconds,
            }
            for record in result.rounds
        ],
        "failures": [asdict(failure) for failure in result.failures],
        "skipped_rounds": [asdict(skipped) for skipped in result.skipped_rounds],
        "traffic_bytes": traffic_bytes(result.traffic),
    }


def _evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    return {shop_id: asdict(report) for shop_id, report in evaluation.shops.items()}


def traffic_bytes(entries: tuple[EgressEntry, ...]) -> dict[str, int]:
    """Bytes by `<kind>_<direction>`."""
    total: dict[str, int] = {}
    for entry in entries:
        name = f"{entry.kind}_{entry.direction}"
        total[name] = total.get(name, 0) + entry.num_bytes
    return total
