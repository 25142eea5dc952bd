"""Who takes part in a round, and what becomes of the others."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.errors import ConfigError, TooFewUpdates
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.participation import Participation, ParticipationSettings, TakingPart
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint, FederationResult
from ecc_fed.federation.trace import Rounds, read_trace
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


def test_late_shops_join_in_their_round_and_the_draws_of_the_others_stay():
    plain = Participation(ParticipationSettings(), seed=5)
    late = Participation(ParticipationSettings(late_share=0.3, late_round=3), seed=5)
    absent = set(SHOPS) - set(late.of_round(1, SHOPS).present)
    assert len(absent) == 3
    assert absent == late.late_shops(SHOPS) == late.late_shops(SHOPS[::-1])
    assert late.of_round(2, SHOPS).present == tuple(each for each in SHOPS if each not in absent)
    assert late.of_round(3, SHOPS) == plain.of_round(3, SHOPS) == TakingPart(SHOPS)
    other = Participation(ParticipationSettings(late_share=0.3, late_round=3), seed=6)
    assert other.late_shops(SHOPS) != absent
    half = Participation(ParticipationSettings(share=0.5, late_share=0.4), seed=5)
    assert half.of_round(1, SHOPS).drawn == 3, "half of the six that are there"
    assert set(half.of_round(1, SHOPS).present) <= set(SHOPS) - half.late_shops(SHOPS)


@pytest.mark.parametrize(("server_rounds", "plan_of"), [(4, aggregated), (4, local)])
def test_a_late_shop_starts_from_the_aggregate_or_from_nothing(server_rounds, plan_of):
    device = FakeDevice(SHOPS[:4])
    late = Participation(ParticipationSettings(late_share=0.25, late_round=3), seed=1)
    (newcomer,) = late.late_shops(SHOPS[:4])
    result = run(replace(plan_of(server_rounds), participation=late), device)
    assert not result.failures
    calls = [
        (server_round, received)
        for kind, shop, server_round, received in device.calls
        if (kind, shop) == ("train", newcomer)
    ]
    head_start = plan_of is aggregated
    assert calls == [(3, head_start), (4, head_start)]
    without = FakeDevice(SHOPS[:4])
    run(replace(plan_of(2), participation=late), without)
    assert not [call for call in without.calls if call[:2] == ("train", newcomer)]


def test_a_round_in_which_nobody_is_there_is_skipped():
    trace = {shop_id: Rounds(((2, None),)) for shop_id in SHOPS[:2]}
    device = FakeDevice(SHOPS[:2])
    result = run(replace(aggregated(3), participation=Participation(trace=trace)), device)
    assert [skipped.server_round for skipped in result.skipped_rounds] == [1]
    assert trained(device) == {2: list(SHOPS[:2]), 3: list(SHOPS[:2])}
    few = replace(aggregated(3, ThreeAtLeast()), participation=Participation(trace=trace))
    with pytest.raises(ConfigError, match="2 of 2 shops take part in server round 2"):
        few.check_shops(SHOPS[:2])


def test_a_trace_says_who_is_there_and_must_know_the_shops():
    trace = {SHOPS[0]: Rounds(((1, 1), (3, None))), SHOPS[1]: Rounds(())}
    found = Participation(trace=trace)
    there = [found.of_round(each, SHOPS[:3]).present for each in (1, 2, 9)]
    assert there == [(SHOPS[0], SHOPS[2]), (SHOPS[2],), (SHOPS[0], SHOPS[2])]
    found.check_shops(SHOPS)
    settings = ParticipationSettings(trace="t.csv")
    with pytest.raises(ConfigError, match=r"participation.trace=t.csv names shop_00, and 1 more, .* Its shops: a, b\."):
        Participation(settings, trace=trace).check_shops(("a", "b"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '{"a": [1, 2, 5], "b": "3- 1", "c": []}'),
        ("t.csv", "shop,rounds\na,1-2 5\n b ,3- 1\n\nc,\n"),
    ],
)
def test_traces_are_read_from_both_formats(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_trace(tmp_path / name)
    there = {shop: [each for each in range(1, 8) if each in rounds] for shop, rounds in found.items()}
    assert there == {"a": [1, 2, 5], "b": [1, 3, 4, 5, 6, 7], "c": []}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no JSON"),
        ('{"a": [0]}', "a: 0 names no rounds; they count from 1"),
        ('{"a": [true]}', "a: True names no rounds"),
        ('{"a": 1.5}', "a: 1.5 names no rounds"),
        ('{"a": "4-2"}', "a: '4-2' names no rounds"),
        ('{"a": [1], "a": [2]}', "a stands there a second time"),
        ("name,rounds\na,1\n", "does not begin with the line shop,rounds"),
        ("shop,rounds\na,1,2\n", "line 2: 3 cells, not 2"),
        ("shop,rounds\na,x\n", "a: 'x' names no rounds"),
    ],
)
def test_a_trace_that_says_nothing_is_refused_by_file_and_shop(tmp_path, text, reason):
    (tmp_path / "t").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=reason):
        read_trace(tmp_path / "t")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trace(tmp_path / "none")


@pytest.mark.parametrize("setting", [{"late_share": 1.0}, {"late_share": -0.1}, {"late_round": 0}])
def test_lateness_out_of_range_is_refused(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"participation.{name}="):
        ParticipationSettings(**setting)
