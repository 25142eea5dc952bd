"""A host is sent its own shops, and nothing of any other."""

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.pool import POOL, PooledDevices
from ecc_fed.hosts.actor import ActorHost
from ecc_fed.hosts.ray_hosts import RayHosts
from ecc_fed.runs.hosting import HostDevices
from ecc_fed.runs.reading import read_corpus


@pytest.fixture
def devices() -> HostDevices:
    config = to_run_config(compose_run(["corpus.num_shops=5", "corpus.pairs_per_shop=8"]))
    shops, truth, _ = read_corpus(config)
    return HostDevices(config, shops, truth, RunDirectory(Path("none")), "id", tuple(shop.shop_id for shop in shops))


def test_hosts_get_their_own_shops_alone(devices: HostDevices, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, tuple[str, ...]]] = []
    monkeypatch.setattr(ActorHost, "prepare", lambda host: None)
    monkeypatch.setattr(ActorHost, "open", lambda host, factory, shop_ids, *_: sent.append((factory, shop_ids)))
    hosts = RayHosts.__new__(RayHosts)
    hosts._hosts = [ActorHost(f"Host {number}", 1, 0.0) for number in range(2)]
    shop_ids = [shop.shop_id for shop in devices.shops]
    hosts.open(shop_ids, devices)
    assert [mine for _, mine in sent] == [tuple(shop_ids[0::2]), tuple(shop_ids[1::2])]
    for factory, mine in sent:
        assert tuple(shop.shop_id for shop in factory.shops) == tuple(factory.truth) == mine
        assert (factory.shop_ids, factory.run_id, factory.config) == (tuple(shop_ids), "id", devices.config)
        others = [pair for shop in devices.shops if shop.shop_id not in mine for pair in shop.history]
        assert others and not any(pair.pair_id.encode() in pickle.dumps(factory) for pair in others)


def test_a_factory_of_all_shops_builds_what_was_asked_for(devices: HostDevices) -> None:
    built: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecc_fed.runs.hosting.build_devices", lambda *given: built.append(given))
        patch.setattr("ecc_fed.runs.hosting.join", lambda directory: None)
        devices(("shop_0001", "shop_0003"))
    ((config, shops, truth, directory, shop_ids, run_id),) = built
    assert [shop.shop_id for shop in shops] == list(truth) == ["shop_0001", "shop_0003"]
    assert (config, directory, run_id) == (devices.config, devices.directory, "id")
    assert (len(shop_ids), shop_ids) == (5, devices.shop_ids)


@pytest.mark.parametrize(("arm", "pooled"), [("local", False), ("centralized", True)])
def test_the_arm_tells_whether_there_is_a_pool_whatever_a_shop_is_called(arm: str, pooled: bool) -> None:
    config = to_run_config(compose_run([f"arm={arm}", "corpus.num_shops=2", "corpus.pairs_per_shop=8"]))
    shops, truth, _ = read_corpus(config)
    named = [replace(shops[0], shop_id=POOL), shops[1]]
    truths = {POOL: truth[shops[0].shop_id], shops[1].shop_id: truth[shops[1].shop_id]}
    factory = HostDevices(config, named, truths, RunDirectory(Path("none")), "id", (POOL, shops[1].shop_id))
    assert [shop.shop_id for shop in factory.only((POOL,)).shops] == [POOL, *([shops[1].shop_id] if pooled else [])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecc_fed.runs.hosting.build_devices", lambda *given: SimpleNamespace(base_loads=0))
        patch.setattr("ecc_fed.runs.hosting.join", lambda directory: None)
        assert isinstance(factory((POOL,)), PooledDevices) == pooled
