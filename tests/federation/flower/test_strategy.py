"""The one strategy around aggregators, arms and transforms of any kind, over the fake device."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from ecc_fed.core.aggregation import LORA_A, LORA_B, AdapterUpdate, AggregatorState, select
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AdapterState, EvaluationReport
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.state_files import load_state, save_state
from ecc_fed.federation.arms import Personalized
from ecc_fed.federation.flower.strategy import AdapterStrategy, Outcome
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.participation import Participation, ParticipationSettings
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint, FederationResult, ServerState
from ecc_fed.federation.wire import arrays, records
from ecc_fed.federation.wire import replies as wire_replies
from ecc_fed.federation.wire.replies import evaluate_reply, train_reply
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation
from tests.federation import toys
from tests.federation.fakes import SHAPES, A, B, FakeDevice, aggregated, fresh_adapter, local, make_adapter


def run(plan: FederationPlan, shop_ids: list[str], device: FakeDevice | None = None, **arguments) -> FederationResult:
    device = device or FakeDevice(tuple(shop_ids))
    return run_federation(plan, shop_ids, lambda _: device, InProcessHosts(), **arguments)


def same(left: AdapterState, right: AdapterState) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[n], right[n]) for n in left)


def test_each_adapter_is_read_once_on_each_side(monkeypatch):
    read: list[int] = []
    view = arrays.view
    for module in (arrays, wire_replies):
        monkeypatch.setattr(module, "view", lambda array: read.append(1) or view(array))
    run(aggregated(2), ["a", "bb", "ccc"])
    tensors, shops = 2, 3
    # Up after both rounds; down before the second and for the final evaluation.
    assert len(read) == tensors * shops * (2 + 2)


def test_an_adapter_for_several_shops_is_packed_once(monkeypatch):
    packed: list[int] = []
    pack = arrays.to_arrays
    monkeypatch.setattr(
        "ecc_fed.federation.flower.strategy.to_arrays", lambda adapter: packed.append(1) or pack(adapter)
    )
    run(aggregated(2), ["a", "bb", "ccc"])
    assert len(packed) == 2  # before the second round, and for the final evaluation


def bytes_of(result: FederationResult, direction: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in result.traffic:
        if entry.kind == "adapter" and entry.direction == direction:
            found[entry.server_round] = found.get(entry.server_round, 0) + entry.num_bytes
    return found


def size_of(*names: str) -> int:
    return arrays.to_arrays({name: fresh_adapter()[name] for name in names}).count_bytes()


def test_only_the_factors_named_travel_and_train():
    device = FakeDevice(("a", "bb"))
    seen: dict[int, dict[str, AdapterState]] = {}

    def note(checkpoint):
        seen[checkpoint.state.server_round] = {shop_id: device.adapter_of(shop_id) for shop_id in device.shop_ids}

    result = run(aggregated(3, toys.OneFactor()), ["a", "bb"], device, on_checkpoint=note)
    assert bytes_of(result, "up") == {1: 2 * size_of(B), 2: 2 * size_of(A), 3: 2 * size_of(B)}
    # Both down from round 3 on; the final evaluation counts into round 3 as well.
    assert bytes_of(result, "down") == {2: 2 * size_of(B), 3: 2 * 2 * size_of(A, B)}
    assert all(np.array_equal(seen[1][shop_id][A], fresh_adapter()[A]) for shop_id in seen[1])
    assert not np.array_equal(seen[1]["a"][B], fresh_adapter()[B])
    # In round 2 both hold the server's B, which does not train, and an A of their own.
    assert np.array_equal(seen[2]["a"][B], seen[2]["bb"][B])
    assert not np.array_equal(seen[2]["a"][A], seen[2]["bb"][A])
    assert result.failures == ()


def test_what_stays_at_home_is_merged_with_what_comes_down():
    device = FakeDevice(("a", "bb"))
    result = run(aggregated(2, toys.OnlyA()), ["a", "bb"], device)
    assert set(result.state.aggregate) == {A}
    assert bytes_of(result, "up") == {1: 2 * size_of(A), 2: 2 * size_of(A)}
    assert not np.array_equal(device.adapter_of("a")[B], device.adapter_of("bb")[B])

    def distance(shop_id: str) -> float:
        own, target = {**device.adapter_of(shop_id), **result.state.aggregate}, make_adapter("target", shop_id)
        return float(np.linalg.norm(own[B] @ own[A] - target[B] @ target[A]))

    # The final evaluation serves the server's A with the shop's own B.
    assert {s: r.metrics["distance"] for s, r in result.final.shops.items()} == {s: distance(s) for s in ("a", "bb")}


class OfRank(FakeDevice):
    """Shops whose adapters have the rank that their names end in."""

    def adapter_of(self, shop_id):
        state = self._load(shop_id)
        return {n: state[n] for n in (A, B)} if state else toys.padded(fresh_adapter(), int(shop_id[-1]))

    def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
        adapter = {**self.adapter_of(shop_id), **(incoming or {})}
        assert len(adapter[A]) == int(shop_id[-1]), "each shop is sent its own rank"
        new = {name: tensor + np.float32(len(shop_id)) for name, tensor in adapter.items()}
        self._save(shop_id, server_round, new)
        return AdapterUpdate(shop_id, server_round, new, 10, 32 / int(shop_id[-1]))

    def evaluate(self, shop_id, server_round, incoming, phase):
        return super().evaluate(shop_id, server_round, None, "base")

    def adapter_shapes(self):
        return {A: (8, 5), B: (4, 8)}


# lora_alpha = 32
BY_RANK = ReplyLimits(scale_at=lambda rank: 32 / rank)


def test_mixed_ranks_pass_where_the_aggregator_takes_them():
    shops = ["shop_4", "other_8"]
    result = run(replace(aggregated(2, toys.ZeroPadding()), limits=BY_RANK), shops, OfRank(tuple(shops)))
    assert result.failures == ()
    assert [record.aggregation.ranks for record in result.rounds] == [{"shop_4": 4, "other_8": 8}] * 2
    assert all(record.aggregation.server_seconds > 0 for record in result.rounds)
    assert result.state.aggregate[A].shape == (8, 5)


def test_another_rank_than_the_runs_is_refused_where_the_aggregator_takes_one_alone_and_a_higher_one_always():
    shops = ["shop_4", "other_8"]
    result = run(replace(aggregated(1), limits=BY_RANK), shops, OfRank(tuple(shops)))
    assert [(f.shop_id, f.reason) for f in result.failures] == [("shop_4", f"tensor {A} has shape (4, 5), not (8, 5)")]
    assert result.state.aggregate[A].shape == (8, 5)
    shops = ["shop_4", "other_9"]
    result = run(replace(aggregated(1, toys.ZeroPadding()), limits=BY_RANK), shops, OfRank(tuple(shops)))
    assert [(f.shop_id, f.reason) for f in result.failures] == [
        ("other_9", f"tensor {A} has shape (9, 5), not (8, 5), whose axis 0 may be shorter")
    ]


def test_a_tensor_that_nobody_asked_for_is_refused():
    class Talkative(FakeDevice):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            update = super().train(shop_id, server_round, incoming, exchange)
            return replace(update, adapter=self.adapter_of(shop_id)) if shop_id == "bb" else update

    result = run(aggregated(1, toys.OnlyA()), ["a", "bb"], Talkative(("a", "bb")))
    assert [(f.shop_id, f.reason) for f in result.failures] == [("bb", f"the adapter has unexpected {B} and 0 more")]


def test_one_sound_reply_is_enough_where_the_names_are_known_from_what_was_sent():
    class Spoils(FakeDevice):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            update = super().train(shop_id, server_round, incoming, exchange)
            if server_round == 2 and shop_id == "a":
                return replace(update, adapter={f"odd.{name}": tensor for name, tensor in update.adapter.items()})
            return update

    result = run(aggregated(2), ["a", "bb"], Spoils(("a", "bb")))
    assert [(f.shop_id, f.server_round) for f in result.failures] == [("a", 2)]
    assert set(result.state.aggregate) == {A, B}


def test_a_reply_unlike_what_was_sent_is_refused_though_no_other_came():
    class Renames(FakeDevice):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            update = super().train(shop_id, server_round, incoming, exchange)
            if server_round == 1:
                return update
            return replace(update, adapter={f"odd.{name}": tensor for name, tensor in update.adapter.items()})

    result = run(aggregated(2), ["a"], Renames(("a",)))
    assert [(f.shop_id, f.server_round, f.kind) for f in result.failures] == [("a", 2, "refused")]
    assert result.rounds[1].shops == {}
    assert result.rounds[1].skipped.reason == "no shop gave a usable reply"


def test_an_arm_of_ones_own_hands_in_now_and_then():
    device = FakeDevice(("a", "bb"))
    result = run(FederationPlan(toys.EverySecondRound(5), FedAvg()), ["a", "bb"], device)
    # Down comes the mean of round 2 before round 3 and that of round 4 before round 5, to go on from each once.
    assert [(r, sent) for kind, shop, r, sent in device.calls if (kind, shop) == ("train", "a")] == [
        (1, False),
        (2, False),
        (3, True),
        (4, False),
        (5, True),
    ]
    assert bytes_of(result, "up").keys() == {2, 4}
    assert device.calls[-1] == ("final", "bb", 5, False)  # on its own by then
    assert result.base.shops == {}
    assert [record.aggregation is not None for record in result.rounds] == [False, True, False, True, False]


def test_an_arm_may_serve_the_servers_adapter_at_the_end_to_shops_that_went_on_by_themselves():
    class ServedAtTheEnd(toys.EverySecondRound):
        def starts_from_server(self, server_round):
            return server_round == self.server_rounds + 1

    device = FakeDevice(("a",))
    run(FederationPlan(ServedAtTheEnd(3), FedAvg()), ["a"], device)
    assert [(kind, r, sent) for kind, _, r, sent in device.calls[2:]] == [("train", 3, True), ("final", 3, True)]
    run(FederationPlan(ServedAtTheEnd(4), FedAvg()), ["a"], device := FakeDevice(("a",)))
    assert device.calls[-1] == ("final", "a", 4, True)


def test_the_aggregator_says_what_trains_until_the_last_upload_and_the_shop_after_it():
    plan = FederationPlan(Personalized(4, 2), toys.OneFactor())
    assert [(plan.exchange(r).train, plan.exchange(r).up) for r in (1, 2, 3, 4)] == [
        (LORA_B, LORA_B),
        (LORA_A, LORA_A),
        (("*",), ()),
        (("*",), ()),
    ]
    between = FederationPlan(toys.EverySecondRound(4), toys.OneFactor())
    assert [(between.exchange(r).train, between.exchange(r).up) for r in (1, 2, 3)] == [
        (LORA_B, ()),
        (LORA_A, LORA_A),
        (LORA_B, ()),
    ]
    assert plan.personal_rounds == 2
    assert between.personal_rounds == 0
    assert local(3).personal_rounds == 0


def test_what_a_local_arm_trains_is_no_business_of_the_strategy():
    class Starting(toys.OnlyA):
        def start(self):
            return replace(super().start(), adapter=select(make_adapter("server"), LORA_A))

    device = FakeDevice(("a",))
    result = run(replace(local(2), aggregator=Starting()), ["a"], device)
    assert bytes_of(result, "down") == bytes_of(result, "up") == {}
    assert same(device.adapter_of("a"), run_alone("a", 2))


def run_alone(shop_id: str, rounds: int) -> AdapterState:
    device = FakeDevice((shop_id,))
    run(local(rounds), [shop_id], device)
    return device.adapter_of(shop_id)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_run_goes_on_from_a_saved_state_as_if_never_stopped(tmp_path, stop_after):
    whole, stopped = FakeDevice(("a", "bb")), FakeDevice(("a", "bb"))
    plan = aggregated(4, toys.ServerMomentum())
    expected = run(plan, ["a", "bb"], whole)

    def stop(checkpoint: Checkpoint):
        if checkpoint.state.server_round == stop_after:
            save_state(tmp_path / "state.safetensors", checkpoint.state.aggregator)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, ["a", "bb"], stopped, on_checkpoint=stop)
    resume = Checkpoint(ServerState(stop_after, load_state(tmp_path / "state.safetensors")))
    resumed = run(plan, ["a", "bb"], stopped, resume=resume)
    assert same(resumed.state.aggregate, expected.state.aggregate)
    assert same(resumed.state.aggregator.tensors, expected.state.aggregator.tensors)
    assert resumed.state.aggregator.scalars == expected.state.aggregator.scalars == {"rounds": 4.0}
    assert resumed.final.shops == expected.final.shops
    assert all(same(whole.adapter_of(s), stopped.adapter_of(s)) for s in ("a", "bb"))


class MaskingDevice(FakeDevice):
    """Applies a transform on the way out, as a device does."""

    def __init__(self, shop_ids, transform):
        super().__init__(shop_ids)
        self.transform = transform

    def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
        start = {**self.adapter_of(shop_id), **(incoming or {})}
        return self.transform.on_device(super().train(shop_id, server_round, incoming, exchange), start)


def test_a_transform_that_shows_sums_only_gives_the_mean_and_nothing_else():
    shops = ["a", "bb"]
    masks = toys.Masks(("a", "bb"))
    masked = run(aggregated(2, None, masks), shops, MaskingDevice(tuple(shops), masks))
    plain = run(aggregated(2), shops)
    assert masks.seen == ["a", "bb"] * 2
    for name, tensor in plain.state.aggregate.items():
        np.testing.assert_allclose(masked.state.aggregate[name], tensor, rtol=1e-4, atol=1e-5)
    record = masked.rounds[1]
    assert [shop.num_examples for shop in record.shops.values()] == [11, 12]
    assert {shop.update_norm for shop in record.shops.values()} == {None}
    assert (record.aggregation.relative_error, record.aggregation.module_errors) == (None, {})


def test_a_sum_is_no_shops_own_though_it_bears_its_name():
    class Named(toys.Masks):
        def on_server(self, updates):
            return [replace(super().on_server(updates)[0], shop_id="a")]

    shops, masks = ["a", "bb"], Named(("a", "bb"))
    second = run(aggregated(2, None, masks), shops, MaskingDevice(tuple(shops), masks)).rounds[1]
    assert second.aggregation is not None
    assert {(each.update_norm, each.norm_ratio, each.flags) for each in second.shops.values()} == {(None, None, ())}


class Noting(FedAvg):
    """Says of the first shop that its update was shortened; keeps how many shops it was told of."""

    told: ClassVar[list[tuple[int, int]]] = []

    def aggregate(self, state, updates):
        self.told.append((state.num_shops, len(updates)))
        state, report = FedAvg().aggregate(state, updates)
        return state, replace(report, flags={updates[0].shop_id: "shortened"})


def test_what_stands_out_of_an_update_is_kept_by_shop():
    class Large(FakeDevice):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            update = super().train(shop_id, server_round, incoming, exchange, control, public)
            large = shop_id == "a" and server_round == 2
            return replace(update, adapter={n: t * 100 for n, t in update.adapter.items()}) if large else update

    shops = ["a", "bb", "ccc"]
    result = run(aggregated(2, Noting()), shops, Large(tuple(shops)))
    assert [{shop: each.flags for shop, each in record.shops.items()} for record in result.rounds] == [
        {"a": ("shortened",), "bb": (), "ccc": ()},
        {"a": ("large_norm", "shortened"), "bb": (), "ccc": ()},
    ]


def test_an_aggregator_is_told_of_all_the_runs_shops_where_a_few_take_part():
    Noting.told.clear()
    plan = replace(aggregated(2, Noting()), participation=Participation(ParticipationSettings(0.5), 0))
    run(plan, ["a", "bb", "ccc", "dddd"])
    assert Noting.told == [(4, 2), (4, 2)]


def test_transforms_work_in_order_on_the_device_and_backwards_on_the_server():
    order: list[str] = []

    class Noted:
        sums_only = False

        def __init__(self, name):
            self.name = name

        def on_server(self, updates):
            order.append(self.name)
            return list(updates)

    run(aggregated(1, None, Noted("first"), Noted("second")), ["a"])
    assert order == ["second", "first"]


def test_a_sum_that_cannot_be_used_skips_the_round():
    class Broken(toys.Masks):
        def on_server(self, updates):
            return [replace(updates[0], adapter={A: updates[0].adapter[A] * np.float32("nan")})]

    result = run(aggregated(1, None, Broken(("a", "bb"))), ["a", "bb"])
    assert [s.reason for s in result.skipped_rounds] == [
        f"the sum of the updates cannot be used: the adapter lacks {B} and 0 more"
    ]
    assert result.state.aggregate is None


def test_sums_only_and_single_updates_do_not_go_together():
    reason = "Masks shows the server sums of updates only, and strategy ZeroPadding needs every update by itself"
    with pytest.raises(ConfigError, match=reason):
        aggregated(1, toys.ZeroPadding(), toys.Masks(("a",)))
    aggregated(1, toys.ZeroPadding(), toys.Masks(("a",), sums_only=False))


def test_the_wire_says_what_trains_and_what_goes_up():
    seen = []

    class Noting(FakeDevice):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            seen.append((server_round, exchange))
            return super().train(shop_id, server_round, incoming, exchange)

    plan = aggregated(2, toys.OneFactor())
    run(plan, ["a"], Noting(("a",)))
    assert seen == [(1, plan.exchange(1)), (2, plan.exchange(2))]
    config = records.train_config(1, plan.exchange(1))
    assert json.loads(config["train"]) == list(LORA_B)


@dataclass(frozen=True)
class Told:
    """An arm that is told in which rounds it uploads and starts from the server."""

    starts: tuple[int, ...]
    up: tuple[int, ...] = (1, 2, 3, 4)
    server_rounds: int = 4
    name: str = "told"
    evolves: bool = True
    evaluates_base: bool = True

    def starts_from_server(self, server_round):
        return server_round in self.starts

    def uploads(self, server_round):
        return server_round in self.up


class Counted:
    """A transform that notes how many updates it sees."""

    sums_only = False

    def __init__(self):
        self.seen = []

    def on_device(self, update, start):
        return update

    def on_server(self, updates):
        self.seen.append(len(updates))
        return list(updates)


NODES = {11: "a", 22: "bb"}
LIMITS = ReplyLimits(shapes=SHAPES)


def strategy_of(arm, state=None, aggregator=None, *transforms) -> AdapterStrategy:
    return AdapterStrategy(FederationPlan(arm, aggregator or FedAvg(), transforms, LIMITS), NODES, state)


def with_adapter(adopted=()) -> ServerState:
    own = {"bb": make_adapter("own")}
    return ServerState(2, AggregatorState(make_adapter("server"), shops=own), frozenset(adopted))


def test_a_plan_that_does_not_know_the_adapters_is_refused_where_they_travel():
    with pytest.raises(ValueError, match=r"does not know the adapters' shapes"):
        AdapterStrategy(aggregated(1), NODES)
    AdapterStrategy(local(1), NODES)


def sent(messages) -> dict[str, AdapterState | None]:
    return {NODES[m.metadata.dst_node_id]: records.read_train_request(m.content).incoming for m in messages}


def replies(
    strategy: AdapterStrategy, server_round: int, contents: dict[int, RecordDict], phase: str = "train"
) -> list[Message]:
    found = []
    for node_id, content in contents.items():
        answered = {"run": strategy.run, "phase": phase, "server-round": server_round}
        content[records.CONFIG] = ConfigRecord({**answered, "shop-id": strategy.shops[node_id]})
        question = Message(RecordDict(), node_id, "train")
        question.metadata.__dict__["_message_id"] = str(node_id)
        found.append(Message(content, reply_to=question))
    return found


def reply_of(adapter: AdapterState, num_examples: int = 3, **metrics: float) -> RecordDict:
    return train_reply(AdapterUpdate("", 0, adapter, num_examples, 1.0, metrics), ("*",), ConfigRecord())


def test_a_shop_that_takes_no_part_in_a_round_is_not_counted_in_it():
    half = Participation(ParticipationSettings(share=0.5), seed=0)
    strategy = strategy_of(Told((1,)))
    strategy.plan = replace(strategy.plan, participation=half)
    messages = list(strategy.configure_train(1, ArrayRecord(), ConfigRecord(), None))
    (present,) = half.of_round(1, NODES.values()).present
    assert [NODES[message.metadata.dst_node_id] for message in messages] == [present]
    both = {node: reply_of(make_adapter(shop_id)) for node, shop_id in NODES.items()}
    strategy.aggregate_train(1, replies(strategy, 1, both))
    assert list(strategy.outcome.shops) == [present]
    assert same(strategy.state.aggregate, make_adapter(present))


def test_every_shop_is_sent_what_the_aggregator_has_for_it():
    strategy = strategy_of(Told((3,)), with_adapter({"a"}), toys.ServerMomentum())
    assert strategy.outcome == Outcome()
    messages = list(strategy.configure_train(3, ArrayRecord(), ConfigRecord(), None))
    assert [(m.metadata.group_id, m.metadata.message_type) for m in messages] == [("3", "train")] * 2
    down = sent(messages)
    assert all(
        same(down[shop], toys.ServerMomentum().downlink(strategy.state.aggregator, shop)) for shop in NODES.values()
    )
    assert not same(down["a"], down["bb"])


def test_a_shop_that_has_gone_on_is_sent_nothing_where_the_arm_does_not_start_from_the_server():
    strategy = strategy_of(Told(()), with_adapter({"a"}))
    down = sent(strategy.configure_train(3, ArrayRecord(), ConfigRecord(), None))
    assert down["a"] is None and same(down["bb"], strategy.state.aggregator.adapter)


@pytest.mark.parametrize(("starts", "expected"), [((4,), ["a", "bb"]), ((2, 3, 5), ["bb"])])
def test_the_final_evaluation_is_of_what_another_round_would_begin_with(starts, expected):
    strategy = strategy_of(Told(starts), with_adapter({"a"}))
    for phase, served in (("base", []), ("final", expected)):
        config = records.evaluate_config(3, phase)
        messages = list(strategy.configure_evaluate(3, ArrayRecord(), config, None))
        asked = {NODES[m.metadata.dst_node_id]: records.read_evaluate_request(m.content) for m in messages}
        assert [shop for shop, request in asked.items() if request.incoming is not None] == served
        assert {(request.server_round, request.phase) for request in asked.values()} == {(3, phase)}
        assert {m.metadata.group_id for m in messages} == {"3"}


def test_what_is_refused_is_told_with_its_reason_and_counts_for_nothing():
    counted = Counted()
    strategy = strategy_of(Told((1,)), None, None, counted)
    list(strategy.configure_train(1, ArrayRecord(), ConfigRecord(), None))
    sound, broken = make_adapter("sound"), make_adapter("broken")
    broken[A][0, 0] = np.nan
    strategy.aggregate_train(1, replies(strategy, 1, {11: reply_of(broken), 22: reply_of(sound, loss=0.5)}))
    assert strategy.outcome.refused == {"a": f"tensor {A} holds 1 values that are not finite"}
    assert {shop: (r.num_examples, r.metrics) for shop, r in strategy.outcome.shops.items()} == {
        "bb": (3, {"loss": 0.5})
    }
    assert same(strategy.state.aggregate, sound)
    assert (strategy.state.server_round, strategy.state.adopted) == (1, frozenset())
    unreadable = RecordDict({records.METRICS: MetricRecord({})})
    strategy.aggregate_train(2, replies(strategy, 2, {11: unreadable, 22: reply_of(sound)}))
    assert strategy.outcome.refused == {"a": "metrics.num-examples is None; a count of 0 or more is needed"}
    assert list(strategy.outcome.shops) == ["bb"]
    assert counted.seen == [1, 1]  # what is refused never reaches a transform


def test_where_nothing_goes_up_or_nobody_replies_nothing_is_transformed():
    counted = Counted()
    strategy = strategy_of(Told((), up=(1, 3)), None, None, counted)
    nothing = train_reply(AdapterUpdate("", 2, {}, 3), (), ConfigRecord())
    strategy.aggregate_train(2, replies(strategy, 2, {22: nothing}))
    assert (strategy.state.adopted, strategy.outcome.skipped) == ({"bb"}, None)
    strategy.aggregate_train(3, [])
    assert strategy.outcome.skipped == "no shop gave a usable reply"
    strategy.aggregate_train(3, replies(strategy, 3, {22: reply_of(make_adapter("x"), num_examples=0)}))
    assert strategy.outcome.skipped == "no shop had an example to learn from"
    assert strategy.state.aggregate is None
    assert counted.seen == [1]


def test_an_evaluation_tells_what_it_could_not_read():
    strategy = strategy_of(Told((1,)))
    sound = evaluate_reply(EvaluationReport(5, {"score": 0.5}), ConfigRecord())
    broken = RecordDict({records.METRICS: MetricRecord({"num-examples": 2, "score": [0.1, 0.2]})})
    list(strategy.configure_evaluate(1, ArrayRecord(), records.evaluate_config(1, "final"), None))
    strategy.aggregate_evaluate(1, replies(strategy, 1, {11: broken, 22: sound}, "final"))
    assert strategy.outcome.evaluations == {"bb": EvaluationReport(5, {"score": 0.5})}
    assert strategy.outcome.refused == {"a": "metrics.score is a list; one number is needed"}


class SendsA(FedAvg):
    """All tensors come up, A alone goes down."""

    def downlink(self, state, shop_id):
        return select(state.adapter, LORA_A)


def test_beside_what_was_sent_an_update_has_what_the_settings_say_whatever_most_have():
    nodes = {1: "a", 2: "b", 3: "c"}
    server = AggregatorState(make_adapter("server"))
    plan = FederationPlan(Told((1,)), SendsA(), limits=LIMITS)
    strategy = AdapterStrategy(plan, nodes, ServerState(0, server))
    list(strategy.configure_train(1, ArrayRecord(), ConfigRecord(), None))
    whole = make_adapter("x")
    contents = {node: reply_of(whole if node == 1 else select(whole, LORA_A)) for node in nodes}
    strategy.aggregate_train(1, replies(strategy, 1, contents))
    assert list(strategy.outcome.shops) == ["a"]
    assert strategy.outcome.refused == dict.fromkeys(("b", "c"), f"the adapter lacks {B} and 0 more")
