"""Which shop a Flower node stands for, as the node's own config says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecc_fed.core.errors import ConfigError
from ecc_fed.federation.wire import records

PARTITION_ID = "partition-id"  # Flower's names in a node's config
NUM_PARTITIONS = "num-partitions"


def shop_of(node_config: Mapping[str, object], shop_ids: Sequence[str]) -> str:
    """The shop of a node: `shop-id` of its config, or else shop number `partition-id` of `shop_ids`.

    Raises:
        ConfigError: neither is there, or no such shop is.
    """
    shop_id = node_config.get(records.SHOP_ID)
    if shop_id is not None:
        if shop_id not in shop_ids:
            raise ConfigError(f"shop-id={shop_id} is none of this run's shops: {', '.join(shop_ids)}.")
        return str(shop_id)
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
