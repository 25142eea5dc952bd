"""The device of a process under Flower's own engines."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly import build, flower_device
from ecc_fed.assembly.flower import ALLOW_VARIABLE
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Shop
from ecc_fed.core.run_directory import read_jsonl
from ecc_fed.core.truth import ShopTruth
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.evolution.settings import Services
from tests.evolution import fakes
from tests.teacher.fakes import ScriptedTeacher

SIMULATOR_SETTINGS = [field.name for field in fields(SimulatorCorpus) if field.name != "seed"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configs that devices are built from, without any model."""
    configs: list[RunConfig] = []

    def note(config: RunConfig, *rest: Any) -> Any:
        configs.append(config)

    monkeypatch.setattr(flower_device, "build_devices", note)
    return configs


def run_config(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    overrides = "corpus.num_shops=2 corpus.pairs_per_shop=24 evolution.server_rounds=7 arm=local"
    return {"overrides": overrides, "run-dir": str(tmp_path), **changes}


def test_the_servers_arm_and_rounds_win_over_the_overrides(tmp_path: Path, seen: list[RunConfig]) -> None:
    changes = {"arm": "personalized", "server-rounds": 3, "personal-rounds": 1}
    flower_device.device_from_run_config(run_config(tmp_path, **changes), {"partition-id": 0})
    config = seen[0]
    assert (config.arm["name"], config.arm["personal_rounds"], config.evolution.server_rounds) == ("personalized", 1, 3)
    assert config.corpus["num_shops"] == 2


def test_the_servers_arm_says_how_shops_answer(tmp_path: Path, seen: list[RunConfig]) -> None:
    flower_device.device_from_run_config(run_config(tmp_path, arm="retrieval"), {"partition-id": 0})
    (config,) = seen
    assert (config.arm["name"], config.arm["trains"]) == ("retrieval", False)
    assert config.answering["_target_"].endswith(".NearestExample")


def test_without_them_the_overrides_hold(tmp_path: Path, seen: list[RunConfig]) -> None:
    flower_device.device_from_run_config(run_config(tmp_path), {"shop-id": "shop_0000"})
    assert (seen[0].arm["name"], seen[0].evolution.server_rounds) == ("local", 7)


def test_an_arm_that_is_none_is_refused(tmp_path: Path, seen: list[RunConfig]) -> None:
    with pytest.raises(ConfigError, match="arm=cloudy"):
        flower_device.device_from_run_config(run_config(tmp_path, arm="cloudy"), {"partition-id": 0})


def test_a_node_may_spend_its_shops_part_of_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def services(config: RunConfig, budget_share: float) -> Services:
        shares.append(budget_share)
        return fakes.services()

    monkeypatch.setattr(build, "build_services", services)
    for node in ({"shop-id": "shop_0001"}, {"partition-id": 0}):
        flower_device.device_from_run_config(run_config(tmp_path), node)
    assert shares == [0.5, 0.5]


def test_nodes_of_one_process_ask_one_teacher_and_another_seed_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[RunConfig] = []

    def teacher(config: RunConfig) -> ScriptedTeacher:
        built.append(config)
        return ScriptedTeacher()

    monkeypatch.setattr(build, "_RESIDENT", {})
    monkeypatch.setattr(build, "build_teacher", teacher)
    monkeypatch.setattr(build, "build_end_model", lambda config: fakes.CountingModel())
    monkeypatch.setattr(build, "build_judge", lambda config: fakes.PrefixJudge())
    first, second = (
        flower_device.device_from_run_config(run_config(tmp_path), {"partition-id": number}).services
        for number in range(2)
    )
    assert len(built) == 1
    assert first.gateway is not second.gateway, "each with its own ledger and its own part of the budget"
    seeded = run_config(tmp_path)
    flower_device.device_from_run_config(seeded | {"overrides": seeded["overrides"] + " seed=5"}, {"partition-id": 0})
    assert [config.seed for config in built] == [0, 5]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"shop-id": "shop_0007"}, "shop-id=shop_0007 is none of this run's shops: shop_0000, shop_0001"),
        ({"partition-id": 2}, "partition-id=2, but the corpus has 2 shops"),
        ({}, "names no shop"),
    ],
)
def test_a_node_of_no_shop_is_refused(tmp_path: Path, seen: list[Any], node: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        flower_device.device_from_run_config(run_config(tmp_path), node)


class GuardedCorpus:
    """Hands over the shop that is asked for, and has only one that may be."""

    def shop_ids(self) -> tuple[str, ...]:
        return ("ours", "theirs")

    def shop(self, shop_id: str) -> Shop:
        assert shop_id == "ours", "another shop's dialogues were asked for"
        return fakes.shop(shop_id)

    def truth(self, shop_id: str) -> ShopTruth:
        assert shop_id == "ours", "what is true of another shop was asked for"
        return fakes.truth_of([fakes.shop(shop_id)])[shop_id]


@pytest.mark.parametrize("node", [{"shop-id": "ours"}, {"partition-id": 0}, {"partition-id": 0, "num-partitions": 2}])
def test_a_device_never_asks_for_another_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: dict[str, Any]
) -> None:
    monkeypatch.setattr(build, "build_services", lambda config, budget_share: fakes.services())
    monkeypatch.setattr(build, "adapter_writer", lambda config: fakes.write_adapter)
    monkeypatch.setenv(ALLOW_VARIABLE, "tests.assembly")
    overrides = "corpus._target_=tests.assembly.test_flower_device.GuardedCorpus evolution.server_rounds=1 arm=local"
    # Hydra takes a setting that is null for one that is not there, and deletes none such.
    overrides += " corpus.drift_day=1 " + " ".join(f"~corpus.{name}" for name in SIMULATOR_SETTINGS)
    device = flower_device.device_from_run_config({"overrides": overrides, "run-dir": str(tmp_path)}, node)
    assert device.shop_ids == ("ours",)
    device.train("ours", 1, None)
    device.evaluate("ours", 1, None, "final")
    rows = read_jsonl(tmp_path / "shops" / "ours" / "evaluation_final/samples.jsonl")
    assert {row["shop_id"] for row in rows} == {"ours"} and rows[0]["facts"]
    assert sorted(path.name for path in (tmp_path / "shops").iterdir()) == ["ours"]
