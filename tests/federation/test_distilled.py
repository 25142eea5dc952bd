"""Shops and server teach each other by replies: who is sent what when, what is agreed, and what harms nobody else."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flwr.app import ConfigRecord, RecordDict

from ecc_fed.core.aggregation import EVERYTHING, NOTHING, Exchange
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AgreedReply, PublicSet, QuerySource
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.agreement.medoid import Medoid
from ecc_fed.federation.arms import Distilled, Local
from ecc_fed.federation.flower.strategy import AdapterStrategy
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.participation import Participation, ParticipationSettings
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint, FederationError, FederationResult, as_json
from ecc_fed.federation.rounds import Server, run_rounds
from ecc_fed.federation.transforms.clipping import ClipUpdate
from ecc_fed.federation.wire.records import PUBLIC_REPLIES
from ecc_fed.federation.wire.texts import to_texts
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from experiments.reliability.equal import repeatable
from tests.federation.fakes import FakeDevice
from tests.federation.toys import EverySecondRound, ZeroPadding

QUERIES = ("q1", "q2")
SHOPS = ["a", "b", "c"]
# What a shop says to a query in a round.
Says = Callable[[str, int, str], str]


def says_mostly_the_same(shop_id: str, server_round: int, query: str) -> str:
    return f"{query} in {server_round}" if shop_id != "c" else "no"


class Speaking(FakeDevice):
    """Answers what it is asked, and remembers what it was sent."""

    def __init__(self, shop_ids: tuple[str, ...], says: Says = says_mostly_the_same) -> None:
        super().__init__(shop_ids)
        self.says, self.sent = says, dict[tuple[str, int], PublicSet | None]()

    def train(self, shop_id, server_round, incoming, exchange=None, control=None, public=None):
        assert exchange == Exchange(up=NOTHING) and incoming is None
        self.sent[shop_id, server_round] = public
        update = super().train(shop_id, server_round, incoming, exchange)
        said = [self.says(shop_id, server_round, query) for query in public.queries] if public and public.asks else []
        return replace(update, replies=tuple(said))


class Grid(HostGrid):
    """Replies pass through the hands of `spoil`."""

    spoil: Callable[[str, RecordDict], RecordDict]

    def send_and_receive(self, messages, *, timeout=None):
        for reply in super().send_and_receive(messages, timeout=timeout):
            if not reply.has_error():
                reply.content = self.spoil(self.shops[reply.metadata.src_node_id], reply.content)
            yield reply


def plan_of(rounds: int = 3, share: float = 0.5, **parts) -> FederationPlan:
    arm = Distilled(rounds, share, evaluates_base=False)
    return FederationPlan(arm, FedAvg(), limits=ReplyLimits(max_examples=100), queries=QUERIES, **parts)


def run(
    plan: FederationPlan,
    device: FakeDevice | None = None,
    spoil: Callable[[str, RecordDict], RecordDict] = lambda _, content: content,
    shops: list[str] = SHOPS,
    **further,
) -> FederationResult:
    hosts, device = InProcessHosts(), device or Speaking(tuple(shops))
    hosts.open(shops, lambda _: device)
    grid = Grid(hosts, shops)
    grid.spoil = spoil
    return run_rounds(Server(grid, grid.shops), plan, **further)


def replies_of(result: FederationResult) -> list[list[str]]:
    return [[each.reply for each in record.agreed] for record in result.rounds]


def test_each_round_is_asked_and_taught_what_the_one_before_agreed_on_but_the_last_is_not_asked() -> None:
    device = Speaking(tuple(SHOPS))
    result = run(plan_of(3), device)
    for shop_id in SHOPS:
        assert [device.sent[shop_id, each] for each in (1, 2, 3)] == [
            PublicSet(QUERIES),
            PublicSet(QUERIES, ("q1 in 1", "q2 in 1")),
            PublicSet(QUERIES, ("q1 in 2", "q2 in 2"), asks=False),
        ]
    assert replies_of(result) == [["q1 in 1", "q2 in 1"], ["q1 in 2", "q2 in 2"], []]
    assert [each.query for each in result.state.agreed] == list(QUERIES)
    assert {each.voices for each in result.state.agreed} == {3}
    assert result.failures == result.skipped_rounds == ()
    assert result.state.aggregate is None
    assert [record["agreed_replies"] for record in as_json(result)["rounds"]] == [2, 2, 0]


def test_no_adapter_travels_and_every_text_stands_in_the_ledger() -> None:
    plan = plan_of(3)
    assert (plan.federated, plan.personal_rounds, plan.pools) == (False, 0, False)
    result = run(plan)
    sizes: dict[tuple[str, str, str, int], int] = {}
    for entry in result.traffic:
        assert entry.destination == "aggregator"
        sizes[entry.kind, entry.direction, entry.shop_id, entry.server_round] = entry.num_bytes
    kinds = {(kind, direction) for kind, direction, *_ in sizes}
    assert not [kind for kind, _ in kinds if kind in ("adapter", "control")]
    texts = {"public_queries", "agreed_replies", "public_replies"}
    assert {each for each in kinds if each[0] in texts} == {
        ("public_queries", "down"),
        ("agreed_replies", "down"),
        ("public_replies", "up"),
    }
    for shop_id in SHOPS:
        for server_round in (1, 2, 3):
            said = [says_mostly_the_same(shop_id, server_round, query) for query in QUERIES]
            expected = to_texts(said).count_bytes() if server_round < 3 else None
            assert sizes.get(("public_replies", "up", shop_id, server_round)) == expected
            agreed = [f"{query} in {server_round - 1}" for query in QUERIES]
            expected = to_texts(agreed).count_bytes() if server_round > 1 else None
            assert sizes.get(("agreed_replies", "down", shop_id, server_round)) == expected
            assert sizes["public_queries", "down", shop_id, server_round] == to_texts(QUERIES).count_bytes() + 5


def test_without_a_share_nothing_is_sent_and_the_arm_is_local() -> None:
    device = Speaking(tuple(SHOPS))
    result = run(plan_of(3, share=0), device)
    assert set(device.sent.values()) == {None}
    local = run(FederationPlan(Local(3, evaluates_base=False), FedAvg(), limits=plan_of().limits))

    def timeless(found: FederationResult) -> FederationResult:
        rounds = [replace(each, seconds=0.0, traffic=tuple(repeatable(each.traffic))) for each in found.rounds]
        return replace(
            found, rounds=tuple(rounds), final=replace(found.final, traffic=tuple(repeatable(found.final.traffic)))
        )

    assert timeless(result) == timeless(local)


def test_one_shop_is_taught_its_own_replies() -> None:
    device = Speaking(("a",))
    result = run(plan_of(2), device, shops=["a"])
    assert result.rounds[0].agreed == tuple(AgreedReply(query, f"{query} in 1", 100.0, 1) for query in QUERIES)
    assert device.sent["a", 2] == PublicSet(QUERIES, ("q1 in 1", "q2 in 1"), asks=False)


def test_the_order_of_the_shops_changes_nothing() -> None:
    def says(shop_id: str, server_round: int, query: str) -> str:
        return {"a": "发圆通", "b": "发圆通呀", "c": "亲,发圆通"}[shop_id] + query

    found = [run(plan_of(3), Speaking(tuple(order), says), shops=order) for order in (SHOPS, SHOPS[::-1])]
    assert [each.agreed for each in found[0].rounds] == [each.agreed for each in found[1].rounds]


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda c: {**c, PUBLIC_REPLIES: to_texts(["x" * 100_000, "y"])}, "take 100009 bytes"),
        (lambda c: {**c, PUBLIC_REPLIES: to_texts(["x" * 1001, "y"])}, "public query 1 has 1001 characters"),
        (lambda c: {**c, PUBLIC_REPLIES: to_texts(["x"])}, "1 replies came to 2 public queries"),
        (lambda c: {**c, PUBLIC_REPLIES: to_texts(["x"] * 3)}, "3 replies came to 2 public queries"),
        (lambda c: {**c, PUBLIC_REPLIES: ConfigRecord({"texts": 1})}, "holds no replies"),
        (lambda c: {name: each for name, each in c.items() if name != PUBLIC_REPLIES}, "holds no replies"),
    ],
)
def test_a_reply_that_lies_harms_its_sender_alone(lie, reason) -> None:
    def spoil(shop_id: str, content: RecordDict) -> RecordDict:
        asked = PUBLIC_REPLIES in content
        return RecordDict(lie(content)) if shop_id == "b" and asked else content

    result = run(plan_of(2), spoil=spoil)
    assert [(f.shop_id, f.server_round, f.kind) for f in result.failures] == [("b", 1, "refused")]
    assert reason in result.failures[0].reason
    assert result.rounds[0].agreed == run(plan_of(2), shops=["a", "c"]).rounds[0].agreed
    assert list(result.rounds[0].shops) == ["a", "c"]


def test_replies_that_nobody_asked_for_are_refused() -> None:
    def spoil(shop_id: str, content: RecordDict) -> RecordDict:
        gift = shop_id == "b" and "metrics" in content and PUBLIC_REPLIES not in content
        return RecordDict({**content, PUBLIC_REPLIES: to_texts(["x", "y"])}) if gift else content

    result = run(plan_of(1), spoil=spoil)
    assert ("b", "train") in {(failure.shop_id, failure.phase) for failure in result.failures}
    assert "which was not asked for" in result.failures[0].reason


def test_who_says_nothing_abstains_and_a_query_that_nobody_answers_teaches_nothing() -> None:
    def says(shop_id: str, server_round: int, query: str) -> str:
        return "" if query == "q1" or shop_id == "a" else shop_id

    device = Speaking(tuple(SHOPS), says)
    result = run(plan_of(2), device)
    assert result.rounds[0].agreed == (AgreedReply("q1"), AgreedReply("q2", "b", 50.0, 2))
    assert device.sent["a", 2] == PublicSet(QUERIES, ("", "b"), asks=False)
    assert result.skipped_rounds == ()


class Failing(Speaking):
    """Some shops raise in some rounds."""

    failing: tuple[tuple[str, int], ...] = ()

    def train(self, shop_id, server_round, *arguments, **further):
        update = super().train(shop_id, server_round, *arguments, **further)
        if (shop_id, server_round) in self.failing:
            raise RuntimeError("no power")
        return update


def test_a_shop_that_drops_out_has_no_voice_and_a_round_without_any_leaves_what_was_agreed() -> None:
    device = Failing(tuple(SHOPS))
    device.failing = (("c", 1), *((shop_id, 2) for shop_id in SHOPS))
    result = run(plan_of(4), device)
    assert {each.voices for each in result.rounds[0].agreed} == {2}
    assert replies_of(result) == [["q1 in 1", "q2 in 1"], [], ["q1 in 3", "q2 in 3"], []]
    assert device.sent["a", 3] == PublicSet(QUERIES, ("q1 in 1", "q2 in 1"))
    assert [(each.server_round, each.reason) for each in result.skipped_rounds] == [(2, "no shop gave a usable reply")]


def test_nobody_in_a_round_is_a_skipped_round() -> None:
    empty = Participation(ParticipationSettings(), 0, {shop_id: frozenset({1, 3}) for shop_id in SHOPS})
    device = Speaking(tuple(SHOPS))
    result = run(plan_of(3, participation=empty), device)
    assert [each.server_round for each in result.skipped_rounds] == [2]
    assert device.sent["a", 3] == PublicSet(QUERIES, ("q1 in 1", "q2 in 1"), asks=False)
    assert ("a", 2) not in device.sent


def test_shops_that_learned_from_nothing_agree_on_nothing() -> None:
    shops = ["a_lazy", "b_lazy"]
    result = run(plan_of(2), shops=shops)
    assert [(e.server_round, e.reason) for e in result.skipped_rounds] == [(1, "no shop had an example to learn from")]
    assert result.state.agreed == ()


class LazyInTheSecondRound(Speaking):
    """Nobody learns from anything there."""

    def train(self, shop_id, server_round, *arguments, **further):
        update = super().train(shop_id, server_round, *arguments, **further)
        return replace(update, num_examples=0) if server_round == 2 else update


def test_a_round_without_examples_leaves_what_was_agreed() -> None:
    device = LazyInTheSecondRound(tuple(SHOPS))
    result = run(plan_of(3), device)
    assert replies_of(result) == [["q1 in 1", "q2 in 1"], [], []]
    assert device.sent["a", 3] == PublicSet(QUERIES, ("q1 in 1", "q2 in 1"), asks=False)


def test_a_run_goes_on_from_what_was_agreed_and_from_nothing_else() -> None:
    whole = run(plan_of(4))
    for stop in (1, 2, 3):
        kept: list[Checkpoint] = []
        device = Speaking(tuple(SHOPS))
        run(plan_of(4), device, on_checkpoint=kept.append)
        device.sent.clear()
        again = run(plan_of(4), device, resume=kept[stop - 1])
        assert [each.agreed for each in again.rounds] == [each.agreed for each in whole.rounds]
        assert again.state == whole.state
        assert device.sent["a", stop + 1].agreed == (f"q1 in {stop}", f"q2 in {stop}")
    with pytest.raises(ConfigError, match="public queries of arm distilled are not those that the run started with"):
        run(replace(plan_of(4), queries=("q1", "q3")), resume=kept[0])


def test_a_plan_without_queries_is_refused_where_shops_are_to_answer_some() -> None:
    with pytest.raises(ValueError, match="arm distilled has shops answer public queries, and the plan has none"):
        AdapterStrategy(replace(plan_of(2), queries=()), {1: "a"})
    AdapterStrategy(replace(plan_of(2, share=0), queries=()), {1: "a"})


class Odd(Medoid):
    """Does what it should not."""

    def agree(self, queries, updates):
        if len(updates) == 1:
            raise ValueError("one is not enough")
        return super().agree(queries, updates)[::-1]


def test_an_agreement_that_fails_ends_the_run_by_name() -> None:
    plan = replace(plan_of(2), arm=Distilled(2, 0.5, agreement=Odd(), evaluates_base=False))
    with pytest.raises(FederationError, match=r"Agreement Odd failed in server round 1: one is not enough"):
        run(plan, shops=["a"])
    with pytest.raises(FederationError, match=r"Agreement Odd has no reply to each public query in server round 1"):
        run(plan)


def test_a_transform_of_adapters_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"update: ClipUpdate changes adapters .* arm distilled replies travel"):
        replace(plan_of(), transforms=(ClipUpdate(1.0),))


class Both(EverySecondRound):
    """Adapters in even rounds, replies in odd ones: an arm of a user's own."""

    public_share = 0.5
    queries = QuerySource()
    agreement = Medoid()

    def asks(self, server_round: int) -> bool:
        return server_round % 2 == 1


def test_an_arm_of_ones_own_may_send_adapters_besides() -> None:
    plan = FederationPlan(Both(2), ZeroPadding(), (ClipUpdate(1.0),), queries=QUERIES)
    assert plan.federated and [plan.asks(each) for each in (1, 2)] == [True, False]
    assert [plan.exchange(each).up for each in (1, 2)] == [NOTHING, EVERYTHING]
    assert plan.public_set(2, (AgreedReply("q1", "x"), AgreedReply("q2"))) == PublicSet(QUERIES, ("x", ""), asks=False)
    assert plan.public_set(2, ()) is None
    with pytest.raises(ValueError, match="the plan has none"):
        AdapterStrategy(replace(plan, arm=Late(2), queries=()).expecting({}), {1: "a"})


class Late(Both):
    """Asks after the second round alone."""

    def asks(self, server_round: int) -> bool:
        return server_round == 2


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"arm\.public_share=1.5 is out of range: a number from 0 to 1"):
        Distilled(2, 1.5)
    with pytest.raises(ConfigError, match=r"arm\.queries\.count=0 is out of range"):
        QuerySource(count=0)
    with pytest.raises(ConfigError, match=r"arm\.queries\.count=1.5 is out of range: a whole number"):
        QuerySource(count=1.5)  # type: ignore[arg-type]


def test_a_run_of_one_round_asks_nothing_as_nobody_would_learn_from_it() -> None:
    device = Speaking(("a",))
    run(plan_of(1), device, shops=["a"])
    assert device.sent == {("a", 1): None}
