"""What `run.json` says of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ecc_fed import __version__
from ecc_fed.assembly.language import why_withheld
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import locate
from ecc_fed.core.records import Shop
from ecc_fed.core.rows import (
    SCHEMA,
    AggregationRow,
    JudgeInfo,
    MetricRow,
    Privacy,
    Reading,
    RunInfo,
    Runtime,
    ShopRelevance,
)
from ecc_fed.evolution.kneser_ney import kneser_ney_perplexity
from ecc_fed.evolution.stream import natural_pairs
from ecc_fed.federation.aggregation.shop_privacy import ShopPrivacy
from ecc_fed.federation.aggregation.wrapper import layers
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult, RoundRecord
from ecc_fed.hosts.reports import HostReport
from ecc_fed.runs.cloud import cloud_by_phase, teacher_failures
from ecc_fed.runs.collect import Collected
from ecc_fed.runs.failures import failure_rows
from ecc_fed.runs.shop_profiles import shop_profiles

_DEPENDENCIES = ("flwr", "torch", "transformers", "peft", "ray", "hydra-core", "numpy", "tokenizers", "safetensors")


def run_info(
    run_id: str,
    config: RunConfig,
    shops: Sequence[Shop],
    plan: FederationPlan,
    result: FederationResult,
    hosts: Sequence[HostReport],
    collected: Collected,
    wall_seconds: float,
    reading: Reading | None = None,
) -> RunInfo:
    """The run in one record.

    Args:
        run_id: the run's.
        config: what was asked for.
        shops: all shops of the run, in its order.
        plan: the arm and how it aggregates.
        result: what the server saw.
        hosts: what the hosts used.
        collected: what the shops left.
        wall_seconds: from reading the corpus to the last file but this.
        reading: what was lost on reading the corpus.
    """
    cloud = cloud_by_phase(collected)
    return RunInfo(
        schema=SCHEMA,
        run_id=run_id,
        arm=plan.arm.name,
        seed=config.seed,
        shops=tuple(shop.shop_id for shop in shops),
        server_rounds=plan.arm.server_rounds,
        cycles=config.evolution.cycles,
        personal_rounds=plan.personal_rounds,
        shops_on_their_own=tuple(sorted(result.state.adopted.intersection(shop.shop_id for shop in shops))),
        corpus=_class_name(config.corpus),
        platform_share=config.corpus.get("platform_share"),
        language=config.corpus.get("language") or "zh",
        teacher=_class_name(config.teacher),
        kneser_ney_perplexity={shop.shop_id: _kneser_ney(config, shop) for shop in shops},
        runtime=_runtime(result, hosts, collected.metrics, wall_seconds),
        privacy=_privacy(config, plan, collected.metrics, result.rounds),
        failures=(
            *failure_rows(result, hosts, collected.metrics),
            *teacher_failures(cloud, collected.metrics),
            *collected.failures,
        ),
        aggregation=aggregation_rows(result.rounds),
        versions=versions(),
        reading=reading,
        cloud=cloud,
        judge=judge_info(config, collected.relevance),
        profiles=shop_profiles(shops, config.evolution.human_share, config.seed),
    )


def judge_info(config: RunConfig, shops: Mapping[str, ShopRelevance]) -> JudgeInfo:
    """The judge, whether it can read the dialogues, and what relevance is worth to the `shops`."""
    judge = config.judge
    return JudgeInfo(
        similarity=_model_name(judge.similarity),
        relevance=_model_name(judge.relevance),
        languages=judge.languages,
        corpus_language=config.corpus.get("language"),
        withheld_reason=why_withheld(config),
        relevance_min_auc=judge.relevance_min_auc,
        shops=shops,
    )


def _model_name(node: Mapping[str, Any]) -> str:
    """The class, and where its weights lie if it has any."""
    return f"{_class_name(node)} {node['path']}" if "path" in node else _class_name(node)


def _class_name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rsplit(".", 1)[-1]


def _kneser_ney(config: RunConfig, shop: Shop) -> float | None:
    """A floor for perplexity: what a Kneser-Ney character model makes of the shop's test replies."""
    learned = natural_pairs(shop, config.evolution.human_share, config.seed)
    return kneser_ney_perplexity([pair.reply for pair in learned], [pair.reply for pair in shop.test])


def _runtime(
    result: FederationResult, hosts: Sequence[HostReport], metrics: Sequence[MetricRow], wall_seconds: float
) -> Runtime:
    steps = sum(row.steps for row in metrics)
    train_seconds = sum(record.seconds for record in result.rounds)
    services = sorted({name for host in hosts for name in host.service_seconds})
    largest = max(hosts, key=lambda host: host.shops_per_batch, default=None)
    return Runtime(
        wall_seconds=wall_seconds,
        client_steps=steps,
        client_steps_per_second=steps / train_seconds if train_seconds else 0.0,
        hosts=len(hosts),
        shops_per_batch=largest.shops_per_batch if largest is not None else 1,
        batch_reason=largest.batch_reason if largest is not None else "",
        service_seconds={name: sum(host.service_seconds.get(name, 0.0) for host in hosts) for name in services},
        base_loads=sum(host.base_loads for host in hosts),
        peak_rss_bytes=max((host.peak_rss_bytes for host in hosts), default=0),
        peak_gpu_bytes=max((host.peak_gpu_bytes for host in hosts), default=0),
        pass_tokens=largest.pass_tokens if largest is not None else None,
    )


def _privacy(
    config: RunConfig, plan: FederationPlan, metrics: Sequence[MetricRow], rounds: Sequence[RoundRecord]
) -> Privacy:
    name = getattr(locate(config.redaction, "redaction"), "name", None)
    spent = [row.epsilon for row in metrics if row.epsilon is not None]
    delta = None if config.privacy.epsilon is None else config.privacy.delta
    redaction = name if isinstance(name, str) else _class_name(config.redaction)
    of_records = Privacy(redaction, max(spent, default=None), delta, plan.secure is not None, {})
    if not plan.federated:
        return of_records
    shops = next((each for each in layers(plan.aggregator) if isinstance(each, ShopPrivacy)), None)
    if shops is None:
        return of_records
    releases = sum(record.aggregation is not None for record in rounds)
    return replace(of_records, shop_epsilon=shops.spent(releases), shop_delta=shops.delta)


def aggregation_rows(rounds: Sequence[RoundRecord]) -> tuple[AggregationRow, ...]:
    """What became of the shops' updates, one row for every aggregated round."""
    return tuple(
        AggregationRow(
            record.server_round,
            record.aggregation.relative_error,
            record.aggregation.aggregate_rank,
            record.aggregation.ranks,
            _adapter_bytes(record, "up"),
            _adapter_bytes(record, "down"),
            record.aggregation.server_seconds,
        )
        for record in rounds
        if record.aggregation is not None
    )


def _adapter_bytes(record: RoundRecord, direction: str) -> int:
    """Of adapters, of the control variates beside them, and of what hides them."""
    kinds = ("adapter", "control", "secure_aggregation")
    return sum(e.num_bytes for e in record.traffic if e.kind in kinds and e.direction == direction)


def versions() -> dict[str, str]:
    """ecc_fed and every main dependency."""
    found = {"ecc_fed": __version__}
    for name in _DEPENDENCIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
