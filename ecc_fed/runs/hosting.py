"""The hosts of a run, from its config: which to start, what each may use, and the devices that it builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from ecc_fed.assembly.build import build_devices
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.records import Shop
from ecc_fed.core.run_claim import join
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.hosts.jobs import Hosts
from ecc_fed.hosts.start import ray_hosts

# What takes a host seconds to import, before it loads its models.
_MODEL_MODULES = ("torch", "transformers.modeling_utils")
# Of this process's last run: open, and so locked, until the next one or the process's end.
_joined: IO[str] | None = None


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
    run_id: str,
    shop_ids: tuple[str, ...],
) -> ShopDevices:
    """Runs inside a host: the devices of its shops."""
    import torch  # hosts alone need it

    global _joined
    _joined = join(directory)
    torch.set_num_threads(config.runtime.threads_per_host)
    wanted = frozenset(shop_ids)
    mine = [shop for shop in shops if shop.shop_id in wanted]
    known = {shop_id: truth[shop_id] for shop_id in shop_ids}
    return build_devices(config, mine, known, directory, len(shops), run_id)
