"""Hosts of a run that goes on: as many as it started on, each with the batch size it had. No Ray here."""

from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.hosts.batch_size import BatchSize, choose_batch_size
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.meters import HostMeter
from ecc_fed.hosts.ray_hosts import RayHosts
from tests.evolution.fakes import services, settings, shop
from tests.evolution.test_device import device
from tests.federation.fakes import build_fake

KEPT = BatchSize(2, "only 2 shops fit")


class Noting:
    """A host that notes what it is opened with."""

    def __init__(self) -> None:
        self.opened: list[tuple[Any, ...]] = []

    def prepare(self) -> None:
        pass

    def open(self, device_factory: Any, shop_ids: tuple[str, ...], settings: Any, kept: BatchSize | None) -> None:
        self.opened.append((shop_ids, kept))


def ray_hosts(count: int) -> RayHosts:
    hosts = object.__new__(RayHosts)
    hosts._hosts = [Noting() for _ in range(count)]  # type: ignore[misc]
    return hosts


def test_shops_are_on_the_hosts_that_they_were_on_and_each_host_has_its_size() -> None:
    hosts = ray_hosts(3)
    hosts.open(list("abcde"), build_fake, kept=[KEPT, BatchSize(3, "all fit")])
    assert [host.opened for host in hosts._hosts] == [  # type: ignore[attr-defined]
        [(("a", "c", "e"), KEPT)],
        [(("b", "d"), BatchSize(3, "all fit"))],
        [],
    ]
    assert [hosts._host_of[name] for name in "abcde"] == [hosts._hosts[index % 2] for index in range(5)]


def test_a_new_run_keeps_nothing() -> None:
    hosts = ray_hosts(2)
    hosts.open(list("abc"), build_fake)
    assert [host.opened for host in hosts._hosts] == [[(("a", "c"), None)], [(("b",), None)]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("hosts", [InProcessHosts(), ray_hosts(1)])
def test_fewer_hosts_than_at_the_start_are_refused(hosts: Any) -> None:
    with pytest.raises(ConfigError, match="The run started on 2 hosts and cannot go on with 1"):
        hosts.open(["a", "b"], build_fake, kept=[KEPT, KEPT])


def test_a_kept_size_is_not_measured_anew_and_a_setting_wins(tmp_path: Any) -> None:
    shops = device(tmp_path, [shop(name) for name in "abc"], services(), settings())
    meter = HostMeter(None, 1)
    chosen = choose_batch_size(shops, None, meter, KEPT)
    assert chosen == BatchSize(2, "as at the start of the run: only 2 shops fit")
    assert choose_batch_size(shops, None, meter, chosen) == chosen
    assert choose_batch_size(shops, 3, meter, KEPT) == BatchSize(3, "runtime.shops_per_batch=3")
