"""A host in the test's own process that hangs, and one that is slow."""

import signal
import threading
import time
from collections.abc import Callable

import pytest

from ecc_fed.core.heartbeat import beat
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.standstill import HostStalled, no_standstill
from ecc_fed.runs.federation import run_federation
from tests.federation.fakes import FakeDevice, aggregated, build_fake

TOLD = r"The host made no progress for 0.4 seconds \(runtime.stall_seconds\)"


def never() -> None:
    threading.Event().wait()


def swallowing() -> None:
    try:
        never()
    except Exception:
        pytest.fail("taken for an error of a shop")


@pytest.mark.parametrize("work", [never, swallowing, lambda: time.sleep(60)])
def test_what_hangs_is_ended(work: Callable[[], None]) -> None:
    usual, started = signal.getsignal(signal.SIGALRM), time.monotonic()
    with pytest.raises(HostStalled, match=TOLD), no_standstill(0.4):
        work()
    assert time.monotonic() - started < 30
    assert signal.getsignal(signal.SIGALRM) is usual
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_is_slow_is_not() -> None:
    with no_standstill(0.8):
        for _ in range(6):
            time.sleep(0.3)
            beat()
    time.sleep(0.3)  # no alarm is left


def test_without_a_limit_and_in_other_threads_nothing_is_watched() -> None:
    usual, seen = signal.getsignal(signal.SIGALRM), []

    def look() -> None:
        with no_standstill(0.1):
            seen.append(signal.getsignal(signal.SIGALRM))

    other = threading.Thread(target=look)
    other.start()
    other.join()
    with no_standstill(None):
        seen.append(signal.getsignal(signal.SIGALRM))
    assert seen == [usual, usual]


class Hanging(FakeDevice):
    """Shop b's own code waits for something that never comes."""

    def train(self, shop_id, *arguments, **further):
        if shop_id == "b":
            never()
        return super().train(shop_id, *arguments, **further)


def test_a_shop_that_hangs_ends_the_run_and_the_next_one_starts() -> None:
    settings = HostSettings(stall_seconds=0.4)
    with pytest.raises(HostStalled, match=TOLD):
        run_federation(aggregated(1), ["a", "b"], Hanging, InProcessHosts(), settings=settings)
    assert run_federation(aggregated(1), ["a", "b"], build_fake, InProcessHosts(), settings=settings).failures == ()
