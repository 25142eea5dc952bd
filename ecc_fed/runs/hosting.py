"""The hosts of a run, from its config: which to start, what each may use, and the devices that it builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO

from ecc_fed.assembly.build import build_devices
from ecc_fed.assembly.federation import build_arm
from ecc_fed.assembly.local_models import check_local_models, convert_local_models
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.protocols import Device
from ecc_fed.core.records import Shop
from ecc_fed.core.run_claim import join
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.pool import PooledDevices
from ecc_fed.federation.participation import Participation
from ecc_fed.federation.plan import pools
from ecc_fed.hosts.choosing import run_hosts
from ecc_fed.hosts.jobs import Hosts

# Of this process's last run: open, and so locked, until the next one or the end of its hosts.
_joined: IO[str] | None = None


@contextmanager
def open_hosts(config: RunConfig, at_least: int = 1) -> Iterator[Hosts]:
    """The run's hosts, reusable for every run that agrees on `runtime.pool`.

    `at_least` so many if their number is automatic, as a run that goes on takes as many as it started on.
    """
    if config.runtime.ray_address is None:
        check_local_models(config)
        convert_local_models(config)
    try:
        with run_hosts(config.runtime, model_modules(config), at_least) as hosts:
            yield hosts
    finally:
        _leave()


def model_modules(config: RunConfig) -> tuple[str, ...]:
    """What takes a host seconds to import, before it loads its models. The embedded ones are plain."""
    embedded = config.end_model.path == "embedded"
    return ("torch", "transformers") if embedded else ("torch", "transformers.modeling_utils")


def _leave() -> None:
    """After its last run this process has no shops any more, if it had any."""
    global _joined
    if _joined is not None:
        _joined.close()
        _joined = None


@dataclass(frozen=True, slots=True)
class HostDevices:
    """Builds the devices of a host's shops, inside it. Satisfies `DeviceFactory` and `Divisible`.

    `shop_ids` are those of the whole run, in its order; `draws` tell a pool who of them takes part in a round.
    """

    config: RunConfig
    shops: Sequence[Shop]
    truth: Mapping[str, ShopTruth]
    directory: RunDirectory
    run_id: str
    shop_ids: tuple[str, ...]
    draws: Participation = field(default_factory=Participation)

    @property
    def _pooled(self) -> bool:
        """By the arm and not by the node's name, which a shop may have as well."""
        return pools(build_arm(self.config))

    def only(self, shop_ids: tuple[str, ...]) -> HostDevices:
        """As `Divisible.only`."""
        if self._pooled:
            return self
        wanted = frozenset(shop_ids)
        shops = [shop for shop in self.shops if shop.shop_id in wanted]
        return replace(self, shops=shops, truth={shop.shop_id: self.truth[shop.shop_id] for shop in shops})

    def __call__(self, shop_ids: tuple[str, ...]) -> Device:
        """Opens the models and builds the devices."""
        import torch  # hosts alone need it

        global _joined
        _joined = join(self.directory)
        torch.set_num_threads(self.config.runtime.threads_per_host)
        mine = self.only(shop_ids)
        devices = build_devices(self.config, mine.shops, mine.truth, self.directory, self.shop_ids, self.run_id)
        if not self._pooled:
            return devices
        return PooledDevices(devices, lambda server_round: self.draws.of_round(server_round, self.shop_ids).present)
