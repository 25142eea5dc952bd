"""Three shops of ten lie: whatever they send, the others' result is that of a run without them."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from ecc_fed.core.records import AdapterState
from ecc_fed.federation.flower.strategy import AdapterStrategy
from ecc_fed.federation.limits import ReplyLimits, ReplySettings
from ecc_fed.federation.participation import Participation, ParticipationSettings
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult, as_json
from ecc_fed.federation.rounds import Server, run_rounds
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.records import ARRAYS
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from tests.federation import hostile
from tests.federation.fakes import SHAPES, FakeDevice, aggregated, local
from tests.federation.hostile import LIES

HONEST = [f"honest_{number}" for number in range(7)]
# First, between the others, and last.
SHOPS = ["liar_0", *HONEST[:4], "liar_1", *HONEST[4:], "liar_2"]
LIARS = [shop for shop in SHOPS if shop.startswith("liar")]
LIMITS = ReplyLimits(max_examples=100, shapes=SHAPES)
# What one shop's one reply becomes.
Spoil = Callable[[str, Message], list[Message]]


class SpoiltGrid(HostGrid):
    """Replies pass through the hands of `spoil`."""

    spoil: Spoil

    def send_and_receive(self, messages, *, timeout=None):
        for reply in super().send_and_receive(messages, timeout=timeout):
            yield from self.spoil(self.shops[reply.metadata.src_node_id], reply)


def grid_of(shop_ids: list[str], spoil: Spoil = lambda _, reply: [reply]) -> SpoiltGrid:
    hosts = InProcessHosts()
    hosts.open(shop_ids, FakeDevice)
    grid = SpoiltGrid(hosts, shop_ids)
    grid.spoil = spoil
    return grid


def run(plan: FederationPlan, shop_ids: list[str] = SHOPS, **spoilt: Spoil) -> FederationResult:
    grid = grid_of(shop_ids, **spoilt)
    return run_rounds(Server(grid, grid.shops), replace(plan, limits=replace(plan.limits, shapes=SHAPES)))


def plan_of(rounds: int, settings: ReplySettings | None = None) -> FederationPlan:
    limits = replace(LIMITS, settings=settings or ReplySettings())
    return replace(aggregated(rounds, evaluates_base=False), limits=limits)


def same(left: AdapterState | None, right: AdapterState | None) -> bool:
    return left is not None and right is not None and all(np.array_equal(left[n], right[n]) for n in left)


def lying(lie_of: Callable[[str, int], Callable[[RecordDict], RecordDict] | None]) -> Spoil:
    def spoil(shop_id: str, reply: Message) -> list[Message]:
        server_round = int(reply.metadata.group_id)
        config = reply.content.config_records.get(records.CONFIG, {})
        lie = lie_of(shop_id, server_round) if config.get("phase") == "train" else None
        if lie is not None:
            reply.content = lie(reply.content)
        return [reply]

    return spoil


def in_turn(names: Iterator[str], places: dict[tuple[int, str], str]) -> Spoil:
    """Each liar tells the next lie."""

    def lie_of(shop_id: str, server_round: int) -> Callable[[RecordDict], RecordDict] | None:
        name = next(names, None) if shop_id in LIARS else None
        if name is None:
            return None
        places[server_round, shop_id] = name
        return LIES[name][0]

    return lying(lie_of)


ROUNDS = -(-len(LIES) // len(LIARS))


def test_every_lie_is_refused_by_name_and_the_honest_shops_result_is_that_without_the_liars():
    places: dict[tuple[int, str], str] = {}
    told = itertools.islice(itertools.cycle(LIES), ROUNDS * len(LIARS))
    result = run(plan_of(ROUNDS), spoil=in_turn(told, places))
    assert set(places.values()) == set(LIES)
    reasons = {(failure.server_round, failure.shop_id): failure for failure in result.failures}
    assert reasons.keys() == places.keys()
    for place, name in places.items():
        failure = reasons[place]
        assert (failure.kind, failure.phase) == ("refused", "train"), name
        assert LIES[name][1] in failure.reason, name
        assert len(failure.reason) < 700 and failure.reason.isprintable(), name
    assert hostile.Armed.fired == []
    expected = run(plan_of(ROUNDS), HONEST)
    assert same(result.state.aggregate, expected.state.aggregate)
    for ours, theirs in zip(result.rounds, expected.rounds, strict=True):
        assert {shop: ours.shops[shop].metrics for shop in HONEST} == {
            s: each.metrics for s, each in theirs.shops.items()
        }
    assert {shop: result.final.shops[shop] for shop in HONEST} == expected.final.shops


def test_the_same_holds_through_the_strategy_as_flower_drives_it():
    def drive(shop_ids: list[str], spoil: Spoil) -> AdapterStrategy:
        grid = grid_of(shop_ids, spoil)
        strategy = AdapterStrategy(plan_of(ROUNDS), grid.shops)
        # Flower's own loop wants an adapter of the server to begin with, which plays no part here.
        strategy.start(
            grid,
            ArrayRecord({"nothing": Array(np.zeros(1, np.float32))}),
            num_rounds=ROUNDS,
            evaluate_config=ConfigRecord({records.PHASE: "final", records.SERVER_ROUND: 0}),
        )
        return strategy

    told = itertools.islice(itertools.cycle(LIES), ROUNDS * len(LIARS))
    places: dict[tuple[int, str], str] = {}
    strategy = drive(SHOPS, in_turn(told, places))
    assert set(places.values()) == set(LIES)
    assert same(strategy.state.aggregate, drive(HONEST, lambda _, reply: [reply]).state.aggregate)


@pytest.mark.parametrize("plan", [plan_of(2), local(2)])
def test_no_reply_of_another_round_run_shop_or_phase_counts(plan):
    plan = replace(plan, limits=LIMITS)
    kept: dict[str, dict[int, RecordDict]] = {"earlier": {}, "liar_0": {}}
    run(plan, spoil=lying(lambda shop, number: lambda content: kept["earlier"].setdefault(number, content)))

    def lie_of(shop_id: str, server_round: int) -> Callable[[RecordDict], RecordDict] | None:
        if shop_id == "liar_0":  # its own first reply, again in the second round
            return lambda content: kept["liar_0"].setdefault(1, content)
        if shop_id == "liar_1":  # the same round's of another run
            return lambda content: kept["earlier"][server_round]
        if shop_id == "liar_2":  # its neighbour's
            return lambda content: kept["liar_0"][1] if server_round == 1 else content
        return None

    result = run(plan, spoil=lying(lie_of))
    found = {(f.server_round, f.shop_id): f.reason for f in result.failures}
    assert found.keys() == {(1, "liar_1"), (1, "liar_2"), (2, "liar_0"), (2, "liar_1")}
    assert found[2, "liar_0"] == "the reply answers server-round 1, not 2"
    assert found[1, "liar_2"] == "the reply answers shop-id liar_0, not liar_2"
    assert found[1, "liar_1"] == found[2, "liar_1"]
    assert found[1, "liar_1"].startswith("the reply answers run ")


def test_an_evaluation_is_no_answer_to_another_phase():
    plan = aggregated(0)
    base: dict[str, RecordDict] = {}

    def spoil(shop_id: str, reply: Message) -> list[Message]:
        reply.content = base.setdefault(shop_id, reply.content) if shop_id == "liar_0" else reply.content
        return [reply]

    result = run(plan, spoil=spoil)
    assert [(f.shop_id, f.phase, f.kind, f.reason) for f in result.failures] == [
        ("liar_0", "final", "refused", "the reply answers phase base, not final")
    ]
    assert list(result.final.shops) == SHOPS[1:]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_replies_of_one_shop_neither_counts_in_whatever_order_they_come(order):
    def spoil(shop_id: str, reply: Message) -> list[Message]:
        if shop_id != "liar_1":
            return [reply]
        other = Message(scaled(2.0)(reply.content) if ARRAYS in reply.content else reply.content, reply_to=reply)
        other.metadata.__dict__["_src_node_id"] = reply.metadata.src_node_id
        return [reply, other][::order]

    result = run(plan_of(2), spoil=spoil)
    assert {(f.server_round, f.shop_id, f.kind, f.reason) for f in result.failures} == {
        (number, "liar_1", "refused", "2 replies came in place of one") for number in (1, 2)
    }
    honest = [shop for shop in SHOPS if shop != "liar_1"]
    assert same(result.state.aggregate, run(plan_of(2), honest).state.aggregate)


def test_a_node_that_was_asked_nothing_is_named_and_ignored():
    def spoil(shop_id: str, reply: Message) -> list[Message]:
        if shop_id != "liar_1" or reply.content.config_records["config"]["phase"] != "train":
            return [reply]
        stranger = Message(reply.content, reply_to=reply)
        stranger.metadata.__dict__["_src_node_id"] = 4711
        return [reply, stranger]

    result = run(plan_of(1), spoil=spoil)
    assert [(f.shop_id, f.kind, f.reason) for f in result.failures] == [
        (None, "refused", "node 4711 replied, which stands for no shop")
    ]
    assert same(result.state.aggregate, run(plan_of(1)).state.aggregate)


def scaled(factor: float) -> Callable[[RecordDict], RecordDict]:
    def lie(content: RecordDict) -> RecordDict:
        arrays = {n: Array(a.numpy() * np.float32(factor)) for n, a in content.array_records[ARRAYS].items()}
        return RecordDict({**content, ARRAYS: ArrayRecord(arrays)})

    return lie


def test_an_absurd_norm_is_flagged_and_refused_where_the_settings_say_so():
    spoil = lying(lambda shop, _: scaled(30.0) if shop in LIARS else None)
    flagged = run(plan_of(2), spoil=spoil)
    assert flagged.failures == ()
    for record in flagged.rounds:
        assert {shop for shop, each in record.shops.items() if each.flags == ("large_norm",)} == set(LIARS)
        assert all((each.norm_ratio > 10) == (shop in LIARS) for shop, each in record.shops.items())
    first, second = flagged.rounds
    assert {each.update_norm for each in first.shops.values()} == {None}  # nothing had been sent
    assert all(each.update_norm > 0 for each in second.shops.values())

    refused = run(plan_of(2, ReplySettings(norm_rule="refuse")), spoil=spoil)
    assert {(f.server_round, f.shop_id, f.kind) for f in refused.failures} == {
        (number, shop, "refused") for number in (1, 2) for shop in LIARS
    }
    assert "times the round's median; replies.norm_factor is 10" in refused.failures[0].reason
    assert same(refused.state.aggregate, run(plan_of(2), HONEST).state.aggregate)
    anything = run(plan_of(2, ReplySettings(norm_factor=None)), spoil=spoil)
    assert {each.flags for record in anything.rounds for each in record.shops.values()} == {()}


def test_nothing_but_finite_numbers_reaches_the_result():
    places: dict[tuple[int, str], str] = {}
    told = itertools.islice(itertools.cycle(LIES), ROUNDS * len(LIARS))

    def numbers(value: object) -> Iterator[float]:
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for each in value:
                yield from numbers(each)
        elif isinstance(value, float | int):
            yield float(value)

    result = as_json(run(plan_of(ROUNDS), spoil=in_turn(told, places)))
    assert max(map(abs, numbers(result))) < 1e16


def test_a_shop_of_another_machine_cannot_end_the_run_by_saying_that_its_disk_is_full():
    def spoil(shop_id: str, reply: Message) -> list[Message]:
        if shop_id not in LIARS:
            return [reply]
        error = Message(Error(2, "WriteError: cannot write\x1b[2J" + "x" * 10**6), reply_to=reply)
        error.metadata.__dict__["_src_node_id"] = reply.metadata.src_node_id
        return [error]

    result = run(plan_of(1), spoil=spoil)
    assert {(f.shop_id, f.kind) for f in result.failures} == {(shop, "dropped") for shop in LIARS}
    assert all(len(f.reason) < 400 and f.reason.isprintable() for f in result.failures)
    assert same(result.state.aggregate, run(plan_of(1), HONEST).state.aggregate)


def test_a_shop_that_was_not_asked_in_a_round_has_no_say_in_it():
    half = Participation(ParticipationSettings(share=0.5), seed=1)
    plan = replace(plan_of(1), participation=half)
    present = half.of_round(1, SHOPS).present
    uninvited = next(shop for shop in SHOPS if shop not in present)
    nodes = {shop: node for node, shop in grid_of(SHOPS).shops.items()}

    def spoil(shop_id: str, reply: Message) -> list[Message]:
        config = reply.content.config_records["config"]
        if shop_id != present[0] or config["phase"] != "train":
            return [reply]
        content = RecordDict({**reply.content, "config": ConfigRecord({**config, records.SHOP_ID: uninvited})})
        other = Message(scaled(2.0)(content), reply_to=reply)
        other.metadata.__dict__["_src_node_id"] = nodes[uninvited]
        return [reply, other]

    result = run(plan, spoil=spoil)
    assert [(f.shop_id, f.kind, f.reason) for f in result.failures] == [
        (uninvited, "refused", "it replied and takes no part in this round")
    ]
    assert tuple(result.rounds[0].shops) == present
    assert same(result.state.aggregate, run(plan).state.aggregate)
