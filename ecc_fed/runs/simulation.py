"""One run, from its config to its run directory."""

from __future__ import annotations

import time
from functools import partial

from ecc_fed.assembly.build import adapter_writer, build_corpus, read_warm_start, whole_aggregate
from ecc_fed.assembly.evaluation_budget import check_evaluation_budget
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.language import with_language
from ecc_fed.assembly.probe import probe_teacher, without
from ecc_fed.assembly.public_queries import with_queries
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Shop
from ecc_fed.core.rows import Reading, write_record, write_rows
from ecc_fed.core.run_claim import new_run_id
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.owner import joint_digest, owner_of
from ecc_fed.evolution.public_set import refuse_tested
from ecc_fed.federation.checkpoint import drop_former, load_checkpoint, save_checkpoint
from ecc_fed.federation.results import Checkpoint
from ecc_fed.hosts.jobs import Hosts
from ecc_fed.hosts.reports import HostReport
from ecc_fed.runs.attribution import values_of_shops
from ecc_fed.runs.collect import collect
from ecc_fed.runs.federation import run_federation
from ecc_fed.runs.hosting import HostDevices
from ecc_fed.runs.kept_hosts import keep_hosts, kept_hosts
from ecc_fed.runs.pooling import nodes_of, server_plan, with_drop_outs
from ecc_fed.runs.probing import probe_again
from ecc_fed.runs.progress import OnProgress, Stages
from ecc_fed.runs.reading import reading_of
from ecc_fed.runs.run_info import run_info
from ecc_fed.runs.updates import agreed_rows, update_rows
from ecc_fed.teacher.gateway.budget import total


def read_corpus(config: RunConfig) -> tuple[list[Shop], dict[str, ShopTruth], Reading | None]:
    """Every shop, what is true of each of them, by shop_id, and what was lost as they were read.

    Raises:
        CorpusError: as `Corpus.shop`; or there is no shop.
    """
    corpus = build_corpus(config)
    reading = reading_of(corpus)
    shops, truth = [], {}
    for shop_id in corpus.shop_ids():
        shops.append(corpus.shop(shop_id))
        truth[shop_id] = corpus.truth(shop_id)
    if not shops:
        raise CorpusError("The corpus has no shops. Check corpus.path, or ask for fewer with corpus.num_shops.")
    return shops, truth, reading


def simulate(
    config: RunConfig, directory: RunDirectory, hosts: Hosts, on_progress: OnProgress, run_id: str | None = None
) -> None:
    """Runs an arm and leaves its files in `directory`; `run.json` comes last and marks a finished run.

    A run that was stopped goes on from its last finished round, and ends equal to one that never was.

    Args:
        config: the run.
        directory: where its files go.
        hosts: from `open_hosts`.
        on_progress: called as each shop finishes a stage.
        run_id: from the claim on `directory`; states of another run there are refused. None makes one up.

    Raises:
        EccError: the user's mistake, or a run that cannot go on.
    """
    started = time.perf_counter()
    run_id = run_id or new_run_id()
    before = load_checkpoint(directory.server, run_id)
    drop_former(directory.server)
    probes = probe_again(directory, partial(probe_teacher, config))
    left = without(config, total([probe.spent for probe in probes]))
    on_progress("reading the corpus", 0, 1)
    shops, truth, reading = read_corpus(config)
    shop_ids = [shop.shop_id for shop in shops]
    spoken = None if reading is None else reading.language
    config, left = with_language(config, spoken), with_language(left, spoken)
    check_evaluation_budget(config, shops)
    read_warm_start(config, shops)  # a bad file is refused before any model is loaded
    plan = with_queries(build_plan(config), config)
    plan.check_shops(shop_ids)  # before models are loaded
    for shop in shops:
        refuse_tested(plan.queries, shop)
    plan.check_agreed(() if before is None else before[0].state.agreed)
    owners = [owner_of(shop, run_id) for shop in shops]
    dialogues = joint_digest(owners)
    if before is not None and before[1].dialogues_sha256 != dialogues:
        raise CorpusError(
            f"{directory.root}: the corpus is not what it was when the run started, so the run cannot go on. Bring "
            "back its files, or start the run again in another folder."
        )
    seconds_before = 0.0 if before is None else before[1].seconds
    rounds = range(1, plan.arm.server_rounds + 1)
    nodes, played = nodes_of(plan, shop_ids), server_plan(plan, shop_ids)
    a_round = [len(played.participation.of_round(each, nodes).present) for each in rounds]
    stages = Stages(on_progress, len(nodes), a_round, before and before[0].state.server_round)
    stages.loading()

    def keep(checkpoint: Checkpoint) -> None:
        seconds = seconds_before + time.perf_counter() - started
        save_checkpoint(directory.server, checkpoint, run_id, dialogues, seconds)

    def ready(reports: tuple[HostReport, ...]) -> None:
        keep_hosts(directory, reports)
        stages.hosts_ready(reports)

    result = run_federation(
        played,
        nodes,
        HostDevices(left, shops, truth, directory, run_id, tuple(shop_ids), plan.participation),
        hosts,
        settings=config.runtime,
        kept=kept_hosts(directory),
        on_open=ready,
        on_progress=stages.shop_done,
        resume=before and before[0],
        on_checkpoint=keep,
    )
    result = with_drop_outs(result, plan, shop_ids)
    collected = collect(
        directory,
        owners,
        [*(entry for probe in probes for entry in probe.entries), *result.traffic],
        values_of_shops(truth),
    )
    write_rows(directory.updates, update_rows(result.rounds))
    if plan.asks(1):
        write_rows(directory.agreed, agreed_rows(result.rounds))
    if result.state.aggregate is not None:
        adapter_writer(config)(directory.aggregate, whole_aggregate(config, result.state.aggregate))
    seconds = seconds_before + time.perf_counter() - started
    told = run_info(run_id, config, shops, plan, result, hosts.reports(), collected, seconds, reading)
    write_record(directory.run, told)
