"""The apps that Flower loads by name, and the device that a node of its engines is given."""

import json
import pkgutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.supercore.object_ref import validate

from ecc_fed.assembly import flower_device
from ecc_fed.core.errors import BudgetExceeded, ConfigError, UserError
from ecc_fed.core.rows import CloudCalls
from ecc_fed.core.run_claim import read_claim
from ecc_fed.core.run_directory import RunDirectory, read_json
from ecc_fed.core.seeding import derive_rng
from ecc_fed.evolution.evaluation_files import save_evaluation
from ecc_fed.evolution.owner import owner_of
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.federation.flower.server_app import ServerFolder, server_app
from ecc_fed.federation.results import Checkpoint
from ecc_fed.hosts.grid import HostGrid
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.privacy.redaction import NoRedaction
from ecc_fed.runs import flower_apps
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.gateway import Gateway
from ecc_fed.teacher.gateway.settings import GatewaySettings
from tests.evolution import fakes
from tests.federation.fakes import SHAPES, FakeDevice, personalized
from tests.teacher.fakes import ScriptedTeacher

ROOT = Path(__file__).parents[2]
FLOWER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flwr"]["app"]


@pytest.mark.parametrize(("component", "kind"), [("serverapp", ServerApp), ("clientapp", ClientApp)])
def test_flower_finds_the_apps_that_the_project_names(component: str, kind: type) -> None:
    name = FLOWER["components"][component]
    assert validate(name, project_dir=ROOT) == (True, None)
    assert isinstance(pkgutil.resolve_name(name), kind)


def test_the_server_knows_the_adapters_of_its_run_config() -> None:
    limits = flower_apps.plan_of({"arm": "aggregated", "overrides": "adapter.rank=3 finetune.steps=2"}).limits
    assert limits.shapes is not None
    assert {shape[0] for name, shape in limits.shapes.items() if ".lora_A." in name} == {3}
    assert limits.max_examples == 2 * 8


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What devices are built from, without any model."""
    calls: list[Any] = []

    def made(run_config: dict[str, Any], node_config: dict[str, Any], run_id: str) -> FakeDevice:
        calls.append((run_config, node_config))
        return FakeDevice((shop_of(node_config, ("a", "b", "c")),))

    monkeypatch.setattr(flower_apps, "device_from_run_config", made)
    flower_apps._device.cache_clear()
    yield calls
    flower_apps._device.cache_clear()


def context(node_config: dict[str, Any], **run_config: Any) -> Context:
    return Context(1, 2, node_config, RecordDict(), run_config)


def test_a_node_that_names_its_shop_is_given_no_other(built: list[Any]) -> None:
    device, shop_id = flower_apps.device_of(context({"shop-id": "c"}, overrides="seed=3"))
    assert (device.shop_ids, shop_id) == (("c",), "c")
    assert built == [({"overrides": "seed=3"}, {"shop-id": "c"})]


def test_nodes_of_one_process_have_a_device_each_built_once(built: list[Any]) -> None:
    first, shop_id = flower_apps.device_of(context({"partition-id": 1}))
    assert (first.shop_ids, shop_id) == (("b",), "b")
    second, shop_id = flower_apps.device_of(context({"partition-id": 2}))
    assert (second.shop_ids, shop_id) == (("c",), "c")
    assert flower_apps.device_of(context({"partition-id": 1})) == (first, "b")
    assert len(built) == 2, "a node that comes again keeps its device"
    flower_apps.device_of(context({"partition-id": 1}, overrides="seed=3"))
    assert len(built) == 3, "but another run's config is another device"


def test_a_node_without_a_shop_says_why(built: list[Any]) -> None:
    with pytest.raises(ConfigError, match="partition-id=3, but the corpus has 3 shops"):
        flower_apps.device_of(context({"partition-id": 3}))


class Asking(FakeDevice):
    """It asks a cloud."""

    def __init__(self, shop_ids: tuple[str, ...]) -> None:
        super().__init__(shop_ids)
        gateway = Gateway(ScriptedTeacher(), MemoryLedger(), NoRedaction(), GatewaySettings(max_requests=9))
        self.services = SimpleNamespace(gateway=gateway)

    trial_job = side_by_side = read_ahead = FakeDevice.train  # never called


def test_what_another_process_has_spent_on_a_shop_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_apps, "device_from_run_config", lambda *_: Asking(("b",)))
    flower_apps._device.cache_clear()
    run_config = {"run-dir": str(tmp_path)}
    device, _ = flower_apps.device_of(context({"partition-id": 1}, **run_config))
    budget = device.services.gateway.budget  # type: ignore[attr-defined]
    assert budget.spent == Spending()
    folder, owner, spent = RunDirectory(tmp_path).shop("b"), owner_of(fakes.shop("b"), "run"), Spending(4, 40, 0.5)
    save_evaluation(folder, "base", 0, owner, (), (), spent, CloudCalls())  # type: ignore[arg-type]
    again, _ = flower_apps.device_of(context({"partition-id": 1}, **run_config))
    assert again is device and budget.spent == spent
    budget.reserve(Spending(5, 0, 0.0))
    with pytest.raises(BudgetExceeded):
        budget.reserve(Spending(1, 0, 0.0))
    flower_apps._device.cache_clear()


class Stopped(Exception):
    """Somebody has ended the server."""


def serve(root: Path, run_id: int, device: FakeDevice, stop_after: int | None = None, **run_config: Any) -> dict:
    """A server's run over two shops, which outlive it; what it wrote at its end."""

    @contextmanager
    def folder_of(context: Context) -> Iterator[ServerFolder]:
        with flower_apps.folder_of(context) as folder:

            def keep(checkpoint: Checkpoint) -> None:
                folder.keep(checkpoint)
                if checkpoint.state.server_round == stop_after:
                    raise Stopped

            yield ServerFolder(folder.resume, keep, lambda plan, shop_ids, result: None)

    hosts = InProcessHosts()
    hosts.open(["a", "b"], lambda _: device)
    given = {"num-shops": 2, "run-dir": str(root / "run"), "result-path": str(root / "result.json"), **run_config}
    app = server_app(lambda _: personalized(3, 1).expecting(SHAPES), folder_of)
    app(HostGrid(hosts, ["a", "b"]), Context(run_id, 0, {}, RecordDict(), given))
    found = read_json(root / "result.json")
    for record in found["rounds"]:
        record["seconds"] = 0.0
    return found


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_a_server_that_was_ended_goes_on_and_no_other_run_gets_its_folder(tmp_path: Path, stop_after: int) -> None:
    expected = serve(tmp_path / "whole", 7, FakeDevice(("a", "b")))
    device = FakeDevice(("a", "b"))
    with pytest.raises(Stopped):
        serve(tmp_path, 7, device, stop_after)
    with pytest.raises(UserError, match=r'holds a run that did not end.*run-dir="FOLDER".*resume="ID"'):
        serve(tmp_path, 8, device)
    with pytest.raises(ConfigError, match=r"another config: seed was 0 and is 5"):
        serve(tmp_path, 8, device, resume="7", overrides="seed=5")
    with pytest.raises(ConfigError, match=r"resume=9: .* belongs to run 7"):
        serve(tmp_path, 8, device, resume="9")
    assert serve(tmp_path, 8, device, resume="7") == expected


def test_a_node_takes_its_own_runs_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_device, "build_devices", lambda *given: None)
    given = {"run-dir": str(tmp_path / "run"), "overrides": "corpus.num_shops=2 corpus.pairs_per_shop=24"}
    with flower_apps.folder_of(Context(7, 0, {}, RecordDict(), given)):
        flower_device.device_from_run_config(given, {"shop-id": "shop_0000"}, "7")
        with pytest.raises(UserError, match="belongs to run 7, and this is run 8"):
            flower_device.device_from_run_config(given, {"shop-id": "shop_0000"}, "8")
    elsewhere = given | {"run-dir": str(tmp_path / "own")}
    for _ in range(2):
        flower_device.device_from_run_config(elsewhere, {"shop-id": "shop_0001"}, "7")
    claim = read_claim(RunDirectory(tmp_path / "own"))
    assert claim is not None and claim.run_id == "7"


@pytest.mark.parametrize("shop_id", ["shop_a", "shop_b"])
def test_a_node_needs_no_file_but_its_own_shops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop_id: str) -> None:
    built: list[Any] = []
    monkeypatch.setattr(flower_device, "build_devices", lambda *given: built.append(given))
    path = tmp_path / "dialogues.jsonl"
    words = derive_rng(0, shop_id).integers(0, 26**4, (30, 8))
    said = [" ".join(np.base_repr(word, 36) for word in dialogue) for dialogue in words]
    lines = [
        {"shop": shop_id, "turns": [{"role": "customer", "text": f"{x}?"}, {"role": "agent", "text": x}]} for x in said
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    overrides = f"corpus=jsonl corpus.path='{path}' partition=natural corpus.num_shops=1"
    given = {"run-dir": str(tmp_path / "run"), "overrides": overrides}
    flower_device.device_from_run_config(given, {"shop-id": shop_id}, "7")
    with pytest.raises(ConfigError, match=f"shop-id=shop_c is none of this run's shops: {shop_id}"):
        flower_device.device_from_run_config(given, {"shop-id": "shop_c"}, "7")
    ((_, (shop,), truth, _, shop_ids, _),) = built
    assert (shop.shop_id, set(truth), shop_ids) == (shop_id, {shop_id}, (shop_id,))
