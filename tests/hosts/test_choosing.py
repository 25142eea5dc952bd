"""Where a run's hosts are. No Ray is started here."""

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ecc_fed.hosts import choosing
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.choosing import run_hosts
from ecc_fed.hosts.in_process import in_process_hosts
from ecc_fed.hosts.settings import HostSettings

KEPT = BatchSize(2, "only 2 shops fit")


class Places:
    """Notes what is started, ended and opened, and where."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hosts(self, place: str) -> Any:
        @contextmanager
        def started(*arguments: object) -> Iterator[Any]:
            self.told.append(f"{place} starts")
            opened = SimpleNamespace(open=lambda *_: self.told.append(place))
            yield opened
            self.told.append(f"{place} ends")

        return started


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    places = Places()
    monkeypatch.setattr(choosing, "in_process_hosts", places.hosts("here"))
    monkeypatch.setattr(choosing, "ray_hosts", places.hosts("Ray"))
    monkeypatch.setattr(choosing, "_sees_gpu", lambda: False)
    monkeypatch.setattr(choosing, "usable_cpus", lambda: 4)
    monkeypatch.setitem(sys.modules, "ray", None)
    return places


def opened(settings: HostSettings, shops: int = 3, kept: int = 0, at_least: int = 1) -> None:
    with run_hosts(settings, ("json",), at_least) as hosts:
        hosts.open([str(number) for number in range(shops)], None, settings, [KEPT] * kept)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "run", "place"),
    [
        (HostSettings(hosts=1), {}, "here"),
        (HostSettings(threads_per_host=3), {}, "here"),  # four cores have room for one
        (HostSettings(threads_per_host=8), {}, "here"),
        (HostSettings(), {"shops": 1}, "here"),
        (HostSettings(), {"kept": 1}, "here"),  # it started on one
        (HostSettings(hosts=1), {"kept": 2}, "here"),  # and refuses it there
        (HostSettings(), {}, "Ray"),
        (HostSettings(threads_per_host=4), {"kept": 2, "at_least": 2}, "Ray"),
        (HostSettings(hosts=2), {"shops": 1}, "Ray"),
        (HostSettings(hosts=1, host_memory_gib=2.0), {}, "Ray"),
        (HostSettings(hosts=1, gpus_per_host=0.5), {}, "Ray"),
        (HostSettings(hosts=1, ray_address="auto"), {}, "Ray"),
    ],
)
def test_one_host_is_here_unless_it_needs_a_process_of_its_own(
    settings: HostSettings, run: dict[str, int], place: str, places: Places
) -> None:
    opened(settings, **run)
    assert places.told == [f"{place} starts", place, f"{place} ends"]


def test_a_host_that_may_see_no_gpu_is_not_where_one_is_seen(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_sees_gpu", lambda: True)
    opened(HostSettings(hosts=1))
    assert places.told == ["Ray starts", "Ray", "Ray ends"]


def test_a_ray_that_is_connected_is_used(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))  # type: ignore[arg-type]
    opened(HostSettings(hosts=1))
    assert places.told == ["Ray starts", "Ray", "Ray ends"]


def test_outside_the_main_thread_nothing_would_watch_over_it(places: Places) -> None:
    thread = threading.Thread(target=opened, args=(HostSettings(hosts=1),))
    thread.start()
    thread.join()
    assert places.told == ["Ray starts", "Ray", "Ray ends"]


def test_each_is_started_once_and_ray_stays_once_it_is_needed(places: Places) -> None:
    settings = HostSettings()
    with run_hosts(settings) as hosts:
        for shops in (1, 1, 3, 3, 1):
            hosts.open(["a", "b", "c"][:shops], None, settings)  # type: ignore[arg-type]
    assert places.told == ["here starts", "here", "here", "Ray starts", "Ray", "Ray", "Ray", "Ray ends", "here ends"]


def test_a_host_in_this_process_leaves_it_as_it_was() -> None:
    limits, threads = resource.getrlimit(resource.RLIMIT_DATA), torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt), in_process_hosts():
        resource.setrlimit(resource.RLIMIT_DATA, (2**50, limits[1]))
        torch.set_num_threads(threads + 1)
        raise KeyboardInterrupt
    assert resource.getrlimit(resource.RLIMIT_DATA) == limits
    assert torch.get_num_threads() == threads
