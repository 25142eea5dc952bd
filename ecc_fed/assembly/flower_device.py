"""One shop's node under Flower's own engines, and the server that has no host to ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecc_fed.assembly.build import base_path, build_corpus, build_devices
from ecc_fed.assembly.federation import build_arm, build_plan
from ecc_fed.assembly.flower import ELSEWHERE, config_from_run_config, config_text, run_directory
from ecc_fed.assembly.language import spoken_in, with_language
from ecc_fed.assembly.public_queries import with_queries
from ecc_fed.assembly.same_config import config_digest
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.run_claim import accept_claim
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.federation.plan import FederationPlan, pools


def check_apart(config: RunConfig) -> None:
    """Refuses an arm that needs all shops on one device, where every node has its own shop alone.

    Raises:
        ConfigError: names the arm.
    """
    arm = build_arm(config)
    if pools(arm):
        raise ConfigError(
            f"arm {arm.name} learns from all shops' dialogues on one device, and under Flower's own engines a node "
            "reads its own shop alone. Run it with `ecc-fed run`, or take another arm."
        )


def plan_without_base(config: RunConfig) -> FederationPlan:
    """The plan of a server that has no host of its own to ask: what adapters look like, it derives from config alone.

    Raises:
        CorpusError: public queries that cannot be had.
        ModelError: the base's config cannot be read, or its model cannot bear the adapter.
    """
    check_apart(config)
    plan = with_queries(build_plan(config), config)
    if not plan.federated:
        return plan
    from ecc_fed.end_model.engines.reference.shapes import adapter_shapes  # with torch and peft

    return plan.expecting(adapter_shapes(base_path(config), config.adapter.settings()))


def device_from_run_config(
    run_config: Mapping[str, Any], node_config: Mapping[str, Any], run_id: str = ""
) -> ShopDevices:
    """The device of one node under Flower's own engines (`flwr run`, SuperNodes): one shop, and its data alone.

    A corpus that lies in a file is read whole, to tell which dialogues are the shop's; the rest is let go.

    Args:
        run_config: Flower's, as in `flower_overrides`; `run-dir` is the folder for the shops' states.
        node_config: names the shop, as `shop_of` says.
        run_id: the run's; empty leaves the folder unclaimed.

    Raises:
        ConfigError: the overrides do not compose, or the node's config names no shop of the corpus.
        UserError: the folder is another run's.
    """
    config = config_from_run_config(run_config)
    check_apart(config)
    corpus = build_corpus(config)
    config = with_language(config, spoken_in(corpus))
    shop_ids = corpus.shop_ids()
    shop_id = shop_of(node_config, shop_ids)
    directory = run_directory(run_config)
    if run_id:
        accept_claim(directory, run_id, config_digest(config_text(run_config)), ELSEWHERE)
    truth = {shop_id: corpus.truth(shop_id)}
    return build_devices(config, [corpus.shop(shop_id)], truth, directory, shop_ids, run_id)
