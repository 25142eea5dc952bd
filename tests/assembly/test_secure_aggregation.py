"""Secure aggregation from a config: one override, what it goes with, and what is refused before anything is trained."""

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_masking, build_plan
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings

ON = ("arm=aggregated", "secure_aggregation=secagg_plus")


def config(*overrides: str) -> RunConfig:
    return to_run_config(compose_run(overrides), ["tests"])


def test_one_override_switches_it_on() -> None:
    plain, secure = config("arm=aggregated"), config(*ON)
    assert build_plan(plain).secure is None and build_masking(plain) is None
    plan, masking = build_plan(secure), build_masking(secure)
    assert plan.secure == masking.settings == SecureAggregationSettings(enabled=True)
    assert (masking.seed, masking.uniform) == (secure.seed, False)
    assert plan.sums_only and plan.masks(1) and plan.masks(4)
    assert plan.quantisation(8).max_weight == plan.limits.max_examples == 400
    assert plan.quantisation(8).modulus_bytes == 5


@pytest.mark.parametrize(
    "strategy", ["fedavg", "ffa_lora", "rolora", "fedsa_lora", "fedsvd", "fedavgm", "fedadagrad", "fedyogi", "fedadam"]
)
def test_what_needs_sums_only_goes_with_it(strategy: str) -> None:
    assert build_plan(config(*ON, f"strategy={strategy}")).secure is not None


def test_it_goes_with_a_privacy_budget_clipping_dual_adapters_and_partial_rounds() -> None:
    build_plan(config(*ON, "privacy=record_dp", "update=clip", "adapter.shared_rank=4", "participation.dropout=0.2"))
    build_plan(config("arm=personalized", ON[1], "adapter=dora"))


@pytest.mark.parametrize(
    "strategy",
    [
        "krum",
        "multi_krum",
        "median",
        "trimmed_mean",
        "norm_bound",
        "clusters",
        "flora",
        "fedex_lora",
        "flexlora",
        "florist",
        "lora_fair",
        "fedrot_lora",
        "hetlora",
    ],
)
def test_methods_that_need_single_updates_are_refused(strategy: str) -> None:
    with pytest.raises(ConfigError, match=r"hides every single update, and strategy \w+ needs every update by itself"):
        build_plan(config(*ON, f"strategy={strategy}"))


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["arm=aggregated", "strategy=scaffold"], "control variates of strategy Scaffold"),
        (["arm=aggregated", "replies.norm_rule=refuse"], "replies.norm_rule=refuse judges updates by their norms"),
        (["arm=local"], "secure_aggregation has no effect in arm local, where no adapter travels"),
        (["arm=none"], "secure_aggregation has no effect in arm none"),
        (["arm=retrieval"], "secure_aggregation has no effect in arm retrieval"),
        (["arm=centralized"], "secure_aggregation has no effect in arm centralized"),
        (["arm=distilled"], "in arm distilled shops' replies travel as they are"),
        (["arm=aggregated", "adapter.ranks=[2,8]"], "adapter.ranks gives shops ranks of their own"),
        (["arm=aggregated", "adapter.lora_alphas=[16,64]"], "adapter.lora_alphas gives shops alphas of their own"),
        (["arm=aggregated", "secure_aggregation.threshold=0.4"], "secure_aggregation.threshold=0.4 is out of range"),
    ],
)
def test_what_has_no_effect_or_would_show_an_update_is_refused(overrides: list[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        build_plan(config("secure_aggregation=secagg_plus", *overrides))


def test_a_transform_that_hides_by_itself_is_refused_beside_it(tmp_path) -> None:
    folder = tmp_path / "update"
    folder.mkdir()
    (folder / "masks.yaml").write_text("masks:\n  _target_: tests.federation.toys.Masks\n  masked: [a]\n")
    composed = compose_run([*ON, "update=masks"], [str(tmp_path)])
    with pytest.raises(ConfigError, match="update: Masks hides single updates, and so does secure_aggregation"):
        build_plan(to_run_config(composed, ["tests"]))


@pytest.mark.parametrize("weights", ["ByExamples", "Uniform"])
def test_shops_weigh_as_the_strategy_does(weights: str) -> None:
    target = f"strategy.weights._target_=ecc_fed.federation.aggregation.weights.{weights}"
    assert build_masking(config(*ON, target)).uniform == (weights == "Uniform")


def test_weights_that_a_shop_cannot_know_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"strategy FedAvg weighs by ByRank\. Take weights by examples or alike"):
        build_plan(config(*ON, "strategy.weights._target_=tests.assembly.test_secure_aggregation.ByRank"))


class ByRank:
    def __call__(self, updates):
        return [float(update.rank) for update in updates]


def test_too_few_shops_are_refused_before_anything_is_trained() -> None:
    plan = build_plan(config(*ON, "participation.share=0.25"))
    with pytest.raises(
        ConfigError, match=r"2 of 8 shops \(participation\.share=0\.25\) take part in server round 1: se"
    ):
        plan.check_shops([f"s{place}" for place in range(8)])
    with pytest.raises(ConfigError, match=r"1 of 1 shops take part in server round 1: secure_aggregation\.min_shops=3"):
        build_plan(config(*ON)).check_shops(["only"])
    build_plan(config(*ON)).check_shops(["a", "b", "c"])
    with pytest.raises(ConfigError, match=r"a sum over 3 shops of up to 400 examples takes \d+ bits, and 32 are there"):
        build_plan(config(*ON, "secure_aggregation.modulus_bits=32")).check_shops(["a", "b", "c"])
