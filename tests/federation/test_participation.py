"""Who takes part in a round, and what becomes of the others."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.errors import ConfigError, TooFewUpdates
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.participation import Participation, ParticipationSettings, TakingPart
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint, FederationResult
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation
from tests.federation.fakes import FakeDevice, aggregated, local, personalized

SHOPS = tuple(f"shop_{i:02}" for i in range(10))
HALF = Participation(ParticipationSettings(share=0.5), seed=3)


def run(plan: FederationPlan, device: FakeDevice, **arguments) -> FederationResult:
    return run_federation(plan, list(device.shop_ids), lambda _: device, InProcessHosts(), **arguments)


def trained(device: FakeDevice) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for kind, shop_id, server_round, _ in device.calls:
        if kind == "train":
            found.setdefault(server_round, []).append(shop_id)
    return found


def test_a_share_of_one_is_everybody_and_every_round_has_somebody():
    assert Participation().of_round(4, SHOPS) == TakingPart(SHOPS)
    few = Participation(ParticipationSettings(share=0.01), seed=1)
    assert all(len(few.of_round(r, SHOPS).present) == 1 for r in range(1, 9))


def test_a_sample_is_its_seeds_and_rounds_whatever_the_order_of_shops():
    samples = [HALF.of_round(r, SHOPS).present for r in range(1, 21)]
    assert all(len(sample) == 5 and list(sample) == sorted(sample) for sample in samples)
    assert len(set(samples)) > 15
    assert [set(HALF.of_round(r, SHOPS[::-1]).present) for r in range(1, 21)] == [set(sample) for sample in samples]
    assert [replace(HALF, seed=4).of_round(r, SHOPS).present for r in range(1, 21)] != samples
    counts = [sum(shop_id in sample for sample in samples) for shop_id in SHOPS]
    assert min(counts) >= 4, "nobody is always left out"


def test_drop_outs_are_of_those_drawn_and_as_many_as_declared():
    both = Participation(ParticipationSettings(share=0.5, dropout=0.3), seed=3)
    found = [both.of_round(r, SHOPS) for r in range(1, 201)]
    for number, each in enumerate(found, start=1):
        assert sorted(each.present + each.dropped) == list(HALF.of_round(number, SHOPS).present)
    assert sum(len(each.dropped) for each in found) / 1000 == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    "plan", [local(3), aggregated(3), personalized(3, 1)], ids=["local", "aggregated", "personalized"]
)
def test_every_arm_asks_the_same_shops_and_evaluates_all(plan):
    device = FakeDevice(SHOPS)
    result = run(replace(plan, participation=HALF), device)
    assert trained(device) == {r: list(HALF.of_round(r, SHOPS).present) for r in (1, 2, 3)}
    assert [list(record.shops) for record in result.rounds] == list(trained(device).values())
    assert list(result.final.shops) == list(SHOPS)
    assert result.failures == ()


def test_who_is_not_asked_keeps_what_it_has_and_is_sent_nothing():
    device = FakeDevice(SHOPS)
    result = run(replace(aggregated(2), participation=HALF), device)
    ever = {shop_id for shops in trained(device).values() for shop_id in shops}
    assert ever < set(SHOPS)
    for shop_id in set(SHOPS) - ever:
        assert not device._load(shop_id)
    rounds = (entry for record in result.rounds for entry in record.traffic)
    assert {(entry.shop_id, entry.server_round) for entry in rounds} == {
        (shop_id, r) for r, shops in trained(device).items() for shop_id in shops
    }


def test_whoever_goes_on_by_itself_is_sent_the_aggregate_once_when_it_first_takes_part():
    device = FakeDevice(SHOPS)
    run(replace(personalized(5, 4), participation=HALF), device)
    sent = [(shop_id, incoming) for kind, shop_id, r, incoming in device.calls if kind == "train" and r > 1]
    first = {}
    for shop_id, incoming in sent:
        assert incoming == (shop_id not in first)
        first[shop_id] = incoming
    final = {shop_id: incoming for kind, shop_id, _, incoming in device.calls if kind == "final"}
    assert final == {shop_id: shop_id not in first for shop_id in SHOPS}


def test_drop_outs_stand_among_the_failures_and_a_round_of_drop_outs_alone_is_skipped():
    both = Participation(ParticipationSettings(share=0.2, dropout=0.6), seed=0)
    device = FakeDevice(SHOPS)
    result = run(replace(aggregated(6), participation=both), device)
    wanted = {r: both.of_round(r, SHOPS) for r in range(1, 7)}
    assert trained(device) == {r: list(each.present) for r, each in wanted.items() if each.present}
    assert [(f.shop_id, f.server_round, f.phase, f.kind) for f in result.failures] == [
        (shop_id, r, "train", "dropped") for r, each in wanted.items() for shop_id in each.dropped
    ]
    assert {f.reason for f in result.failures} == {"dropped out before the round, as participation.dropout=0.6 has it"}
    empty = [r for r, each in wanted.items() if not each.present]
    assert empty, "a seed with a round of drop-outs alone"
    assert [each.server_round for each in result.skipped_rounds] == empty


def test_a_run_that_goes_on_asks_the_same_shops():
    plan = replace(aggregated(4), participation=Participation(ParticipationSettings(0.5, 0.2), seed=3))
    whole, stopped, kept = FakeDevice(SHOPS), FakeDevice(SHOPS), list[Checkpoint]()
    expected = run(plan, whole)

    def stop(checkpoint: Checkpoint) -> None:
        kept.append(checkpoint)
        if checkpoint.state.server_round == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, stopped, on_checkpoint=stop)
    resumed = run(plan, stopped, resume=kept[-1])
    assert trained(stopped) == trained(whole)
    assert all(np.array_equal(resumed.state.aggregate[n], each) for n, each in expected.state.aggregate.items())
    assert resumed.failures == expected.failures


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"share": 0}, "share=0"),
        ({"share": 1.1}, "share=1.1"),
        ({"dropout": 1}, "dropout=1"),
        ({"dropout": -0.1}, "-0.1"),
    ],
)
def test_settings_out_of_range_are_refused(values, named):
    with pytest.raises(ConfigError, match=f"participation.*{named}"):
        ParticipationSettings(**values)


class ThreeAtLeast(FedAvg):
    """Needs as many updates."""

    def check_count(self, count: int) -> None:
        if count < 3:
            raise TooFewUpdates(f"{count} are too few")

    def aggregate(self, state, updates):
        self.check_count(len(updates))
        return super().aggregate(state, updates)


def test_a_round_that_drop_outs_leave_too_small_is_skipped_and_the_run_goes_on():
    device = FakeDevice(SHOPS[:4])
    leaving = Participation(ParticipationSettings(dropout=0.4), seed=2)
    counts = [len(leaving.of_round(each, SHOPS[:4]).present) for each in range(1, 9)]
    assert {count >= 3 for count in counts} == {True, False}
    result = run(replace(aggregated(8, ThreeAtLeast()), participation=leaving), device)
    assert [r.aggregation is None for r in result.rounds] == [count < 3 for count in counts]
    few = {r.server_round: r.reason for r in result.skipped_rounds}
    nobody = "no shop gave a usable reply"
    expected = {i + 1: f"{n} are too few" if n else nobody for i, n in enumerate(counts) if n < 3}
    assert few == expected
    with pytest.raises(ConfigError, match="2 of 2 shops take part in server round 1: 2 are too few"):
        run(aggregated(1, ThreeAtLeast()), FakeDevice(SHOPS[:2]))
