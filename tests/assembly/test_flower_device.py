"""The device of a process under Flower's own engines."""

from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly import build
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configs that devices are built from, without any model."""
    configs: list[RunConfig] = []

    def note(config: RunConfig, *rest: Any) -> Any:
        configs.append(config)

    monkeypatch.setattr(build, "build_devices", note)
    return configs


def run_config(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    overrides = "corpus.num_shops=2 corpus.pairs_per_shop=24 evolution.server_rounds=7 arm=local"
    return {"overrides": overrides, "run-dir": str(tmp_path), **changes}


def test_the_servers_arm_and_rounds_win_over_the_overrides(tmp_path: Path, seen: list[RunConfig]) -> None:
    changes = {"arm": "personalized", "server-rounds": 3, "personal-rounds": 1}
    build.device_from_run_config(run_config(tmp_path, **changes), None)
    config = seen[0]
    assert (config.arm.name, config.arm.personal_rounds, config.evolution.server_rounds) == ("personalized", 1, 3)
    assert config.corpus["num_shops"] == 2


def test_without_them_the_overrides_hold(tmp_path: Path, seen: list[RunConfig]) -> None:
    build.device_from_run_config(run_config(tmp_path), ("shop_0000",))
    assert (seen[0].arm.name, seen[0].evolution.server_rounds) == ("local", 7)


def test_an_arm_that_is_none_is_refused(tmp_path: Path, seen: list[RunConfig]) -> None:
    with pytest.raises(ConfigError, match="arm=cloudy"):
        build.device_from_run_config(run_config(tmp_path, arm="cloudy"), None)


def test_a_process_may_spend_its_shops_part_of_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(build, "build_services", lambda config, budget_share: shares.append(budget_share))
    for shop_ids in (("shop_0001",), None):
        build.device_from_run_config(run_config(tmp_path), shop_ids)
    assert shares == [0.5, 1.0]
