"""A host that has replied to all is not done again, whatever it does then. No Ray: its answers are played."""

from __future__ import annotations

from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from ecc_fed.federation.flower.internals import identify_process
from ecc_fed.hosts import ray_hosts
from ecc_fed.hosts.jobs import Finished, Job
from ecc_fed.hosts.ray_hosts import RayHosts


class PlayedHost:
    """Replies to `replied` of its jobs, and then stands still."""

    no_progress = "made no progress"

    def __init__(self, replied: int) -> None:
        self.replied = replied
        self.starts = 0
        self.deaths = 0
        self.waiting = 0
        self.gone = "no more"

    def start(self, jobs: list[Job], left: frozenset[str], server_round: int) -> Any:
        self.starts += 1
        if self.starts > 1:
            return None
        self.waiting = self.replied
        return iter([Finished(job.shop_id, job.message, 0.0) for job in jobs[: self.replied]])

    def stalled(self) -> bool:
        return self.waiting == 0

    def died(self, reason: str) -> None:
        self.deaths += 1


def played(monkeypatch: pytest.MonkeyPatch, replied: int) -> tuple[PlayedHost, list[Finished]]:
    import ray

    identify_process(1)
    host = PlayedHost(replied)

    def first_ready(streams: list[Any]) -> list[Any]:
        if not host.waiting:
            return []
        host.waiting -= 1
        return streams

    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(ray_hosts, "first_ready", first_ready)
    hosts = RayHosts.__new__(RayHosts)
    hosts._hosts = [host]  # type: ignore[list-item]
    hosts._host_of = {"a": host, "b": host}  # type: ignore[dict-item]
    content = RecordDict({"config": ConfigRecord({"server-round": 1})})
    jobs = [Job(shop_id, Message(content, 1, "train"), {}) for shop_id in ("a", "b")]
    return host, list(hosts.run(jobs))


def test_a_host_that_stands_still_with_shops_left_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    host, finished = played(monkeypatch, 1)
    assert [each.shop_id for each in finished] == ["a", "b"]
    assert finished[1].reply.has_error()
    assert (host.deaths, host.starts) == (1, 2)


def test_a_host_that_is_slow_to_tidy_up_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    host, finished = played(monkeypatch, 2)
    assert [each.reply.has_error() for each in finished] == [False, False]
    assert (host.deaths, host.starts) == (0, 1)
