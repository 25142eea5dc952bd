"""One run, from its config to its run directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ecc_fed.assembly.build import adapter_writer, build_corpus, build_devices, build_strategy, read_warm_start
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Shop
from ecc_fed.core.run_directory import RunDirectory, write_json
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.bigram import bigram_perplexity
from ecc_fed.evolution.device import ShopDevices, natural_pairs
from ecc_fed.federation.arms import ArmPlan
from ecc_fed.hosts.jobs import Hosts
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.start import HostPool, ray_hosts, run_federation
from ecc_fed.runs.attribution import values_of_shops
from ecc_fed.runs.collect import aggregation_rows, collect, failures, versions

# (stage, done, total)
OnProgress = Callable[[str, int, int], None]


def arm_plan(config: RunConfig) -> ArmPlan:
    """The server rounds of the run's arm."""
    rounds = config.evolution.server_rounds if config.arm.evolve else 0
    aggregate = config.arm.aggregate and rounds > 0
    return ArmPlan(rounds, aggregate, config.arm.personal_rounds if aggregate else 0)


def host_pool(config: RunConfig) -> HostPool:
    """The hosts that the run asks for."""
    runtime = config.runtime
    return HostPool(runtime.hosts, runtime.threads_per_host, runtime.gpus_per_host, runtime.ray_address)


@contextmanager
def open_hosts(config: RunConfig) -> Iterator[Hosts]:
    """The run's hosts on Ray, reusable for every run that asks for the same pool."""
    with ray_hosts(host_pool(config)) as hosts:
        yield hosts


def host_settings(config: RunConfig) -> HostSettings:
    """What every host of the run may use."""
    runtime = config.runtime
    return HostSettings(
        shops_per_batch=runtime.shops_per_batch,
        use_gpu=runtime.gpus_per_host > 0,
        gpu_memory_gib=runtime.gpu_memory_gib,
        host_memory_gib=runtime.host_memory_gib,
        imports=("torch", "transformers.modeling_utils"),
    )


def host_devices(
    config: RunConfig,
    shops: Sequence[Shop],
    truth: Mapping[str, ShopTruth],
    directory: RunDirectory,
    shop_ids: tuple[str, ...],
) -> ShopDevices:
    """Runs inside a host: the devices of its shops."""
    import torch  # hosts alone need it

    torch.set_num_threads(config.runtime.threads_per_host)
    wanted = frozenset(shop_ids)
    mine = [shop for shop in shops if shop.shop_id in wanted]
    return build_devices(config, mine, {id_: truth[id_] for id_ in shop_ids}, directory, len(shops))


def read_corpus(config: RunConfig) -> tuple[list[Shop], dict[str, ShopTruth]]:
    """Every shop, and what is true of each of them, by shop_id.

    Raises:
        CorpusError: as `Corpus.shop`.
    """
    corpus = build_corpus(config)
    shops, truth = [], {}
    for shop_id in corpus.shop_ids():
        shops.append(corpus.shop(shop_id))
        truth[shop_id] = corpus.truth(shop_id)
    return shops, truth


def _bigrams(config: RunConfig, shops: Sequence[Shop]) -> dict[str, float | None]:
    return {
        shop.shop_id: bigram_perplexity(
            [pair.reply for pair in natural_pairs(shop, config.evolution.human_share, config.seed)],
            [pair.reply for pair in shop.test],
        )
        for shop in shops
    }


def simulate(config: RunConfig, directory: RunDirectory, hosts: Hosts, on_progress: OnProgress) -> None:
    """Runs an arm and leaves its files in `directory`; `run.json` comes last and marks a finished run.

    Args:
        config: the run.
        directory: where its files go.
        hosts: from `open_hosts`.
        on_progress: called as each shop finishes a stage.

    Raises:
        EccError: the user's mistake, or a run that cannot go on.
    """
    started = time.perf_counter()
    on_progress("reading the corpus", 0, 1)
    shops, truth = read_corpus(config)
    if not shops:
        raise CorpusError("The corpus has no shops. Check corpus.path, or ask for fewer with corpus.num_shops.")
    shop_ids = [shop.shop_id for shop in shops]
    read_warm_start(config, shops)  # a bad file is refused before any model is loaded
    plan = arm_plan(config)
    total, done = len(shops) * (plan.server_rounds + 2), 0

    def shop_done(phase: str, server_round: int, shop_id: str, seconds: float) -> None:
        nonlocal done
        done += 1
        stage = f"round {server_round} of {plan.server_rounds}" if phase == "train" else f"evaluating ({phase})"
        on_progress(stage, done, total)

    def hosts_ready(reports: Sequence[HostReport]) -> None:
        most = max(report.shops_per_batch for report in reports)
        on_progress(f"{len(reports)} hosts, {most} shops side by side ({reports[0].batch_reason})", 0, total)

    on_progress("loading the models", 0, total)
    result = run_federation(
        plan,
        shop_ids,
        partial(host_devices, config, shops, truth, directory),
        hosts,
        strategy=build_strategy(config),
        settings=host_settings(config),
        on_open=hosts_ready,
        on_progress=shop_done,
    )
    reports = hosts.reports()
    metrics = collect(directory, shop_ids, result, values_of_shops(truth))
    if result.state.aggregate is not None:
        adapter_writer(config)(directory.aggregate, result.state.aggregate)
    seconds = time.perf_counter() - started
    steps = sum(row["steps"] for row in metrics)
    train_seconds = sum(record.seconds for record in result.rounds)
    write_json(
        directory.run,
        {
            "schema": 1,
            "arm": config.arm.name,
            "seed": config.seed,
            "shops": shop_ids,
            "server_rounds": plan.server_rounds,
            "cycles": config.evolution.cycles,
            "personal_rounds": plan.personal_rounds,
            # The others answer with the server's last aggregate, if there is one.
            "shops_on_their_own": sorted(result.state.adopted),
            "corpus": config.corpus["_target_"].rsplit(".", 1)[-1],
            "platform_share": config.corpus.get("platform_share"),
            "language": config.corpus.get("language", "zh"),
            "teacher": config.teacher["_target_"].rsplit(".", 1)[-1],
            "bigram_perplexity": _bigrams(config, shops),
            "runtime": {
                "wall_seconds": seconds,
                "client_steps": steps,
                "client_steps_per_second": steps / train_seconds if train_seconds else 0.0,
                "hosts": len(reports),
                "shops_per_batch": max((host.shops_per_batch for host in reports), default=1),
                "batch_reason": reports[0].batch_reason if reports else "",
                "service_seconds": _service_seconds(reports),
                "base_loads": sum(host.base_loads for host in reports),
                "peak_rss_bytes": max((host.peak_rss_bytes for host in reports), default=0),
                "peak_gpu_bytes": max((host.peak_gpu_bytes for host in reports), default=0),
            },
            "privacy": _privacy(config),
            "failures": failures(result, reports, metrics),
            "aggregation": aggregation_rows(result.rounds),
            "versions": versions(),
        },
    )


def _service_seconds(hosts: Sequence[HostReport]) -> dict[str, float]:
    """Seconds that all hosts together spent in each service."""
    names = sorted({name for host in hosts for name in host.service_seconds})
    return {name: sum(host.service_seconds.get(name, 0.0) for host in hosts) for name in names}


def _privacy(config: RunConfig) -> dict[str, Any]:
    """What protects the run."""
    redaction = config.redaction["_target_"].rsplit(".", 1)[-1]
    return {
        "redaction": "none" if redaction == "NoRedaction" else redaction,
        "epsilon": None,
        "delta": None,
        "secagg": False,
        "attacks": {},
    }
