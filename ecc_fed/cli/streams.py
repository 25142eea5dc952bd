"""Output that nobody may be left to read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


class _Lasting:
    """A stream that goes on taking text once its terminal is closed, or the other end of its pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            to_nowhere(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            to_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def to_nowhere(stream: TextIO) -> None:
    """Lets what a stream still holds, and gets, vanish: else Python would complain of it as it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def lasting_output(*, stdout: bool) -> Iterator[None]:
    """Whatever the block prints on standard error, and with `stdout` on standard output, ends no work."""
    usual = sys.stdout, sys.stderr
    if stdout:
        sys.stdout = cast(TextIO, _Lasting(sys.stdout))
    sys.stderr = cast(TextIO, _Lasting(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = usual
