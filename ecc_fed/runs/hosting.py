"""The hosts of a run, from its config: which to start, what each may use, and the devices that it builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ecc_fed.assembly.build import build_devices
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.records import Shop
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.hosts.jobs import Hosts
from ecc_fed.hosts.start import ray_hosts

# What takes a host seconds to import, before it loads its models.
_MODEL_MODULES = ("torch", "transformers.modeling_utils")


@contextmanager
def open_hosts(config: RunConfig) -> Iterator[Hosts]:
    """The run's hosts on Ray, reusable for every run that agrees on `runtime.pool`."""
    with ray_hosts(config.runtime, imports=_MODEL_MODULES) as hosts:
        yield hosts


def host_devices(
    config: RunConfig,
    shops: Sequence[Shop],
    truth: Mapping[str, ShopTruth],
    directory: RunDirectory,
    shop_ids: tuple[str, ...],
) -> ShopDevices:
    """Runs inside a host: the devices of its shops."""
    import torch  # hosts alone need it

    torch.set_num_threads(config.runtime.threads_per_host)
    wanted = frozenset(shop_ids)
    mine = [shop for shop in shops if shop.shop_id in wanted]
    return build_devices(config, mine, {shop_id: truth[shop_id] for shop_id in shop_ids}, directory, len(shops))
