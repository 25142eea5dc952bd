"""The apps composed around a fake device, which keeps its shops' states in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from flwr.app import Context

from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.flower import config_from_run_config
from ecc_fed.core.protocols import Device
from ecc_fed.core.records import EgressEntry
from ecc_fed.evolution.sent import write_down
from ecc_fed.federation.flower.client_app import client_app
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.federation.flower.server_app import server_app
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from tests.federation.fakes import SHAPES, FakeDevice
from tests.federation.secure_aggregation.devices import MOST, SecureDevice


class Writing(FakeDevice):
    """It has a ledger of its own of what goes to the server."""

    def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
        assert self._folder is not None
        write_down(self._folder / shop_id, entries)


class Masking(SecureDevice):
    """It hides its updates, and has such a ledger too. A message is a process: its secrets lie in a folder."""

    def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
        write_down(self.folder / shop_id, entries)


@cache
def device(shop_ids: tuple[str, ...], folder: str, secure: SecureAggregationSettings) -> Device:
    return Masking(shop_ids, Path(folder), secure) if secure.enabled else Writing(shop_ids, folder)


def device_of(context: Context) -> tuple[Device, str]:
    shop_id = shop_of(context.node_config, str(context.run_config["shops"]).split())
    secure = config_from_run_config(context.run_config).secure_aggregation
    return device((shop_id,), str(context.run_config["state-dir"]), secure), shop_id


client = client_app(device_of)


def plan_of(run_config: Mapping[str, object]) -> FederationPlan:
    plan = build_plan(config_from_run_config(run_config))
    # Of the fake device's adapters and examples, not of the config's.
    return replace(plan, limits=ReplyLimits(max_examples=MOST, shapes=SHAPES))


server = server_app(plan_of)
