"""The two apps that Flower's own engines load by name (`flwr run`, a SuperLink with SuperNodes).

Composed here, from the run config and the corpus; the only names that `pyproject.toml` tells Flower.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from flwr.app import Context

from ecc_fed.assembly.build import device_from_run_config, plan_without_base
from ecc_fed.assembly.flower import config_from_run_config
from ecc_fed.core.protocols import Device
from ecc_fed.federation.flower.client_app import client_app
from ecc_fed.federation.flower.server_app import server_app
from ecc_fed.federation.plan import FederationPlan


@cache
def _device(run_config: str, node_config: str) -> Device:
    """Built once for each node of this process, and kept: it knows what is left of its budget."""
    return device_from_run_config(json.loads(run_config), json.loads(node_config))


def device_of(context: Context) -> tuple[Device, str]:
    """The device of a node that no host feeds, and its only shop.

    Raises:
        ConfigError: the run config does not compose, or the node's config names no shop of the corpus.
    """
    run_config, node_config = (
        json.dumps(dict(each), sort_keys=True) for each in (context.run_config, context.node_config)
    )
    device = _device(run_config, node_config)
    return device, device.shop_ids[0]


def plan_of(run_config: Mapping[str, object]) -> FederationPlan:
    """The server's plan, which knows the shops' adapters without having the base.

    Raises:
        ConfigError: the run config does not compose.
        ModelError: the base's config cannot be read.
    """
    return plan_without_base(config_from_run_config(run_config))


# Flower looks for an assignment of these names.
client = client_app(device_of)
server = server_app(plan_of)
