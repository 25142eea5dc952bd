"""One run, from its config to its run directory."""

from __future__ import annotations

import logging
import time
from functools import partial

from ecc_fed.assembly.build import read_warm_start
from ecc_fed.assembly.evaluation_budget import check_evaluation_budget
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.language import why_unspoken, with_language
from ecc_fed.assembly.probe import probe_teacher, without
from ecc_fed.assembly.public_queries import with_queries
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.run_claim import new_run_id
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.owner import joint_digest, owner_of
from ecc_fed.evolution.public_set import refuse_tested
from ecc_fed.federation.checkpoint import drop_former, load_checkpoint, save_checkpoint
from ecc_fed.federation.results import Checkpoint
from ecc_fed.hosts.jobs import Hosts
from ecc_fed.hosts.reports import HostReport
from ecc_fed.runs.federation import run_federation
from ecc_fed.runs.hosting import HostDevices
from ecc_fed.runs.kept_hosts import keep_hosts, kept_hosts
from ecc_fed.runs.pooling import nodes_of, server_plan, with_drop_outs
from ecc_fed.runs.probing import probe_again
from ecc_fed.runs.progress import OnProgress, Stages
from ecc_fed.runs.reading import read_corpus
from ecc_fed.runs.written import Ran, write_run
from ecc_fed.teacher.gateway.budget import total

_LOG = logging.getLogger(__name__)


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
    if (mute := why_unspoken(config)) is not None:
        _LOG.warning("%s", mute)
    check_evaluation_budget(config, shops)
    read_warm_start(config, shops)  # a bad file is refused before any model is loaded
    plan = with_queries(build_plan(config), config)
    plan.check_shops(shop_ids)  # before models are loaded
    for shop in shops:
        refuse_tested(plan.queries, shop)
    plan.check_agreed(() if before is None else before[0].state.agreed)
    owners = [owner_of(shop, run_id) for shop in shops]
    dialogues = joint_digest(owners)
    # A server of Flower's own engines sees no dialogues; its shops' states are held to theirs all the same.
    if before is not None and before[1].dialogues_sha256 not in (dialogues, ""):
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

    def seconds() -> float:
        return seconds_before + time.perf_counter() - started

    def keep(checkpoint: Checkpoint) -> None:
        save_checkpoint(directory.server, checkpoint, run_id, dialogues, seconds())

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
    ran = Ran(run_id, config, plan, shops, truth, reading)
    asked = [entry for probe in probes for entry in probe.entries]
    write_run(directory, ran, with_drop_outs(result, plan, shop_ids), hosts.reports(), asked, seconds)
