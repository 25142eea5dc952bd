"""What the actor that takes the place of a dead one is told. No Ray here: a stub notes what is sent."""

from typing import Any

import pytest

from ecc_fed.core.records import AdapterState
from ecc_fed.federation.results import FederationError
from ecc_fed.hosts.actor import ActorHost
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import HostSettings


class Sent:
    """An actor: `sent.METHOD.remote(...)` is noted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._name = ""

    def __getattr__(self, name: str) -> "Sent":
        self._name = name
        return self

    def options(self, **given: Any) -> "Sent":
        return self

    def remote(self, *arguments: Any) -> str:
        self.calls.append((self._name, arguments))
        return self._name


class Stubbed(ActorHost):
    """Its actors report that they run `limit` shops side by side."""

    def __init__(self, settings: HostSettings, limit: int, room: bool = True) -> None:
        super().__init__("Host 0", 1, 0.0)
        self.actors: list[Sent] = []
        self._limit, self._room = limit, room
        self._open_arguments = (lambda shop_ids: AdapterState, ("a", "b", "c"), settings)
        self.prepare()
        self._send_open(settings)

    def prepare(self) -> None:
        if self._actor is None:
            self.actors.append(Sent())
            self._actor = self.actors[-1]

    def close(self) -> None:
        self._actor = None

    def _wait_for_room(self) -> None:
        if not self._room:
            raise FederationError("no room")

    def _known_report(self) -> None:
        opened = next(call for call in self.actors[-1].calls if call[0] == "open")
        size = opened[1][2].shops_per_batch or self._limit
        self._last_report = HostReport(1, 10, 0, size, "measured")

    def batch_sizes(self) -> list[int | None]:
        """What each actor was told to run side by side."""
        return [actor.calls[0][1][2].shops_per_batch for actor in self.actors]


def test_a_new_actor_runs_as_many_side_by_side_as_the_first_had_measured():
    host = Stubbed(HostSettings(), 8)
    host.died("its process ended")
    assert host.start([], frozenset("ab"), 1) == "run"
    host.died("its process ended")
    assert host.start([], frozenset("b"), 2) == "run"
    assert host.batch_sizes() == [None, 8, 8]
    report = host._last_report.after(host._lost)
    assert [(r.server_round, r.shops, r.reason) for r in report.restarts] == [
        (1, 2, "its process ended"),
        (2, 1, "its process ended"),
    ]
    assert (report.base_loads, report.shops_per_batch) == (2, 8)


def test_a_second_death_of_the_same_work_halves_the_batch_and_says_so():
    host = Stubbed(HostSettings(), 8)
    for _ in range(3):
        host.died("its process ended")
        host.start([], frozenset("ab"), 1)
    assert host.batch_sizes() == [None, 8, 4, 2]
    assert [restart.reason for restart in host._lost.restarts] == [
        "its process ended",
        "its process ended again, so from then on 4 shops are side by side",
        "its process ended again, so from then on 2 shops are side by side",
    ]


@pytest.mark.parametrize("restarts", [0, 1])
def test_restarts_come_to_an_end_with_a_reason(restarts):
    host = Stubbed(HostSettings(host_restarts=restarts), 1)
    for _ in range(restarts):
        host.died("its process ended")
        assert host.start([], frozenset("a"), 1) == "run"
    host.died("its process ended")
    assert host.start([], frozenset("a"), 1) is None
    assert host.gone == (
        f"Host 0: its process ended. It takes no more part, as it has been restarted {restarts} times "
        "(runtime.host_restarts)"
    )
    assert len(host.actors) == restarts + 1


def test_a_host_for_which_there_is_no_room_any_more_is_gone():
    host = Stubbed(HostSettings(), 1, room=False)
    host.died("its process ended")
    assert host.start([], frozenset("a"), 1) is None
    assert host.gone == "Host 0 could not be started again: no room"
