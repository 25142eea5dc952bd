"""What a shop has finished in its run is answered from what lies on disk, and nothing of another run ever is."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.aggregation import LORA_B, AdapterUpdate, Exchange
from ecc_fed.core.errors import DamagedState
from ecc_fed.core.records import AdapterState, Shop
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.evaluation_files import load_evaluation
from ecc_fed.evolution.owner import owner_of
from ecc_fed.evolution.settings import Services
from ecc_fed.evolution.uplink import Uplink
from ecc_fed.federation.transforms.clipping import ClipUpdate
from tests.evolution.fakes import NAMES, CountingModel, EchoGateway, services, settings, shop, truth_of, write_adapter

SENT: AdapterState = {NAMES[0]: np.ones((2, 3), np.float32), NAMES[1]: np.full((3, 2), 10, np.float32)}


def device(root: Path, run_id: str = "ab12", shops: Sequence[Shop] = (), given: Services | None = None) -> ShopDevices:
    shops = shops or [shop()]
    uplink = Uplink(lambda rank: 2.0, (ClipUpdate(1.0),))
    loop, directory = settings(server_rounds=3), RunDirectory(root)
    return ShopDevices(
        shops, truth_of(shops), given or services(), loop, directory, write_adapter, 0, uplink=uplink, run_id=run_id
    )


def work(given: Services) -> tuple[int, int]:
    """Fine-tunes and questions to the cloud so far."""
    assert isinstance(given.end_model, CountingModel) and isinstance(given.gateway, EchoGateway)
    return len(given.end_model.jobs), len(given.gateway.requests)


def same(a: AdapterUpdate, b: AdapterUpdate) -> bool:
    adapters = [update.adapter for update in (a, b)]
    equal = adapters[0].keys() == adapters[1].keys()
    equal = equal and all(np.array_equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
    return equal and replace(a, adapter={}) == replace(b, adapter={})


def files(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("incoming", [None, SENT, {NAMES[1]: SENT[NAMES[1]]}])
@pytest.mark.parametrize("exchange", [Exchange(), Exchange(up=LORA_B)])
def test_a_finished_round_is_answered_from_its_state(
    tmp_path: Path, incoming: AdapterState | None, exchange: Exchange
) -> None:
    for server_round in (1, 2, 3):
        first = device(tmp_path).train("shop_0", server_round, incoming, exchange)
        before, given = files(tmp_path), services()
        again = device(tmp_path, given=given).train("shop_0", server_round, incoming, exchange)
        assert same(first, again) and first.num_examples == 4
        assert work(given) == (0, 0)
        assert files(tmp_path) == before
    assert not same(first, device(tmp_path / "other").train("shop_0", 1, incoming, exchange))


def test_an_evaluation_is_done_once_for_each_phase_and_round(tmp_path: Path) -> None:
    device(tmp_path).train("shop_0", 1, None)
    reports = {phase: device(tmp_path).evaluate("shop_0", 1, None, phase) for phase in ("base", "final")}  # type: ignore[arg-type]
    before, given = files(tmp_path), services()
    for phase, report in reports.items():
        assert device(tmp_path, given=given).evaluate("shop_0", 1, None, phase) == report  # type: ignore[arg-type]
    assert work(given) == (0, 0) and files(tmp_path) == before
    device(tmp_path, given=given).evaluate("shop_0", 2, None, "final")
    assert work(given) == (0, 3)
    kept = load_evaluation(tmp_path / "shops" / "shop_0", "final", owner_of(shop(), "ab12"))
    assert kept is not None and (kept.server_round, len(kept.rows), len(kept.egress)) == (2, 3 + 6, 3)


def test_nothing_of_another_run_is_taken(tmp_path: Path) -> None:
    device(tmp_path).train("shop_0", 1, None)
    device(tmp_path).evaluate("shop_0", 0, None, "base")
    foreign = device(tmp_path, "cd34")
    for server_round in (1, 2):
        if server_round == 1:
            with pytest.raises(DamagedState, match="it is of run ab12, not of cd34"):
                foreign.train("shop_0", server_round, None)
        else:
            foreign.read_ahead({"shop_0": 2})
            with pytest.raises(DamagedState, match="it is of run ab12, not of cd34"):
                foreign.train("shop_0", server_round, None)
    with pytest.raises(DamagedState, match=r"evaluation_base \(it is of run ab12, not of cd34\)"):
        foreign.evaluate("shop_0", 0, None, "base")


def test_another_shops_folder_is_found_and_costs_that_shop_alone(tmp_path: Path) -> None:
    shops = [shop("a"), shop("b")]
    both = device(tmp_path, shops=shops)
    for shop_id in "ab":
        both.train(shop_id, 1, None)
        both.evaluate(shop_id, 1, None, "base")
    for name in ("round_0001", "evaluation_base"):
        shutil.rmtree(tmp_path / "shops" / "b" / name)
        shutil.copytree(tmp_path / "shops" / "a" / name, tmp_path / "shops" / "b" / name)
    both.train("a", 2, None)
    with pytest.raises(DamagedState, match="it is of shop a, not of b"):
        both.train("b", 2, None)
    with pytest.raises(DamagedState, match="it is of shop a, not of b"):
        both.evaluate("b", 1, None, "base")


def test_a_corpus_that_has_changed_is_found(tmp_path: Path) -> None:
    device(tmp_path).train("shop_0", 1, None)
    changed = shop()
    changed = replace(changed, stream=(replace(changed.stream[0], reply="另一个"), *changed.stream[1:]))
    with pytest.raises(DamagedState, match="had other dialogues when it was written: the corpus"):
        device(tmp_path, shops=[changed]).train("shop_0", 2, None)


def test_a_round_that_was_missed_is_answered_from_the_round_before_it(tmp_path: Path) -> None:
    device(tmp_path).train("shop_0", 1, SENT)
    first = device(tmp_path).train("shop_0", 3, None)
    assert same(first, device(tmp_path).train("shop_0", 3, None))


def test_old_rounds_that_a_kill_left_are_dropped(tmp_path: Path) -> None:
    device(tmp_path).train("shop_0", 1, None)
    folder = tmp_path / "shops" / "shop_0"
    shutil.copytree(folder / "round_0001", tmp_path / "kept")
    for server_round in (2, 3):
        device(tmp_path).train("shop_0", server_round, None)
    (tmp_path / "kept").rename(folder / "round_0001")
    device(tmp_path).train("shop_0", 3, None)
    assert sorted(path.name for path in folder.iterdir()) == ["round_0002", "round_0003"]
