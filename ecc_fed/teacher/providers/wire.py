"""Bytes of bodies as they went over the wire: what a provider's own books count."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

from ecc_fed.core.completion import Completion


@dataclass(slots=True)
class _Bodies:
    sent: int | None = None
    received: int | None = None


class WireMeter:
    """Counts the bodies of one thread's call at a time. None where nothing is known.

    Copies count for the original: SDKs copy the options that they are given.
    """

    def __init__(self) -> None:
        self._mine = threading.local()

    def __deepcopy__(self, memo: Any) -> WireMeter:
        return self

    def begin(self) -> None:
        """A call begins on this thread."""
        self._mine.bodies = _Bodies()

    def sent(self, num_bytes: int) -> None:
        """A body of so many bytes is on its way."""
        self._bodies.sent = (self._bodies.sent or 0) + num_bytes

    def received(self, num_bytes: int) -> None:
        """So many bytes of a body have come."""
        self._bodies.received = (self._bodies.received or 0) + num_bytes

    def told(self, completion: Completion) -> Completion:
        """The call's completion with the bytes of both bodies."""
        return replace(completion, wire_up_bytes=self._bodies.sent, wire_down_bytes=self._bodies.received)

    @property
    def _bodies(self) -> _Bodies:
        if not hasattr(self._mine, "bodies"):
            self.begin()
        bodies: _Bodies = self._mine.bodies
        return bodies
