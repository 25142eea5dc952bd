"""The two apps that Flower's own engines load by name (`flwr run`, a SuperLink with SuperNodes).

Composed here, from the run config and the corpus; the only names that `pyproject.toml` tells Flower.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from flwr.app import Context

from ecc_fed.assembly.flower import ELSEWHERE, config_from_run_config, config_text, run_directory, run_id_of
from ecc_fed.assembly.flower_device import device_from_run_config, plan_without_base
from ecc_fed.assembly.spent import count_spent
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Device
from ecc_fed.federation.checkpoint import load_checkpoint, save_checkpoint
from ecc_fed.federation.flower.client_app import client_app
from ecc_fed.federation.flower.plain_errors import FLOWER_LOG, log_errors_plainly
from ecc_fed.federation.flower.server_app import ServerFolder, server_app
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.hosts.batch_size import BatchedDevice
from ecc_fed.runs.flower_end import write_flower_run
from ecc_fed.runs.run_folder import new_run, resumed_run

_log = logging.getLogger(FLOWER_LOG)


@cache
def _device(run_config: str, node_config: str, run_id: str) -> Device:
    """Built once for each node of this process, and kept."""
    return device_from_run_config(json.loads(run_config), json.loads(node_config), run_id)


def device_of(context: Context) -> tuple[Device, str]:
    """The device of a node that no host feeds, and its only shop.

    Raises:
        ConfigError: the run config does not compose, or the node's config names no shop of the corpus.
        UserError: `run-dir` is the folder of another run.
    """
    log_errors_plainly()
    run_config, node_config = (
        json.dumps(dict(each), sort_keys=True) for each in (context.run_config, context.node_config)
    )
    device = _device(run_config, node_config, run_id_of(context.run_config, context.run_id))
    # In a simulation the next message of a node may come to another process, which spends of the same budget.
    if isinstance(device, BatchedDevice):
        count_spent(device.services.gateway, run_directory(context.run_config), device.shop_ids)
    return device, device.shop_ids[0]


def plan_of(run_config: Mapping[str, object]) -> FederationPlan:
    """The server's plan, which knows the shops' adapters without having the base.

    Raises:
        ConfigError: the run config does not compose.
        ModelError: the base's config cannot be read.
    """
    return plan_without_base(config_from_run_config(run_config))


@contextmanager
def folder_of(context: Context) -> Iterator[ServerFolder]:
    """The server's part of `run-dir`: of Flower's run, or of the one that it goes on with by `resume`.

    Raises:
        UserError: the folder is another run's, or the run had another config.
    """
    run_config = context.run_config
    directory, run_id = run_directory(run_config), run_id_of(run_config, context.run_id)
    config = config_text(run_config)
    resumes = bool(run_config.get("resume"))
    opened = resumed_run(directory, config) if resumes else new_run(directory, config, ELSEWHERE, run_id)
    with opened as found:
        if found != run_id:
            raise ConfigError(f"resume={run_id}: {directory.root} belongs to run {found}.")
        before = load_checkpoint(directory.server, run_id)
        started, seconds_before = time.perf_counter(), 0.0 if before is None else before[1].seconds

        def seconds() -> float:
            return seconds_before + time.perf_counter() - started

        _log.info("The run's folder: %s", directory.root)
        yield ServerFolder(
            None if before is None else before[0],
            lambda checkpoint: save_checkpoint(directory.server, checkpoint, run_id, seconds=seconds()),
            lambda plan, shop_ids, result: write_flower_run(
                directory, run_id, config_from_run_config(run_config), plan, shop_ids, result, seconds
            ),
        )


# Flower looks for an assignment of these names.
client = client_app(device_of)
server = server_app(plan_of, folder_of)
