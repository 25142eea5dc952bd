"""An error that was written for the user is one line of Flower's log; a bug of ours keeps its traceback."""

import logging
import traceback
from collections.abc import Iterator

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.flower.plain_errors import FLOWER_LOG, PlainErrors, log_errors_plainly

LOG = logging.getLogger(FLOWER_LOG)


@pytest.fixture(autouse=True)
def plainly() -> Iterator[None]:
    before = list(LOG.filters)
    log_errors_plainly()
    yield
    LOG.filters[:] = before


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the log shows."""
    shown: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(self.format(record))

    kept = Kept()
    LOG.addHandler(kept)
    yield shown
    LOG.removeHandler(kept)


def logged(error: Exception) -> None:
    """As Flower's engines log whatever an app raised: with its traceback, and its traceback once more as text."""
    try:
        try:
            raise error
        except Exception as caught:
            raise RuntimeError("An error was encountered.") from caught
    except RuntimeError as ended:
        LOG.error("%s raised an exception", "Simulation", exc_info=ended)
        LOG.error(traceback.format_exc())


def test_the_users_mistake_is_one_line(lines: list[str]) -> None:
    logged(ConfigError("There is no setting sed.\nDid you mean \x1b[2Jseed?"))
    assert lines == ["Error: There is no setting sed. Did you mean \\u001b[2Jseed?"]


def test_a_bug_keeps_its_traceback(lines: list[str]) -> None:
    logged(ZeroDivisionError("division by zero"))
    assert [line.partition("\n")[0] for line in lines] == [
        "Simulation raised an exception",
        "Traceback (most recent call last):",
    ]
    assert all("ZeroDivisionError: division by zero" in line and "test_plain_errors.py" in line for line in lines)


def test_other_lines_stay_as_they_are(lines: list[str]) -> None:
    try:
        raise ConfigError("no")
    except ConfigError:
        LOG.error("Traceback of %s", "nothing")
    assert lines == ["Traceback of nothing"]


def test_it_is_set_up_once() -> None:
    log_errors_plainly()
    assert sum(isinstance(each, PlainErrors) for each in LOG.filters) == 1
