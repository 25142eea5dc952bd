"""From a `RunConfig` to what its federation runs: arm, aggregator, update transforms and limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import accepts, instantiate, locate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Aggregator, Arm, Corpus, TeachesByReplies, UpdateTransform
from ecc_fed.core.seeding import adapter_seed
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.weights import ByExamples, Uniform
from ecc_fed.federation.aggregation.wrapper import layers
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.participation import Participation
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.trace import read_trace
from ecc_fed.privacy.secure_aggregation.participant import Masking


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
    chosen = config.adapter
    return ReplyLimits(
        config.replies,
        chosen.exchanged_scale,
        most,
        shared_rank=chosen.shared_rank,
        scale_factors=chosen.scale_factors,
    )


def build_aggregator(config: RunConfig) -> Aggregator:
    """The aggregator, and the parts that it is made of.

    Each that takes one is given `adapter_seed`, from which every shop draws its fresh adapter, `scale_at`, the s of an
    adapter of a rank, or `server_rounds`, how many there will be at most.
    """
    of_run = {
        "adapter_seed": adapter_seed(config.seed),
        "scale_at": config.adapter.exchanged_scale,
        "server_rounds": config.evolution.server_rounds,
    }
    return cast(Aggregator, instantiate(_with(config.strategy, "strategy", of_run), "strategy", Aggregator))


def _with(node: Mapping[str, Any], group: str, of_run: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: _with(value, f"{group}.{name}", of_run) if isinstance(value, Mapping) and "_target_" in value else value
        for name, value in node.items()
    }
    return values | {name: value for name, value in of_run.items() if accepts(node, group, name)}


def build_participation(config: RunConfig) -> Participation:
    """Who takes part in each round.

    Raises:
        ConfigError: late shops that would never come, or a trace that cannot be read.
    """
    settings, rounds = config.participation, config.evolution.server_rounds
    if settings.late_share and settings.late_round > max(rounds, 1):
        raise ConfigError(
            f"participation.late_round={settings.late_round} comes after the run's last round, "
            f"evolution.server_rounds={rounds}: late shops would never join."
        )
    trace = {} if settings.trace is None else read_trace(Path(settings.trace))
    return Participation(settings, config.seed, trace)


def build_plan(config: RunConfig) -> FederationPlan:
    """All of it, checked to go together.

    Raises:
        ConfigError: a class that cannot be made, a value out of range, or parts that do not go together.
    """
    plan = FederationPlan(
        build_arm(config),
        build_aggregator(config),
        build_transforms(config),
        build_limits(config),
        build_participation(config),
        secure=config.secure_aggregation if config.secure_aggregation.enabled else None,
    )
    if plan.secure is not None:
        _check_secure(config, plan.aggregator)
    if isinstance(plan.arm, TeachesByReplies):
        _check_public(config, plan.arm.name, plan.arm.queries.path)
        # FedAvg is what a run has that asks for no strategy; any other was asked for.
        if not plan.federated and type(plan.aggregator) is not FedAvg:
            raise ConfigError(
                f"strategy {type(plan.aggregator).__name__} makes one adapter of many, and in arm {plan.arm.name} "
                "replies travel and no adapter does. Leave strategy out; arm.agreement says how replies become one."
            )
    if plan.federated and plan.aggregator.pairs_only and not config.adapter.settings().pairs_alone:
        raise ConfigError(
            f"strategy {type(plan.aggregator).__name__} works on low-rank pairs A and B, and adapter.method="
            f"{config.adapter.method} is more than these. Take adapter.method=lora or rslora, or strategy=fedavg."
        )
    if plan.pools and config.adapter.ranks:
        raise ConfigError(
            f"adapter.ranks gives shops ranks of their own, and arm {plan.arm.name} has one adapter for all. Leave "
            "adapter.ranks out."
        )
    if plan.pools and config.adapter.lora_alphas:
        raise ConfigError(
            f"adapter.lora_alphas gives shops scales of their own, and arm {plan.arm.name} has one adapter for all. "
            "Leave adapter.lora_alphas out."
        )
    if plan.federated and config.adapter.lora_alphas and not plan.aggregator.mixed_ranks:
        raise ConfigError(
            f"adapter.lora_alphas gives shops scales of their own, and strategy {type(plan.aggregator).__name__} needs "
            "one scale for all. Take one that mixes ranks and scales (flexlora, florist, flora, hetlora), or leave "
            "adapter.lora_alphas out."
        )
    if plan.pools and config.evolution.warm_start.path is not None:
        raise ConfigError(
            f"evolution.warm_start.path={config.evolution.warm_start.path} starts every shop by itself, and arm "
            f"{plan.arm.name} has one adapter for all. Leave it out, or take another arm."
        )
    if plan.federated and config.adapter.ranks and not plan.aggregator.mixed_ranks:
        raise ConfigError(
            f"adapter.ranks gives shops ranks of their own, and strategy {type(plan.aggregator).__name__} needs one "
            "rank for all. Take one that mixes ranks (flexlora, florist, flora, hetlora), or leave adapter.ranks out."
        )
    if plan.federated and config.adapter.shared_rank is not None and plan.aggregator.mixed_ranks:
        raise ConfigError(
            f"strategy {type(plan.aggregator).__name__} may send a shop another rank, and adapter.shared_rank="
            f"{config.adapter.shared_rank} keeps its place in the adapter. Take a strategy of one rank."
        )
    return plan


def build_masking(config: RunConfig) -> Masking | None:
    """How the shops' updates are hidden from the server; None where they are not.

    Raises:
        ConfigError: a strategy that weighs in a way of its own.
    """
    if not config.secure_aggregation.enabled:
        return None
    return Masking(config.secure_aggregation, config.seed, counts_alike(build_aggregator(config)))


def _check_secure(config: RunConfig, aggregator: Aggregator) -> None:
    """Refuses what shops cannot weigh, or cannot add, each by itself."""
    counts_alike(aggregator)
    for name in ("ranks", "lora_alphas"):
        if getattr(config.adapter, name):
            raise ConfigError(
                f"adapter.{name} gives shops {name.removeprefix('lora_')} of their own, and secure_aggregation adds "
                f"adapters number by number. Leave one of them out."
            )


def counts_alike(aggregator: Aggregator) -> bool:
    """Whether every shop counts alike in the mean; otherwise by its examples. A shop must know that by itself.

    Raises:
        ConfigError: the strategy weighs in another way.
    """
    innermost = list(layers(aggregator))[-1]
    weights = getattr(innermost, "weights", ByExamples())
    if not isinstance(weights, ByExamples | Uniform):
        raise ConfigError(
            f"secure_aggregation has every shop weigh its own update, and strategy {type(innermost).__name__} weighs "
            f"by {type(weights).__name__}. Take weights by examples or alike for all shops."
        )
    return isinstance(weights, Uniform)


def _check_public(config: RunConfig, name: str, path: str | None) -> None:
    """Refuses an arm of public queries that nobody asks, or that no model of a shop's would answer."""
    if path is None and not hasattr(locate(config.corpus, "corpus", Corpus), "public_queries"):
        raise ConfigError(
            f"arm {name} asks public queries, and this corpus has shops' own dialogues alone. Give some that everybody "
            "may know: arm.queries.path=FILE, JSONL with a query on every line."
        )
    if not getattr(locate(config.answering, "answering"), "asks_model", True):
        kind = str(config.answering["_target_"]).rpartition(".")[2]
        raise ConfigError(
            f"arm {name} has the shops' models answer public queries, and answering {kind} asks no model. Take "
            "answering=model or model_with_examples, or another arm."
        )
