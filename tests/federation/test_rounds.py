"""The server's loop on the fake device, without Ray."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import RunDirectoryError, WriteError
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationError, FederationResult, as_json
from ecc_fed.federation.rounds import Server, run_rounds
from ecc_fed.federation.wire.arrays import to_arrays
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation
from experiments.reliability.equal import repeatable
from tests.federation.fakes import SHAPES, FakeDevice, aggregated, fresh_adapter, local, personalized

LOCAL, AGGREGATED, PERSONAL = local(4), aggregated(4), personalized(4, 2)


def run(plan: FederationPlan, shop_ids: list[str], device: FakeDevice | None = None, **arguments) -> FederationResult:
    device = device or FakeDevice(tuple(shop_ids))
    return run_federation(plan, shop_ids, lambda _: device, InProcessHosts(), **arguments)


def same(left: AdapterState | None, right: AdapterState | None) -> bool:
    return left is not None and right is not None and all(np.array_equal(left[n], right[n]) for n in left)


def untimed(result: FederationResult) -> dict:
    content = as_json(result)
    for record in content["rounds"]:
        record["seconds"] = 0.0
    return content


def test_one_shop_aggregated_equals_local_bit_for_bit():
    alone, served = FakeDevice(("only",)), FakeDevice(("only",))
    by_itself, alike = run(LOCAL, ["only"], alone), run(AGGREGATED, ["only"], served)
    assert same(alone.adapter_of("only"), served.adapter_of("only"))
    assert same(alike.state.aggregate, alone.adapter_of("only"))
    assert not same(alike.state.aggregate, fresh_adapter())  # it did learn
    assert by_itself.final.shops == alike.final.shops
    assert by_itself.state.aggregate is None


@pytest.mark.parametrize("plan", [local(0), aggregated(0)])
def test_zero_rounds_equal_the_base(plan):
    device = FakeDevice(("a", "b"))
    result = run(plan, ["a", "b"], device)
    assert result.final.shops == result.base.shops
    assert result.rounds == ()
    assert same(device.adapter_of("a"), fresh_adapter())


def test_the_aggregate_is_the_mean_weighted_by_examples_and_goes_down_next_round():
    handed: list[AdapterUpdate] = []

    class Watched(FedAvg):
        def aggregate(self, state, updates):
            handed.extend(updates)
            return super().aggregate(state, updates)

    result = run(aggregated(1, Watched()), ["a", "bbbbbb"])
    first, second = (update.adapter for update in handed)
    assert same(result.state.aggregate, weighted_mean([first, second], [11, 16]))
    assert [shop.num_examples for shop in result.rounds[0].shops.values()] == [11, 16]
    assert not same(first, second)
    assert [(update.shop_id, update.server_round, update.rank, update.scale) for update in handed] == [
        ("a", 1, 2, 1.0),
        ("bbbbbb", 1, 2, 1.0),
    ]


def test_what_is_sent_when_in_every_arm():
    def sent(plan: FederationPlan) -> list[tuple[str, int, bool]]:
        device = FakeDevice(("a",))
        run(plan, ["a"], device)
        return [(phase, server_round, incoming) for phase, _, server_round, incoming in device.calls]

    assert sent(local(2)) == [("base", 0, False), ("train", 1, False), ("train", 2, False), ("final", 2, False)]
    assert sent(aggregated(2)) == [("base", 0, False), ("train", 1, False), ("train", 2, True), ("final", 2, True)]
    assert sent(personalized(4, 2)) == [
        ("base", 0, False),
        ("train", 1, False),
        ("train", 2, True),
        ("train", 3, True),  # the first personal round starts from the last aggregate
        ("train", 4, False),  # and then the shop is on its own
        ("final", 4, False),
    ]
    assert sent(aggregated(1, evaluates_base=False))[0] == ("train", 1, False)


def test_personal_rounds_leave_the_aggregate_and_make_the_shops_differ():
    device = FakeDevice(("a", "b"))
    result = run(PERSONAL, ["a", "b"], device)
    assert same(result.state.aggregate, run(aggregated(2), ["a", "b"]).state.aggregate)
    assert not same(device.adapter_of("a"), device.adapter_of("b"))
    uploads = [(e.server_round, e.kind) for e in result.traffic if e.direction == "up" and e.kind == "adapter"]
    assert {server_round for server_round, _ in uploads} == {1, 2}


def test_local_arms_send_no_adapter_anywhere():
    result = run(LOCAL, ["a", "b"])
    assert {entry.kind for entry in result.traffic} == {"metrics", "config", "envelope"}


def test_traffic_of_an_aggregated_run():
    result = run(aggregated(2), ["a", "b"])
    adapter_bytes = to_arrays(fresh_adapter()).count_bytes()
    totals = as_json(result)["traffic_bytes"]
    assert totals["adapter_up"] == 2 * 2 * adapter_bytes
    assert totals["adapter_down"] == 2 * 2 * adapter_bytes  # round 2, and the final evaluation


def test_a_shop_that_raises_is_recorded_and_the_others_go_on():
    result = run(AGGREGATED, ["a", "raises", "b"])
    assert same(result.state.aggregate, run(AGGREGATED, ["a", "b"]).state.aggregate)
    assert [(f.shop_id, f.server_round, f.kind, f.phase) for f in result.failures] == [
        ("raises", server_round, "dropped", "train") for server_round in (1, 2, 3, 4)
    ]
    assert result.failures[0].reason == "RuntimeError: no power at raises"
    assert "Traceback" in result.failures[0].details
    assert set(result.final.shops) == {"a", "raises", "b"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nan", "holds 1 values that are not finite"),
        ("renamed", "lacks base_model.model.q_proj.lora_A.weight"),
        ("reshaped", r"lora_A.weight has shape \(5, 2\), not \(2, 5\)"),
        ("double", "is float64, not float32"),
    ],
)
def test_a_malformed_adapter_is_refused_and_never_averaged(name, reason):
    result = run(AGGREGATED, ["a", name, "b"])
    assert same(result.state.aggregate, run(AGGREGATED, ["a", "b"]).state.aggregate)
    assert {(f.shop_id, f.kind) for f in result.failures} == {(name, "refused")}
    assert len(result.failures) == 4
    assert re.search(reason, result.failures[0].reason)


def test_a_malformed_adapter_that_comes_first_does_not_outvote_the_others():
    result = run(AGGREGATED, ["renamed", "a", "b"])
    assert {f.shop_id for f in result.failures} == {"renamed"}


class Failing(FakeDevice):
    """Shop b's training raises `error`."""

    error: Exception

    def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
        if shop_id == "b":
            raise self.error
        return super().train(shop_id, server_round, incoming, exchange)


def test_a_full_disk_stops_the_run_and_a_damaged_state_only_its_shop():
    device = Failing(("a", "b"))
    device.error = WriteError("cannot write shops/b: the disk is full")
    with pytest.raises(WriteError, match=r"^cannot write shops/b: the disk is full$"):
        run(LOCAL, ["a", "b"], device)
    device.error = RunDirectoryError("shops/b/round_0001 is damaged")
    result = run(LOCAL, ["a", "b"], device)
    assert {failure.shop_id for failure in result.failures} == {"b"}
    assert [set(record.shops) for record in result.rounds] == [{"a"}] * 4


def test_a_round_without_any_usable_reply_is_skipped_and_the_adapter_kept():
    result = run(AGGREGATED, ["raises", "also_raises"])
    assert [(s.server_round, s.reason) for s in result.skipped_rounds] == [
        (server_round, "no shop gave a usable reply") for server_round in (1, 2, 3, 4)
    ]
    assert result.state.aggregate is None
    assert result.final.shops == result.base.shops


def test_a_round_without_examples_is_skipped():
    result = run(aggregated(1), ["lazy", "also_lazy"])
    assert [s.reason for s in result.skipped_rounds] == ["no shop had an example to learn from"]
    assert result.state.aggregate is None
    assert result.failures == ()


def test_a_shop_without_examples_does_not_move_the_mean():
    result = run(aggregated(1), ["a", "lazy"])
    assert same(result.state.aggregate, run(aggregated(1), ["a"]).state.aggregate)


def test_a_shop_that_misses_the_first_personal_round_is_sent_the_aggregate_again():
    class Tired(FakeDevice):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            if shop_id == "b" and server_round == 3:
                self.calls.append(("train", shop_id, server_round, incoming is not None))
                raise RuntimeError("asleep")
            return super().train(shop_id, server_round, incoming, exchange)

    device = Tired(("a", "b"))
    run(PERSONAL, ["a", "b"], device)
    assert [call[2:] for call in device.calls if call[:2] == ("train", "b")][2:] == [(3, True), (4, True)]
    assert [call[2:] for call in device.calls if call[:2] == ("train", "a")][2:] == [(3, True), (4, False)]


@pytest.mark.parametrize("plan", [LOCAL, AGGREGATED, PERSONAL])
@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 4])
def test_a_resumed_run_ends_equal_to_one_never_stopped(plan, stop_after):
    whole, stopped = FakeDevice(("a", "b")), FakeDevice(("a", "b"))
    expected = run(plan, ["a", "b"], whole)
    states = []

    def stop(checkpoint):
        states.append(checkpoint)
        if checkpoint.state.server_round == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, ["a", "b"], stopped, on_checkpoint=stop)
    resumed = run(plan, ["a", "b"], stopped, resume=states[-1])
    assert untimed(resumed) == untimed(expected)
    assert repeatable(resumed.traffic) == repeatable(expected.traffic)
    assert all(same(whole.adapter_of(s), stopped.adapter_of(s)) for s in ("a", "b"))


class ShuffledGrid(HostGrid):
    """Replies in another order than asked, as a network gives them."""

    def send_and_receive(self, messages, *, timeout=None):
        return list(reversed(list(super().send_and_receive(messages, timeout=timeout))))


def test_the_order_of_replies_changes_nothing():
    shop_ids = ["a", "bb", "ccc", "dddd", "eeeee"]
    hosts = InProcessHosts()
    device = FakeDevice(tuple(shop_ids))
    hosts.open(shop_ids, lambda _: device)
    grid = ShuffledGrid(hosts, shop_ids)
    shuffled = run_rounds(Server(grid, grid.shops), AGGREGATED.expecting(SHAPES))
    expected = run(AGGREGATED, shop_ids)
    assert same(shuffled.state.aggregate, expected.state.aggregate)
    assert list(shuffled.rounds[0].shops) == shop_ids


class LossyGrid(HostGrid):
    """Loses the first reply."""

    def send_and_receive(self, messages, *, timeout=None):
        return list(super().send_and_receive(messages, timeout=timeout))[1:]


def test_a_reply_that_never_comes_is_a_dropped_shop():
    hosts = InProcessHosts()
    hosts.open(["a", "b"], FakeDevice)
    grid = LossyGrid(hosts, ["a", "b"])
    result = run_rounds(Server(grid, grid.shops, 5.0), aggregated(1).expecting(SHAPES))
    assert {(f.shop_id, f.phase, f.reason) for f in result.failures} == {
        ("a", phase, "no reply within 5.0 seconds") for phase in ("base", "train", "final")
    }


def test_an_aggregator_that_spoils_its_adapter_stops_the_run_by_name():
    class Spoils(FedAvg):
        def aggregate(self, state, updates):
            state, report = super().aggregate(state, updates)
            adapter = {name: tensor * np.float32("nan") for name, tensor in state.adapter.items()}
            return replace(state, adapter=adapter), report

    with pytest.raises(FederationError, match=r"Strategy Spoils failed in server round 1: tensor .* finite"):
        run(aggregated(4, Spoils()), ["a", "b"])


def test_measures_stand_in_the_round_records():
    first, second = run(aggregated(2), ["a", "b"]).rounds
    assert first.aggregation is not None and first.aggregation.relative_error > 0
    assert set(first.aggregation.module_errors) == {"base_model.model.q_proj"}
    assert first.aggregation.update_norm is None  # nothing went down in round 1
    assert first.shops["a"].update_norm is None
    assert second.aggregation.update_norm > 0
    assert all(shop.update_norm > 0 for shop in second.shops.values())
    assert second.shops["a"].metrics == {"loss": 2.0}


def test_progress_is_told_for_every_shop_and_phase():
    told = []
    run(aggregated(1), ["a", "b"], on_progress=lambda *what: told.append(what[:3]))
    assert told == [
        (phase, server_round, shop_id)
        for phase, server_round in (("base", 0), ("train", 1), ("final", 1))
        for shop_id in ("a", "b")
    ]


def test_no_shop_is_an_error():
    with pytest.raises(FederationError, match="There is no shop to run"):
        run(LOCAL, [])


def test_two_equal_runs_are_equal():
    assert untimed(run(PERSONAL, ["a", "b", "c"])) == untimed(run(PERSONAL, ["a", "b", "c"]))
