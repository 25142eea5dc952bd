"""From a `RunConfig` to what its federation runs: arm, aggregator, update transforms and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import instantiate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Aggregator, Arm, UpdateTransform
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.plan import FederationPlan


def build_arm(config: RunConfig) -> Arm:
    """The arm, for the run's server rounds."""
    return cast(Arm, instantiate(config.arm, "arm", Arm, server_rounds=config.evolution.server_rounds))


def build_transforms(config: RunConfig) -> tuple[UpdateTransform, ...]:
    """The update transforms, in the order in which they were chosen: `update=[clip,...]`."""
    transforms = []
    for name, node in config.update.items():
        if not isinstance(node, Mapping):
            raise ConfigError(f"update.{name}={node} is no transform. Choose from conf/update: update=[clip].")
        transforms.append(cast(UpdateTransform, instantiate(node, f"update.{name}", UpdateTransform)))
    return tuple(transforms)


def build_limits(config: RunConfig) -> ReplyLimits:
    """What one reply may hold, but for the adapters' shapes, which the base decides."""
    tuning = config.finetune
    most = config.evolution.cycles * tuning.steps * tuning.batch_size
    return ReplyLimits(config.replies, config.adapter.settings().scale_at, most)


def build_plan(config: RunConfig) -> FederationPlan:
    """All of it, checked to go together.

    Raises:
        ConfigError: a class that cannot be made, a value out of range, or parts that do not go together.
    """
    aggregator = cast(Aggregator, instantiate(config.strategy, "strategy", Aggregator))
    return FederationPlan(build_arm(config), aggregator, build_transforms(config), build_limits(config))
