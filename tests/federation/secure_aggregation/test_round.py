"""The server's round over Flower's messages, without Ray: drop-outs at every stage, halts, and what the server sees."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.fedsa_lora import FedSaLora
from ecc_fed.federation.aggregation.ffa_lora import FfaLora
from ecc_fed.federation.aggregation.rolora import RoLora
from ecc_fed.federation.aggregation.weights import Uniform
from ecc_fed.federation.arms import Personalized
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import as_json
from ecc_fed.federation.transforms.clipping import ClipUpdate
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.privacy.secure_aggregation.messages import STAGES
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from tests.federation.fakes import SHAPES, A, B, FakeDevice, aggregated

from .devices import MOST, SECURE, SecureDevice, play, secure_plan

SHOPS = [f"s{place}" for place in range(6)]


def furthest(found, wanted) -> float:
    assert found.keys() == wanted.keys()
    return max(float(np.abs(found[name].astype(np.float64) - wanted[name]).max()) for name in wanted)


def mean_of(device: SecureDevice, server_round: int, shops) -> dict[str, np.ndarray]:
    sent = [device.sent[server_round, shop_id] for shop_id in shops]
    return weighted_mean([adapter for adapter, _ in sent], [weight for _, weight in sent])


@pytest.mark.parametrize("neighbours", [None, 4], ids=["all", "ring"])
@pytest.mark.parametrize(
    "stages", [(None,), *((stage,) for stage in STAGES), ("keys", "shares"), ("train", "unmask")], ids=str
)
def test_the_survivors_weighted_mean_at_every_stage(tmp_path: Path, stages, neighbours) -> None:
    settings = replace(SECURE, threshold=0.51, neighbours=neighbours)
    fails = {f"s{place + 1}": stage for place, stage in enumerate(stages) if stage is not None}
    weights = {shop_id: 1 + 13 * place for place, shop_id in enumerate(SHOPS)}
    device = SecureDevice(SHOPS, tmp_path, settings, fails, weights)
    result = play(secure_plan(2, settings=settings), device)
    counted = [shop_id for shop_id in SHOPS if fails.get(shop_id, "unmask") == "unmask"]
    assert [list(record.shops) for record in result.rounds] == [counted] * 2
    assert furthest(result.state.aggregate, mean_of(device, 2, counted)) <= 1e-5
    assert not result.skipped_rounds
    assert [(each.shop_id, each.kind, each.reason) for each in result.rounds[1].failures] == [
        (shop_id, "dropped", f"stage {stage}: RuntimeError: no power in stage {stage}")
        for shop_id, stage in fails.items()
    ]


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("keys", "secure aggregation stopped at stage keys: 1 of 4 shops are left, and secure_aggregation.min_shops=2"),
        ("shares", "secure aggregation stopped at stage shares: 1 of 4 shops are left"),
        ("train", "secure aggregation stopped at stage train: 1 of 4 shops are left"),
        ("unmask", "secure aggregation stopped at stage unmask: 1 shares of a secret came, and 3 are needed"),
    ],
)
def test_below_the_threshold_the_round_is_skipped_and_the_old_adapter_stays(tmp_path: Path, stage, reason) -> None:
    shops, fails = SHOPS[:4], {}
    device = SecureDevice(shops, tmp_path, fails=fails)
    plan, kept = secure_plan(2), []
    # The second round has drop-outs, the first has none.
    result = play(
        plan, device, on_checkpoint=lambda done: (kept.append(done), fails.update(dict.fromkeys(shops[1:], stage)))
    )
    assert kept[0].state.aggregate is result.state.aggregate is not None
    assert [skipped.server_round for skipped in result.skipped_rounds] == [2]
    assert result.skipped_rounds[0].reason.startswith(reason)
    assert result.rounds[1].shops == {} and result.rounds[1].aggregation is None
    assert len(result.rounds[1].failures) == 3
    assert result.state.server_round == 2


def test_one_less_than_the_threshold_is_too_few_and_the_threshold_is_enough(tmp_path: Path) -> None:
    """Of six shops four are needed."""
    for left, stage in product((4, 3), ("shares", "train", "unmask")):
        fails = dict.fromkeys(SHOPS[left:], stage)
        device = SecureDevice(SHOPS, tmp_path / f"{left}{stage}", fails=fails)
        skipped = play(secure_plan(1), device).skipped_rounds
        assert bool(skipped) == (left == 3), (left, stage, skipped)


@pytest.mark.parametrize("aggregator", [FedAvg(), FedAvg(Uniform()), FfaLora(), RoLora(), FedSaLora()], ids=str)
def test_methods_of_sums_end_as_in_the_clear(tmp_path: Path, aggregator) -> None:
    uniform = isinstance(getattr(aggregator, "weights", None), Uniform)
    secure = play(secure_plan(3, aggregator), SecureDevice(SHOPS, tmp_path, uniform=uniform))
    plain = play(aggregated(3, aggregator, evaluates_base=False), FakeDevice(tuple(SHOPS)))
    assert furthest(secure.state.aggregate, plain.state.aggregate) <= 1e-5
    assert not secure.failures and not secure.skipped_rounds


def test_keys_change_nothing_of_the_sum(tmp_path: Path) -> None:
    one, other = (
        play(secure_plan(1, settings=settings), SecureDevice(SHOPS, tmp_path / name, settings))
        for name, settings in (("seeded", SECURE), ("drawn", replace(SECURE, seeded_keys=False)))
    )
    assert furthest(one.state.aggregate, other.state.aggregate) == 0.0


def test_a_shop_without_examples_counts_for_nothing_and_all_without_skip_the_round(tmp_path: Path) -> None:
    device = SecureDevice(SHOPS, tmp_path / "one", weights={"s1": 0})
    result = play(secure_plan(1), device)
    assert furthest(result.state.aggregate, mean_of(device, 1, [each for each in SHOPS if each != "s1"])) <= 1e-5
    result = play(secure_plan(1), SecureDevice(SHOPS, tmp_path / "all", weights=dict.fromkeys(SHOPS, 0)))
    assert [each.reason for each in result.skipped_rounds] == ["no shop had an example to learn from"]
    assert result.state.aggregate is None


def test_clipping_on_the_devices_goes_with_it(tmp_path: Path) -> None:
    class Clipping(SecureDevice):
        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            start = {**self.adapter_of(shop_id), **(incoming or {})}
            return ClipUpdate(0.1).on_device(super().train(shop_id, server_round, incoming, exchange), start)

    device = Clipping(SHOPS, tmp_path)
    result = play(secure_plan(1, FedAvg(), ClipUpdate(0.1)), device)
    moved = {name: result.state.aggregate[name] - device.adapter_of("s0", 1)[name] for name in SHAPES}
    assert 0.01 < np.sqrt(sum(float((each**2).sum()) for each in moved.values())) <= 0.1 + 1e-5


def test_the_server_side_of_transforms_is_given_the_mean_alone(tmp_path: Path) -> None:
    class Noted(ClipUpdate):
        def on_server(self, updates):
            seen.extend(updates)
            return list(updates)

    seen: list[AdapterUpdate] = []
    play(secure_plan(1, FedAvg(), Noted(9.0)), SecureDevice(SHOPS, tmp_path))
    assert [(each.shop_id, each.num_examples, each.metrics) for each in seen] == [("all", 72, {})]


def test_a_sum_out_of_bounds_skips_the_round(tmp_path: Path) -> None:
    plan = secure_plan(1)
    plan = replace(plan, limits=replace(plan.limits, settings=replace(plan.limits.settings, max_value=0.01)))
    result = play(plan, SecureDevice(SHOPS, tmp_path))
    assert result.skipped_rounds[0].reason.startswith("the sum of the updates cannot be used: tensor base_model")
    assert result.state.aggregate is None


def test_a_value_beyond_the_clipping_range_drops_its_shop_out(tmp_path: Path) -> None:
    class Large(SecureDevice):
        def train(self, shop_id, *arguments, **named):
            update = super().train(shop_id, *arguments, **named)
            return (
                replace(update, adapter={**update.adapter, A: update.adapter[A] * 1e4}) if shop_id == "s3" else update
            )

    result = play(secure_plan(1), Large(SHOPS, tmp_path))
    assert "s3" not in result.rounds[0].shops and len(result.rounds[0].shops) == 5
    assert "beyond secure_aggregation.clipping_range=16" in result.failures[0].reason
    assert result.state.aggregate is not None


class Watched(HostGrid):
    """Keeps every message that came up."""

    came: list[Message]

    def send_and_receive(self, messages, *, timeout=None):
        found = list(super().send_and_receive(messages, timeout=timeout))
        type(self).came += found
        return found


def test_the_server_sees_nothing_of_a_shop_but_that_it_was_there(tmp_path: Path, monkeypatch) -> None:
    """Every reply of a run with an adapter of 20,480 numbers: no plain number of a shop stands in any of them."""
    monkeypatch.setattr("ecc_fed.runs.federation.HostGrid", Watched)
    Watched.came = []

    class Wide(SecureDevice):
        """Sends what has enough numbers to count, alike in both rounds."""

        def adapter_shapes(self):
            return {"wide": (20_480,)}

        def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
            update = super().train(shop_id, server_round, {}, exchange)
            wide = derive_rng(1, shop_id).standard_normal(20_480).astype(np.float32)
            self.sent[server_round, shop_id] = {"wide": wide}, update.num_examples
            return replace(update, adapter={"wide": wide}, num_examples=77, metrics={"loss": 0.125})

        def evaluate(self, shop_id, server_round, incoming, phase):
            return super().evaluate(shop_id, server_round, None, phase)

    device = Wide(SHOPS, tmp_path)
    play(secure_plan(2), device)
    assert len(Watched.came) == 2 * 4 * 6 + 6
    seen: list[np.ndarray] = []
    quantisation = secure_plan(1).quantisation(6)
    for message in Watched.came:
        assert not message.content.metric_records  # no count, no loss, no scale
        assert set(message.content) <= {"config", "secure-aggregation", "arrays"}
        texts = {**message.content.config_records["config"]}
        assert set(texts) == {"run", "phase", "server-round", "shop-id"}
        arrays = message.content.array_records.get("arrays", ArrayRecord())
        width = quantisation.modulus_bytes
        seen += [np.frombuffer(array.data[-width * 20_482 :], np.uint8) for array in arrays.values()]
    assert len(seen) == 12
    for place, packed in enumerate(seen):
        for column in packed.reshape(-1, quantisation.modulus_bytes).T:
            counts = np.bincount(column, minlength=256)
            assert ((counts - 20_482 / 256) ** 2 / (20_482 / 256)).sum() < 370  # far beyond the 99.999th percentile
        numbers = quantisation.unpack(packed)
        plain = quantisation.encode(77, 77, device.sent[1, SHOPS[place % 6]][0]["wide"])
        assert (numbers == plain).mean() < 1e-3
        # The same update in two rounds: other masks.
        assert (packed == seen[(place + 6) % 12]).mean() < 0.01


def test_updates_and_evaluations_tell_no_count(tmp_path: Path) -> None:
    plan = secure_plan(2)
    plan = replace(plan, arm=Personalized(2, 1, evaluates_base=True))
    result = play(plan, SecureDevice(SHOPS, tmp_path))
    for record in result.rounds:  # the second uploads nothing
        assert {(each.num_examples, tuple(each.metrics), each.update_norm) for each in record.shops.values()} == {
            (None, (), None)
        }
    for evaluation in (result.base, result.final):
        assert {(each.num_examples, tuple(each.metrics)) for each in evaluation.shops.values()} == {(None, ())}
    assert result.state.adopted == set(SHOPS)
    report = result.rounds[0].aggregation
    assert (report.relative_error, report.ranks, report.update_bytes) == (None, {}, {})
    as_json(result)


def test_every_byte_of_the_stages_is_counted(tmp_path: Path) -> None:
    result = play(secure_plan(1), SecureDevice(SHOPS, tmp_path))
    bytes_of = {
        (kind, direction): sum(
            e.num_bytes for e in result.rounds[0].traffic if (e.kind, e.direction) == (kind, direction)
        )
        for kind in ("secure_aggregation", "adapter", "metrics")
        for direction in ("up", "down")
    }
    share, entry = 2 * 33 + 16, 6
    up = 6 * 64 + 6 * 5 * (share + entry) + 6 * 6 * (33 + entry)
    named = 6 * (len("keys") + 2 * len("shares"))
    assert bytes_of["secure_aggregation", "up"] == up + named
    assert bytes_of["secure_aggregation", "down"] > 6 * 6 * (64 + entry) + 6 * 5 * (share + entry)
    numbers = 2 + sum(int(np.prod(shape)) for shape in SHAPES.values())
    width = secure_plan(1).quantisation(6).modulus_bytes
    assert numbers * width * 6 <= bytes_of["adapter", "up"] <= numbers * width * 6 + 6 * 160
    assert bytes_of["metrics", "up"] == 0


def test_a_hostile_reply_harms_its_sender_alone(tmp_path: Path) -> None:
    class Lying(SecureDevice):
        def participant(self, shop_id):
            found = super().participant(shop_id)
            return Short(found.settings, shop_id, found.folder, 7) if shop_id == "s2" else found

    class Short(type(SecureDevice(SHOPS, tmp_path).participant("s0"))):
        """Sends each neighbour a byte less."""

        def shares(self, roster):
            return {place: each[:-1] for place, each in super().shares(roster).items()}

    device = Lying(SHOPS, tmp_path)
    result = play(secure_plan(1), device)
    assert [(each.shop_id, each.kind) for each in result.failures] == [("s2", "refused")]
    assert result.failures[0].reason.startswith("stage shares: its table of secure aggregation")
    assert furthest(result.state.aggregate, mean_of(device, 1, [each for each in SHOPS if each != "s2"])) <= 1e-5


def test_a_shop_whose_masks_are_not_its_own_spoils_the_sum_and_is_not_believed(tmp_path: Path) -> None:
    class Lying(SecureDevice):
        def participant(self, shop_id):
            found = super().participant(shop_id)
            return Noisy(found.settings, shop_id, found.folder, 7) if shop_id == "s2" else found

    class Noisy(type(SecureDevice(SHOPS, tmp_path).participant("s0"))):
        def masked(self, inbox, server_round, numbers, quantisation):
            return super().masked(inbox, server_round, numbers, quantisation) + np.uint64(1 << 39)

    result = play(secure_plan(1), Lying(SHOPS, tmp_path))
    assert "the sum of the updates cannot be used: no updates of the round's shops" in result.skipped_rounds[0].reason
    assert result.state.aggregate is None


def test_what_does_not_go_with_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 of 2 shops take part in server round 1: secure_aggregation.min_shops=3"):
        play(secure_plan(1, settings=SecureAggregationSettings(enabled=True)), SecureDevice(["a", "b"], tmp_path))
    plan: FederationPlan = replace(secure_plan(1), limits=ReplyLimits(max_examples=2**53))
    with pytest.raises(ConfigError, match=r"secure_aggregation.bits=28: a sum over 6 shops"):
        play(plan, SecureDevice(SHOPS, tmp_path))
    assert MOST < 2**53 and B in SHAPES


def test_a_run_that_goes_on_ends_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    kept, whole = [], SecureDevice(SHOPS, tmp_path / "whole")
    expected = play(secure_plan(3), whole, on_checkpoint=kept.append)
    stopped = SecureDevice(SHOPS, tmp_path / "stopped")
    play(secure_plan(2), stopped)
    resumed = play(secure_plan(3), stopped, resume=kept[1])
    assert furthest(resumed.state.aggregate, expected.state.aggregate) == 0.0


def test_a_stage_that_is_played_again_changes_nothing(tmp_path: Path) -> None:
    """As after a host's death: its shops answer a second time, and only their first answer counts."""

    class Twice(HostGrid):
        def send_and_receive(self, messages, *, timeout=None):
            sent = list(messages)
            first = list(super().send_and_receive(sent, timeout=timeout))
            super().send_and_receive(sent, timeout=timeout)
            return first

    settings = replace(SECURE, seeded_keys=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecc_fed.runs.federation.HostGrid", Twice)
        device = SecureDevice(SHOPS, tmp_path, settings)
        result = play(secure_plan(1, settings=settings), device)
    assert not result.failures and not result.skipped_rounds
    assert furthest(result.state.aggregate, mean_of(device, 1, SHOPS)) <= 1e-5
