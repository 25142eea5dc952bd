"""A run under Flower's own engines: the same overrides for the server and for every device."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.flower import config_from_run_config, flower_overrides
from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.limits import ReplyLimits, ReplySettings

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))


def test_conf_is_the_one_source_of_defaults() -> None:
    shipped = PROJECT["tool"]["flwr"]["app"]["config"]
    assert flower_overrides(shipped) == []
    assert config_from_run_config(shipped) == config_from_run_config({}) == to_run_config(compose_run([]))


def test_settings_of_their_own_go_before_the_overrides() -> None:
    run_config = {"overrides": "seed=3  arm=local", "arm": "aggregated", "server-rounds": 2, "personal-rounds": 0}
    assert flower_overrides(run_config) == ["seed=3", "arm=local", "arm=aggregated", "evolution.server_rounds=2"]


def test_strategy_and_arm_hold_for_the_server_as_for_the_devices() -> None:
    uniform = "strategy.weights._target_=ecc_fed.federation.aggregation.weights.Uniform"
    run_config = {"overrides": f"arm=personalized arm.personal_rounds=1 {uniform} update=clip"}
    plan = build_plan(config_from_run_config(run_config))
    ours = build_plan(to_run_config(compose_run(run_config["overrides"].split())))
    assert replace(plan, limits=ReplyLimits()) == replace(ours, limits=ReplyLimits())
    for limits in (plan.limits, ours.limits):
        assert (limits.settings, limits.max_examples, limits.shapes) == (ReplySettings(), 1 * 50 * 8, None)
        assert [limits.scale_at(rank) for rank in (8, 2)] == [4.0, 16.0]
    assert plan.personal_rounds == 1
    assert type(plan.aggregator.weights).__name__ == "Uniform"  # type: ignore[attr-defined]
    assert len(plan.transforms) == 1


@pytest.mark.parametrize(
    ("run_config", "reason"),
    [
        ({"arm": "centralised"}, "arm=centralised"),
        ({"server-rounds": -2}, "evolution.server_rounds=-2 is out of range"),
        ({"server-rounds": "many"}, "many"),
        ({"arm": "local", "personal-rounds": 1}, "There is no setting arm.personal_rounds"),
    ],
)
def test_a_run_config_out_of_range_says_so(run_config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config_from_run_config(run_config)
