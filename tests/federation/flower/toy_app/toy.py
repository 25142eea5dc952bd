"""The apps composed around a fake device, which keeps its shops' states in a folder."""

from functools import cache

from flwr.app import Context

from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.flower import config_from_run_config
from ecc_fed.core.protocols import Device
from ecc_fed.federation.flower.client_app import client_app
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.federation.flower.server_app import server_app
from tests.federation.fakes import FakeDevice


@cache
def device(shop_ids: tuple[str, ...], folder: str) -> Device:
    return FakeDevice(shop_ids, folder)


def device_of(context: Context) -> tuple[Device, str]:
    shop_id = shop_of(context.node_config, str(context.run_config["shops"]).split())
    return device((shop_id,), str(context.run_config["state-dir"])), shop_id


client = client_app(device_of)
server = server_app(lambda run_config: build_plan(config_from_run_config(run_config)))
