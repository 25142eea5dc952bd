"""The seam between a finished run's numbers and where somebody looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ecc_fed.core.records import TrackedNumber


class Tracker(Protocol):
    """Keeps the numbers of a run in a store of its kind. It is handed numbers and no text, so none can leave by it."""

    def check(self) -> None:
        """Asked before a run starts; imports nothing.

        Raises:
            ConfigError: a package is missing; names the remedy.
        """
        ...

    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        """Writes all numbers of the run called `name` to a store in the empty `folder`.

        It is called in a process of its own, so it may set the environment before it imports its library.
        """
        ...
