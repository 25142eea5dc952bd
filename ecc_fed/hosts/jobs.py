"""What hosts are given and what they give back, whatever they run on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flwr.app import Error, Message

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.errors import EccError
from ecc_fed.core.protocols import Device
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import HostSettings

# Builds the device of the shops named; must be picklable, as it runs inside the host.
DeviceFactory = Callable[[tuple[str, ...]], Device]


@runtime_checkable
class Divisible(Protocol):
    """A `DeviceFactory` that can leave out what belongs to other shops."""

    def only(self, shop_ids: tuple[str, ...]) -> DeviceFactory:
        """The factory for these shops alone: all that a host is sent which has no others."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A message for one shop, with what Flower tells that shop's node about itself."""

    shop_id: str
    message: Message
    node_config: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Finished:
    """A job's reply, an error reply included, and how long it took on its host."""

    shop_id: str
    reply: Message
    seconds: float


class Hosts(Protocol):
    """All hosts of a run. They may serve several runs, one after another."""

    def open(
        self,
        shop_ids: Sequence[str],
        device_factory: DeviceFactory,
        settings: HostSettings,
        kept: Sequence[BatchSize] = (),
    ) -> None:
        """Builds a device on every host that has a shop, and chooses how many run side by side.

        `kept` holds what the hosts of a run that goes on had chosen at its start: as many hosts have its shops
        again, and none measures anew.

        Raises:
            EccError: what the factory raised, or a host that died on it; or there are fewer hosts than were kept.
        """
        ...

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter of the run, from a host that `open` built: the base is there already.

        Raises:
            EccError: the host died.
        """
        ...

    def run(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Runs every job and yields each as it finishes; never raises for a shop or a host.

        Raises:
            FederationError: what all hosts run on is gone.
        """
        ...

    def reports(self) -> tuple[HostReport, ...]:
        """What each host with a shop used so far."""
        ...


def error_reply(message: Message, code: int, error: BaseException) -> Message:
    """A reply that says what went wrong; an unexpected error keeps its traceback after the first line."""
    reason = f"{type(error).__name__}: {error}"
    if not isinstance(error, EccError):
        reason = "\n".join([reason.splitlines()[0], *traceback.format_exception(error)])
    return Message(Error(code, reason), reply_to=message)
