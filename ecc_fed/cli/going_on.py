"""How a run or a study that did not come to its end goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ecc_fed.hosts.standstill import HostStalled
from ecc_fed.hosts.waiting import RayDied


@contextmanager
def going_on(command: str) -> Iterator[None]:
    """What is stopped in the block, or loses its hosts, goes on with `command`: whoever reads of its end is told so.

    Raises:
        KeyboardInterrupt: as it came; its text says how to go on.
        RayDied, HostStalled: as it came, and how to go on.
    """
    way = f"Go on with: {command}"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(way) from None
    except (RayDied, HostStalled) as error:
        raise type(error)(f"{error} What was finished is kept. {way}") from error
