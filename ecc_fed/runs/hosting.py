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
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.start import HostPool, ray_hosts


def host_pool(config: RunConfig) -> HostPool:
    """The hosts that the run asks for."""
    runtime = config.runtime
    return HostPool(runtime.hosts, runtime.threads_per_host, runtime.gpus_per_host, runtime.ray_address)


@contextmanager
def open_hosts(config: RunConfig) -> Iterator[Hosts]:
    """The run's hosts on Ray, reusable for every run that asks for the same pool."""
    with ray_hosts(host_pool(config)) as hosts:
        yield hosts


def host_settings(config: RunConfig) -> HostSettings:
    """What every host of the run may use."""
    runtime = config.runtime
    return HostSettings(
        shops_per_batch=runtime.shops_per_batch,
        use_gpu=runtime.gpus_per_host > 0,
        gpu_memory_gib=runtime.gpu_memory_gib,
        host_memory_gib=runtime.host_memory_gib,
        imports=("torch", "transformers.modeling_utils"),
    )


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
