import signal

import pytest

from ecc_fed.hosts.signals import ENDING, signals_later


def test_signals_wait_for_the_end_of_what_they_would_interrupt():
    done = []
    with pytest.raises(KeyboardInterrupt), signals_later():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append("all")
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_signal_stays_ignored_and_handlers_come_back():
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        before = [signal.getsignal(number) for number in ENDING]
        with signals_later():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
        assert [signal.getsignal(number) for number in ENDING] == before
    finally:
        signal.signal(signal.SIGHUP, usual)
