"""Which device a ClientApp works on: the host's, or one of its own under Flower's stock engines."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from flwr.app import Context

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Device
from ecc_fed.federation.wire import records

PARTITION_ID = "partition-id"  # Flower's names in a node's config
NUM_PARTITIONS = "num-partitions"
DEVICE_FACTORY = "device-factory"
_DEFAULT_FACTORY = "ecc_fed.assembly.build:device_from_run_config"

# A context variable, not a global: ClientApps may run in threads of one host.
_current: ContextVar[Device | None] = ContextVar("ecc_fed_device", default=None)


@contextmanager
def serving(device: Device) -> Iterator[None]:
    """ClientApps that run inside work on `device`."""
    token = _current.set(device)
    try:
        yield
    finally:
        _current.reset(token)


def device_and_shop(context: Context) -> tuple[Device, str]:
    """The device that a ClientApp with `context` works on, and the shop that it stands for.

    The shop is `shop-id` of the node's config, or else the device's shop number `partition-id`.

    Raises:
        ConfigError: neither is there, or the device has no such shop.
    """
    shop_id = context.node_config.get(records.SHOP_ID)
    device = _current.get()
    if device is None:
        only = None if shop_id is None else str(shop_id)
        device = _own_device(json.dumps(dict(context.run_config), sort_keys=True), only)
    if shop_id is None:
        return device, _shop_of_partition(context.node_config, device.shop_ids)
    if shop_id not in device.shop_ids:
        raise ConfigError(f"shop-id={shop_id} is none of this run's shops: {', '.join(device.shop_ids)}.")
    return device, str(shop_id)


def _shop_of_partition(node_config: Mapping[str, object], shop_ids: tuple[str, ...]) -> str:
    partition = node_config.get(PARTITION_ID)
    if not isinstance(partition, int):
        raise ConfigError(
            "The node's config names no shop: start the SuperNode with "
            '--node-config "shop-id=\'...\'" or --node-config "partition-id=0".'
        )
    if not 0 <= partition < len(shop_ids):
        raise ConfigError(
            f"partition-id={partition}, but the corpus has {len(shop_ids)} shops: start as many nodes as shops."
        )
    return shop_ids[partition]


@lru_cache(maxsize=1)
def _own_device(run_config_json: str, shop_id: str | None) -> Device:
    """The device of a process that no host feeds, built once a process.

    `device-factory` of the run config names the factory (`module:function`, default
    `ecc_fed.assembly.build:device_from_run_config`); it is called with the run config and the shops wanted
    (None: all).
    """
    run_config = json.loads(run_config_json)
    name = run_config.get(DEVICE_FACTORY) or _DEFAULT_FACTORY
    try:
        factory = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{DEVICE_FACTORY}={name} cannot be loaded ({error}); write module:function.") from error
    device: Device = factory(run_config, None if shop_id is None else (shop_id,))
    return device
