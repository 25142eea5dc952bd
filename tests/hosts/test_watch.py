"""When a host is taken for hung."""

import pytest

from ecc_fed.hosts import watch
from ecc_fed.hosts.watch import Watch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Host:
    """Answers `delay` questions late; None never."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = 0
        self.silent = False

    def ask(self) -> "Host":
        self.asked += 1
        return self


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    monkeypatch.setattr(watch, "_answer", lambda host: None if host.silent else host.count)
    return clock


def seconds_until_stalled(watched: Watch, clock: Clock, most: int = 1000) -> int | None:
    for second in range(most):
        if watched.stalled():
            return second
        clock.now += 1
    return None


def test_a_count_that_stands_still_is_found_within_the_limit_and_a_little(clock):
    host = Host()
    watched = Watch(100.0, host.ask)
    found = seconds_until_stalled(watched, clock)
    assert found is not None and 100 < found <= 130
    assert host.asked <= 5, "asked a few times per limit"


def test_a_process_that_answers_nothing_is_found_at_the_limit(clock):
    host = Host()
    host.silent = True
    watched = Watch(100.0, host.ask)
    assert seconds_until_stalled(watched, clock) == 101
    assert host.asked == 1, "one question is open at a time"


def test_a_count_that_moves_is_never_taken_for_hung_and_asked_for_every_half_minute(clock):
    host = Host()
    watched = Watch(1800.0, host.ask)
    for _ in range(10_000):
        assert not watched.stalled()
        clock.now += 1
        host.count += 1
    assert 250 <= host.asked <= 10_000 / 30


def test_without_a_limit_nothing_is_asked(clock):
    host = Host()
    assert seconds_until_stalled(Watch(None, host.ask), clock) is None
    assert host.asked == 0
