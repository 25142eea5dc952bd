"""From replies to updates that an aggregator may have: sorted by shop, read once, checked, transformed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flwr.app import Message

from ecc_fed.core.aggregation import AdapterUpdate, Exchange, Shapes, matches, select
from ecc_fed.core.records import AdapterState, EvaluationReport
from ecc_fed.end_model.adapters.settings import dealt
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.wire import checks, replies
from ecc_fed.federation.wire.checks import RefusedReply, shown
from ecc_fed.federation.wire.replies import Asked

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class SortedReplies:
    """A round's messages by whom they come from.

    Attributes:
        by_shop: of every shop that replied once, in shop order; errors included.
        refused: why others' may not count, by shop.
        strangers: nodes that replied without having been asked.
    """

    by_shop: Mapping[str, Message]
    refused: Mapping[str, str]
    strangers: tuple[int, ...]


def sort_replies(messages: Iterable[Message], shops: Mapping[int, str]) -> SortedReplies:
    """Of a shop that replies more than once nothing counts: which reply came first depends on the network alone."""
    by_node: dict[int, list[Message]] = {}
    for message in messages:
        by_node.setdefault(message.metadata.src_node_id, []).append(message)
    found = {shop_id: by_node.get(node_id, []) for node_id, shop_id in shops.items()}
    return SortedReplies(
        {shop_id: several[0] for shop_id, several in found.items() if len(several) == 1},
        {shop_id: f"{len(several)} replies came in place of one" for shop_id, several in found.items() if several[1:]},
        tuple(sorted(by_node.keys() - shops.keys())),
    )


@dataclass(frozen=True, slots=True)
class Received:
    """A round's replies, in shop order.

    Attributes:
        replied: every update that may count, as it was sent, by shop.
        updates: what the aggregator gets of them, after the transforms' server side; empty where
            nothing was asked for.
        refused: why others may not count, by shop.
        unusable: why nothing can be made of the updates together; None where something can.
    """

    replied: Mapping[str, AdapterUpdate]
    updates: Sequence[AdapterUpdate]
    refused: Mapping[str, str]
    unusable: str | None = None


def receive(
    messages: Mapping[str, Message],
    asked: Mapping[str, Asked],
    exchange: Exchange,
    plan: FederationPlan,
    sent: Mapping[str, AdapterState],
) -> Received:
    """Reads a training round's replies, each held against the server's own settings.

    Args:
        messages: with content, by shop, in shop order.
        asked: what each of the run's shops must answer.
        exchange: what trained, and what was asked for.
        plan: what a reply can be at most, and the transforms in the order in which the devices applied them.
        sent: by shop, what went down before the round.
    """
    up = exchange.up
    own = {name: shape for name, shape in (plan.limits.shapes or {}).items() if matches(name, up)}
    control = {name: shape for name, shape in own.items() if exchange.control and matches(name, exchange.train)}

    def wanted(shop_id: str) -> Shapes:
        """What a shop was sent has the shapes that the server gave it."""
        return {**own, **checks.shapes_of(select(sent.get(shop_id, {}), up))}

    if plan.secure is not None:
        return _receive_done(messages, asked)
    factors = dealt(plan.limits.scale_factors, list(asked))

    def read(message: Message, question: Asked) -> AdapterUpdate:
        return replies.read_update(
            message.content,
            question,
            wanted(question.shop_id),
            plan.limits,
            mixed_ranks=plan.aggregator.mixed_ranks,
            masked=plan.sums_only,
            control=control,
            scale_factor=factors.get(question.shop_id, 1.0),
            num_replies=len(plan.queries) if plan.asks(question.server_round) else 0,
        )

    replied, refused = _read_all(messages, asked, read)
    if not up or not replied or not plan.transforms:
        return Received(replied, list(replied.values()) if up else [], refused)
    updates = list(replied.values())
    for transform in reversed(plan.transforms):
        updates = transform.on_server(updates)
    unfit: dict[str, str] = {}
    for update in updates:
        # A sum stands for all shops and is what the first of them could have sent.
        try:
            check_transformed(update, wanted(next(iter(replied)) if plan.sums_only else update.shop_id), plan)
        except RefusedReply as error:
            unfit[update.shop_id] = str(error)
    if unfit and plan.sums_only:
        return Received(replied, [], refused, unusable_sum(next(iter(unfit.values()))))
    fit = [update for update in updates if update.shop_id not in unfit]
    kept = {shop_id: update for shop_id, update in replied.items() if shop_id not in unfit}
    return Received(kept, fit, {**refused, **unfit})


def _receive_done(messages: Mapping[str, Message], asked: Mapping[str, Asked]) -> Received:
    """A round between or after uploads, of which shops that mask tell nothing but that they are done."""

    def read(message: Message, question: Asked) -> AdapterUpdate:
        replies.read_done(message.content, question)
        return AdapterUpdate(question.shop_id, question.server_round, {}, 0)

    replied, refused = _read_all(messages, asked, read)
    return Received(replied, [], refused)


def check_transformed(update: AdapterUpdate, wanted: Shapes, plan: FederationPlan) -> None:
    """Whether an aggregator may have what the transforms' server side made.

    Raises:
        RefusedReply: it has other tensors or shapes, or values out of bounds.
    """
    checks.check_names(update.adapter, wanted)
    checks.check_shapes(update.adapter, wanted, plan.aggregator.mixed_ranks)
    checks.check_values(update.adapter, plan.limits.settings.max_value)


def unusable_sum(reason: str) -> str:
    """Why a round is skipped whose sum is out of bounds."""
    return f"the sum of the updates cannot be used: {reason}"


def receive_evaluations(
    messages: Mapping[str, Message], asked: Mapping[str, Asked], *, told: bool = True
) -> tuple[dict[str, EvaluationReport], dict[str, str]]:
    """The reports, and why others may not count, by shop; without `told` they say nothing but that they are done."""

    def done(message: Message, one: Asked) -> EvaluationReport:
        replies.read_done(message.content, one)
        return EvaluationReport(None)

    if not told:
        return _read_all(messages, asked, done)
    return _read_all(messages, asked, lambda message, one: replies.read_evaluate_reply(message.content, one))


def _read_all(
    messages: Mapping[str, Message], asked: Mapping[str, Asked], read: Callable[[Message, Asked], Answer]
) -> tuple[dict[str, Answer], dict[str, str]]:
    """What can be read, and why the rest cannot, by shop: whatever a reply holds, it harms its sender alone."""
    found: dict[str, Answer] = {}
    refused: dict[str, str] = {}
    for shop_id, message in messages.items():
        try:
            found[shop_id] = read(message, asked[shop_id])
        except RefusedReply as error:
            refused[shop_id] = str(error)
        except Exception as error:
            refused[shop_id] = f"the reply cannot be read: {type(error).__name__}: {shown(str(error))}"
    return found, refused
