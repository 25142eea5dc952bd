"""The two apps that Flower's own engines load by name (`flwr run`, a SuperLink with SuperNodes).

Composed here, from the run config and the corpus; the only names that `pyproject.toml` tells Flower.
"""

from __future__ import annotations

import json
from functools import lru_cache

from flwr.app import Context

from ecc_fed.assembly.build import device_from_run_config
from ecc_fed.core.protocols import Device
from ecc_fed.federation.flower.client_app import client_app
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.federation.flower.server_app import app
from ecc_fed.federation.wire import records


@lru_cache(maxsize=1)
def _device(run_config: str, shop_id: str | None) -> Device:
    """Built once a process. A node that names its shop is given no other shop's dialogues."""
    return device_from_run_config(json.loads(run_config), None if shop_id is None else (shop_id,))


def device_of(context: Context) -> tuple[Device, str]:
    """The device of a process that no host feeds, and the shop of the node.

    Raises:
        ConfigError: the run config does not compose, or the node's config names no shop of the corpus.
    """
    named = context.node_config.get(records.SHOP_ID)
    device = _device(json.dumps(dict(context.run_config), sort_keys=True), None if named is None else str(named))
    return device, shop_of(context.node_config, device.shop_ids)


# Flower looks for an assignment of these names.
client = client_app(device_of)
server = app
