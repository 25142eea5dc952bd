"""What Flower logs of an error that was written for the user: its one line, without the way through the code.

Flower logs whatever ends an app with a traceback, and where a simulation passes it on, with several.
"""

from __future__ import annotations

import logging
import sys

from ecc_fed.core.errors import EccError
from ecc_fed.core.outside_text import cut, visible

FLOWER_LOG = "flwr"  # what `flwr run --stream` shows


class PlainErrors(logging.Filter):
    """Turns a record with an `EccError` behind it into one line, and drops the tracebacks that are logged as text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """As `logging.Filter.filter`."""
        traced = str(record.msg).startswith("Traceback (most recent call last)")
        if not record.exc_info and not traced:
            return True
        error = _ours(record.exc_info[1] if record.exc_info else sys.exc_info()[1])
        if error is None:
            return True
        if traced:
            return False
        record.exc_info = record.exc_text = None
        record.msg, record.args = "Error: %s", (" ".join(cut(visible(str(error))).split()),)
        return True


def log_errors_plainly() -> None:
    """From now on, in this process."""
    log = logging.getLogger(FLOWER_LOG)
    if not any(isinstance(each, PlainErrors) for each in log.filters):
        log.addFilter(PlainErrors())


def _ours(error: BaseException | None) -> EccError | None:
    while error is not None and not isinstance(error, EccError):
        error = error.__cause__
    return error
