"""From replies to updates that an aggregator may have: read once, put through the transforms, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import RecordDict

from ecc_fed.core.aggregation import AdapterUpdate, Patterns, select
from ecc_fed.core.protocols import UpdateTransform
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.results import FederationError
from ecc_fed.federation.wire import checks, records
from ecc_fed.federation.wire.checks import RefusedReply


@dataclass(frozen=True, slots=True)
class Received:
    """A round's replies, in shop order.

    Attributes:
        replied: every update that may count, as it was sent, by shop.
        updates: what the aggregator gets of them, after the transforms' server side; empty where
            nothing was asked for.
        refused: why others may not count, by shop.
    """

    replied: Mapping[str, AdapterUpdate]
    updates: Sequence[AdapterUpdate]
    refused: Mapping[str, str]


def receive(
    replies: Mapping[str, RecordDict],
    server_round: int,
    up: Patterns,
    transforms: Sequence[UpdateTransform],
    sent: Mapping[str, AdapterState],
) -> Received:
    """Reads a round's replies.

    Args:
        replies: by shop, in shop order.
        server_round: the round.
        up: the tensors that were asked for.
        transforms: in the order in which the devices applied them.
        sent: by shop, what went down before the round.

    Raises:
        FederationError: what transforms made of all updates together cannot be used.
    """
    replied: dict[str, AdapterUpdate] = {}
    refused: dict[str, str] = {}
    for shop_id, content in replies.items():
        try:
            replied[shop_id] = records.read_update(content, shop_id, server_round, up)
        except RefusedReply as error:
            refused[shop_id] = str(error)
    if not up or not replied:
        return Received(replied, [], refused)
    updates = list(replied.values())
    for transform in reversed(transforms):
        updates = transform.on_server(updates)
    unfit: dict[str, str] = {}
    updates = _fit(updates, unfit, lambda adapter: checks.check_tensors(adapter, up))
    if updates:
        expected = _expected(updates, up, sent)
        updates = _fit(updates, unfit, lambda adapter: checks.check_signature(adapter, expected))
    for reason in unfit.values():
        if any(transform.sums_only for transform in transforms):
            raise FederationError(f"The sum of the updates cannot be used: {reason}")
    kept = {shop_id: update for shop_id, update in replied.items() if shop_id not in unfit}
    return Received(kept, updates, refused | unfit)


def _fit(
    updates: Iterable[AdapterUpdate], unfit: dict[str, str], check: Callable[[AdapterState], None]
) -> list[AdapterUpdate]:
    """Those that pass; the others' reasons go into `unfit`."""
    fit = []
    for update in updates:
        try:
            check(update.adapter)
            fit.append(update)
        except RefusedReply as error:
            unfit[update.shop_id] = str(error)
    return fit


def _expected(updates: Sequence[AdapterUpdate], up: Patterns, sent: Mapping[str, AdapterState]) -> checks.Signature:
    """Names and shapes that an update must have: those of what was sent, or else those of most updates."""
    found = [checks.signature(update.adapter) for update in updates]
    known = [checks.signature(part) for adapter in sent.values() if (part := select(adapter, up))]
    if not known:
        return checks.most_common(found)
    least = checks.most_common(known)
    return checks.most_common([one for one in found if set(least) <= set(one)] or [least])
