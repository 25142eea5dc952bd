"""From the shops' folders to the files of the run: one file each for samples, metrics, egress and texts kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ecc_fed.core.errors import DamagedState, RunDirectoryError
from ecc_fed.core.records import EgressEntry, TeacherText
from ecc_fed.core.rows import CloudCalls, EvaluationPhase, FailureRow, MetricRow, SampleRow, ShopRelevance, write_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.evaluation_files import load_evaluation
from ecc_fed.evolution.owner import Owner
from ecc_fed.evolution.scoring import recorded_relevance
from ecc_fed.evolution.shop_state import newest_state
from ecc_fed.evolution.spending import drop_saved_attempts, open_attempts
from ecc_fed.runs.attribution import ValuesOfShops, attributed
from ecc_fed.teacher.gateway.texts import TEACHER_TEXTS, read_texts

_PHASES: tuple[EvaluationPhase, EvaluationPhase] = ("base", "final")


@dataclass(frozen=True, slots=True)
class Collected:
    """What the shops left.

    Attributes:
        metrics: rows of `metrics.jsonl`.
        failures: what could not be read.
        evaluations: what was asked of the cloud for them.
        relevance: by shop, what it is worth there.
    """

    metrics: tuple[MetricRow, ...]
    failures: tuple[FailureRow, ...]
    evaluations: Mapping[EvaluationPhase, CloudCalls] = field(default_factory=dict)
    relevance: Mapping[str, ShopRelevance] = field(default_factory=dict)


def collect(
    directory: RunDirectory, owners: Sequence[Owner], traffic: Sequence[EgressEntry], values: ValuesOfShops
) -> Collected:
    """Writes samples.jsonl, metrics.jsonl and egress.jsonl; journals that hold nothing more are dropped.

    Texts for the teacher that shops have kept go into teacher_texts.jsonl, in the ledger's order.

    A shop's state or evaluation that is damaged is left out, and told.

    Args:
        directory: the run's.
        owners: the run's shops, in the order of the files.
        traffic: what went between shops and server; it follows what the shops' own ledgers hold.
        values: tell whose value a wrong answer states.

    Raises:
        RunDirectoryError: a file cannot be written.
    """
    samples: list[SampleRow] = []
    metrics: list[MetricRow] = []
    egress: list[EgressEntry] = []
    failures: list[FailureRow] = []
    evaluations = dict.fromkeys(_PHASES, CloudCalls())
    for owner in owners:
        folder = directory.shop(owner.shop_id)
        try:
            state = newest_state(folder, owner=owner)
            if state is not None:
                metrics += state.metrics
                egress += state.egress
            # What work asked that failed for good, and after which nothing was saved.
            egress += [entry for attempt in open_attempts(folder) for entry in attempt.entries]
        except RunDirectoryError as error:
            failures.append(_failure(owner, error))
        for phase in _PHASES:
            try:
                evaluation = load_evaluation(folder, phase, owner)
            except DamagedState as error:
                failures.append(_failure(owner, error))
                continue
            if evaluation is not None:
                samples += evaluation.rows
                egress += evaluation.egress
                evaluations[phase] += evaluation.calls
    metrics.sort(key=lambda row: (row.server_round, row.cycle))  # stable: shop order within
    write_rows(directory.samples, (attributed(row, values) for row in samples))
    write_rows(directory.metrics, metrics)
    write_rows(directory.egress, [*egress, *traffic])
    failures += _collect_texts(directory, owners, egress)
    for owner in owners:
        with suppress(RunDirectoryError):  # told already
            drop_saved_attempts(directory.shop(owner.shop_id))
    worth = {owner.shop_id: recorded_relevance(directory.shop(owner.shop_id)) for owner in owners}
    relevance = {shop_id: found for shop_id, found in worth.items() if found is not None}
    return Collected(tuple(metrics), tuple(failures), evaluations, relevance)


def _collect_texts(directory: RunDirectory, owners: Sequence[Owner], egress: Sequence[EgressEntry]) -> list[FailureRow]:
    """Threads wrote the shops' files, each in its own time; the ledger has an order. None kept is no file.

    Returns:
        What could not be read.
    """
    places: dict[tuple[str, str], int] = {}
    for place, entry in enumerate(egress):
        places.setdefault((entry.shop_id, entry.digest), place)
    kept: list[TeacherText] = []
    failures = []
    for owner in owners:
        try:
            kept += read_texts(directory.shop(owner.shop_id) / TEACHER_TEXTS)
        except RunDirectoryError as error:
            failures.append(_failure(owner, error))
    if kept:
        last = len(egress)
        kept.sort(key=lambda text: (places.get((text.shop_id, text.digest), last), text.digest))
        write_rows(directory.teacher_texts, kept)
    return failures


def _failure(owner: Owner, error: RunDirectoryError) -> FailureRow:
    return FailureRow("state_damaged", str(error), shop_id=owner.shop_id)
