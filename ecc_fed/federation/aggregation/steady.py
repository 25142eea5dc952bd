"""Whether a number of the server's adapter means the same from round to round, and to every shop."""

from __future__ import annotations

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Aggregator
from ecc_fed.federation.aggregation.clusters import Clusters
from ecc_fed.federation.aggregation.wrapper import layers


def check_steady(name: str, mean: Aggregator) -> None:
    """Refuses a mean on whose numbers nothing can be carried from one round into the next.

    An SVD's factors are turned against those before: the way from the one to the other is none that any shop has gone.
    Clusters send every group an adapter of its own, and a change to the mean of all reaches nobody.

    Args:
        name: of the strategy around it, for the message.
        mean: what it is made around, other wrappers included.

    Raises:
        ConfigError: names both.
    """
    inner = [type(each).__name__ for each in layers(mean)]
    around = " around ".join(inner)
    if mean.exchange(1).turns:
        raise ConfigError(
            f"strategy {name} goes by the way of every number of A and B from round to round, and {around} sends "
            "factors that are turned against those before. Take strategy.mean=fedavg, or another mean of factors."
        )
    if any(isinstance(each, Clusters) for each in layers(mean)):
        raise ConfigError(
            f"strategy {name} changes the one adapter that all shops are sent, and {around} sends every group its "
            "own. Take strategy.mean=fedavg, or strategy=clusters by itself."
        )
