"""Arm, strategy and update transforms from a config, checked to go together before anything is loaded."""

from pathlib import Path

import pytest

from ecc_fed.assembly.build import build_uplink
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.seeding import adapter_seed
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.server_optimizers import FedAdam, FedYogi
from ecc_fed.federation.aggregation.weights import ByExamples, Uniform
from ecc_fed.federation.arms import Aggregated, Frozen, Local, Personalized
from ecc_fed.federation.participation import Participation, ParticipationSettings
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.transforms.clipping import ClipUpdate
from tests.federation.toys import EverySecondRound, ZeroPadding


def plan_of(*overrides: str, folders: tuple[str, ...] = ()) -> FederationPlan:
    return build_plan(to_run_config(compose_run(overrides, folders), ["tests"]))


@pytest.mark.parametrize(
    ("overrides", "arm"),
    [
        ([], Local(4)),
        (["arm=none"], Frozen(4)),
        (["arm=local", "evolution.server_rounds=7"], Local(7)),
        (["arm=aggregated"], Aggregated(4)),
        (["arm=personalized"], Personalized(4, 2)),
        (["arm=personalized", "arm.personal_rounds=1"], Personalized(4, 1)),
    ],
)
def test_the_shipped_arms(overrides: list[str], arm: object) -> None:
    plan = plan_of(*overrides)
    assert plan.arm == arm
    assert plan.aggregator == FedAvg(ByExamples())
    assert plan.transforms == ()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("arm.personal_rounds=5", "arm.personal_rounds=5 is out of range: at most evolution.server_rounds=4"),
        ("arm.personal_rounds=-1", "arm.personal_rounds=-1 is out of range: 0 or more rounds"),
        ("arm.personal_round=1", "There is no setting arm.personal_round. Did you mean arm.personal_rounds?"),
        ("+arm.shops=1", "arm.shops: .*Personalized takes no such setting"),
        ("update.clip.clipping_norm=1", "There is no setting update.clip.clipping_norm"),
        ("+update.clip=3", "update.clip=3 is no transform"),
    ],
)
def test_a_wrong_setting_is_one_clear_message(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of("arm=personalized", override)


def test_who_takes_part_is_drawn_from_the_runs_seed_in_every_arm() -> None:
    given = ["participation.share=0.5", "participation.dropout=0.1", "seed=7"]
    for arm in ("local", "aggregated"):
        found = plan_of(f"arm={arm}", *given).participation
        assert found == Participation(ParticipationSettings(0.5, 0.1), seed=7)
    with pytest.raises(ConfigError, match=r"participation.share=0.0 is out of range: above 0, at most 1"):
        plan_of("participation.share=0")


def test_weights_are_chosen_by_class() -> None:
    plan = plan_of("strategy.weights._target_=ecc_fed.federation.aggregation.weights.Uniform")
    assert plan.aggregator == FedAvg(Uniform())


def test_a_strategy_knows_the_adapter_that_shops_start_from_wherever_it_stands() -> None:
    plan = plan_of("strategy=fedadam", "seed=3", "strategy.learning_rate=0.5")
    assert plan.aggregator == FedAdam(mean=FedAvg(), adapter_seed=adapter_seed(3), learning_rate=0.5)
    inner = ["+strategy.mean.mean._target_=ecc_fed.federation.aggregation.fedavg.FedAvg", "~strategy.mean.weights"]
    target = "strategy.mean._target_=ecc_fed.federation.aggregation.server_optimizers.FedYogi"
    plan = plan_of("strategy=norm_bound", "seed=4", target, *inner)
    assert plan.aggregator.mean == FedYogi(mean=FedAvg(), adapter_seed=adapter_seed(4))


@pytest.mark.parametrize("mean", ["flexlora.FlexLora", "clusters.Clusters"])
def test_a_servers_step_on_factors_that_mean_nothing_from_round_to_round_is_refused_at_once(mean: str) -> None:
    target = f"strategy.mean._target_=ecc_fed.federation.aggregation.{mean}"
    name = mean.split(".")[1]
    with pytest.raises(ConfigError, match=rf"strategy FedAdam .* {name} sends .*Take strategy\.mean=fedavg"):
        plan_of("arm=aggregated", "strategy=fedadam", target)


def test_transforms_are_chosen_by_name_and_work_in_that_order(tmp_path: Path) -> None:
    (tmp_path / "update").mkdir()
    for name in ("anon", "zap"):
        text = f"{name}:\n  _target_: tests.federation.toys.Masks\n  masked: [{name}]\n  sums_only: false\n"
        (tmp_path / "update" / f"{name}.yaml").write_text(text, encoding="utf-8")
    assert plan_of("update=clip", "update.clip.clipping_norm=0.5").transforms == (ClipUpdate(0.5),)
    for order in (["zap", "clip", "anon"], ["anon", "zap"]):
        plan = plan_of(f"update=[{','.join(order)}]", folders=(str(tmp_path),))
        assert [getattr(one, "masked", ["clip"])[0] for one in plan.transforms] == order


def test_an_arm_and_a_strategy_of_ones_own_are_a_class_and_a_yaml_file(tmp_path: Path) -> None:
    for group, target in (("arm", "EverySecondRound"), ("strategy", "ZeroPadding")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine.yaml").write_text(f"_target_: tests.federation.toys.{target}\n", encoding="utf-8")
    plan = plan_of("arm=mine", "strategy=mine", "evolution.server_rounds=6", folders=(str(tmp_path),))
    assert plan.arm == EverySecondRound(6)
    assert isinstance(plan.aggregator, ZeroPadding)


def test_what_does_not_go_together_is_refused_when_it_is_composed(tmp_path: Path) -> None:
    (tmp_path / "update").mkdir()
    text = "mask:\n  _target_: tests.federation.toys.Masks\n  masked: [a]\n"
    (tmp_path / "update" / "mask.yaml").write_text(text, encoding="utf-8")
    robust = ["strategy._target_=tests.federation.toys.ZeroPadding", "~strategy.weights"]
    with pytest.raises(ConfigError, match="Masks shows the server sums of updates only, and strategy ZeroPadding"):
        plan_of(*robust, "update=mask", folders=(str(tmp_path),))
    plan_of("update=mask", folders=(str(tmp_path),))  # FedAvg needs sums only


@pytest.mark.parametrize(("adapter", "scale"), [("lora", 4.0), ("rslora", 4.0), ("p_tuning_v2", 1.0)])
def test_devices_send_updates_in_their_adapters_scale_through_the_same_transforms(adapter: str, scale: float) -> None:
    uplink = build_uplink(to_run_config(compose_run([f"adapter={adapter}", "update=clip"])), ["a"])
    assert uplink.scale_at(8) == pytest.approx(scale)
    assert uplink.transforms == (ClipUpdate(1.0),)
    assert AdapterUpdate("a", 1, {}, 0).rank is None


STRATEGIES = sorted(path.stem for path in Path("conf/strategy").glob("*.yaml"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_shipped_strategy_knows_the_runs_scale_where_it_needs_it(strategy: str) -> None:
    aggregator = plan_of("arm=aggregated", f"strategy={strategy}", "adapter=rslora").aggregator
    scale_at = getattr(getattr(aggregator, "mean", aggregator), "scale_at", None)
    assert scale_at is None or scale_at(4) == pytest.approx(11.3137 / 2)
    alike = strategy in (
        "krum",
        "multi_krum",
        "norm_bound",
        "median",
        "trimmed_mean",
        "scaffold",  # as in its paper
        "shop_dp",
    )  # no shop tells how much it counts
    weights = getattr(getattr(aggregator, "mean", aggregator), "weights", Uniform())
    assert weights == (Uniform() if alike else ByExamples())


@pytest.mark.parametrize("adapter", ["dora", "prefix_tuning"])
def test_a_strategy_on_low_rank_pairs_refuses_what_is_more_than_these(adapter: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"strategy FlexLora works on low-rank pairs .* adapter\.method={adapter} is"
    ):
        plan_of("arm=aggregated", "strategy=flexlora", f"adapter={adapter}")
    plan_of("arm=local", "strategy=flexlora", f"adapter={adapter}")
    plan_of("arm=aggregated", "strategy=fedavg", f"adapter={adapter}")


def test_ranks_of_their_own_need_a_strategy_that_mixes_them() -> None:
    ranks = "adapter.ranks=[2,3]"
    with pytest.raises(
        ConfigError, match=r"adapter\.ranks .* strategy FedAvg needs one rank for all\. Take .*flexlora"
    ):
        plan_of("arm=aggregated", ranks)
    plan_of("arm=local", ranks)
    for strategy in ("flexlora", "florist", "flora", "hetlora"):
        assert plan_of("arm=aggregated", f"strategy={strategy}", ranks).aggregator.mixed_ranks


def test_late_shops_must_come_and_a_trace_is_read(tmp_path: Path) -> None:
    late = ["participation.late_share=0.5", "evolution.server_rounds=3"]
    assert plan_of(*late, "participation.late_round=3").participation.settings.late_round == 3
    with pytest.raises(ConfigError, match=r"late_round=4 comes after the run's last round, evolution.server_rounds=3"):
        plan_of(*late, "participation.late_round=4")
    (tmp_path / "t.csv").write_text("shop,rounds\na,2\n", encoding="utf-8")
    trace = plan_of(f"participation.trace={tmp_path / 't.csv'}").participation.trace
    assert [each in trace["a"] for each in (1, 2, 3)] == [False, True, False]
