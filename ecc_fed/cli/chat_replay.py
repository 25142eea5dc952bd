"""`ecc-fed chat --replay`: the marked queries answered again, and how far marks and automated score agree."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecc_fed.core.errors import UserError
from ecc_fed.core.records import Judgement
from ecc_fed.core.rows import write_record
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, bootstrap_mean, bootstrap_paired_difference
from ecc_fed.evolution.review.marks import Agreement, Verdict, agreement
from ecc_fed.evolution.review.replay import Replayed, replay
from ecc_fed.evolution.review.session import Review


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One marked query of `replay.json`: what was said and scored then, and now."""

    pair_id: str
    query: str
    mark: Verdict
    reply_then: str
    reply_now: str
    verdict_now: Verdict | None
    reference: str | None
    final_score_then: float | None
    final_score_now: float | None


@dataclass(frozen=True, slots=True)
class FinalScores:
    """Mean final scores of the marked queries, and their paired difference."""

    then: Estimate | None
    now: Estimate | None
    change: Estimate | None


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """`replay.json`."""

    shop_id: str
    lessons: int
    accept_score: float
    agreement: Agreement
    final_score: FinalScores
    queries: tuple[ReplayRow, ...]


def print_replay(review: Review, console: Console) -> None:
    """Prints the table and the agreement, and keeps both in replay.json beside the marks.

    Raises:
        UserError: nothing was marked yet.
    """
    if not review.marks:
        raise UserError(f"{review.shop.shop_id} has no marks yet: talk to it first, and mark its replies.")
    rows = replay(review)
    console.print(_table(review, rows), soft_wrap=False)
    seed = derive_seed(review.seed, "chat_replay", review.shop.shop_id)
    scored = [(row.then.final_score, row.now.final_score) for row in rows if row.then and row.now]
    units, first, second = Units.single(len(scored)), [a for a, _ in scored], [b for _, b in scored]
    then, now = bootstrap_mean(first, units, seed), bootstrap_mean(second, units, seed)
    gain = bootstrap_paired_difference(second, first, units, seed)
    console.print(f"Mean final score: then {_text(then)}, now {_text(now)}, change {_text(gain)}.")
    found = agreement(review.marks, review.accept_score, seed)
    console.print(
        f"Marks and automated score at the threshold {review.accept_score:g}: "
        f"Cohen's kappa {_text(found.kappa)}, ROC AUC {_text(found.auc)}."
    )
    console.print(
        f"{found.marked} replies marked, {found.good} of them good; {found.scored} have a final score "
        "(the others: the cloud was not asked). Intervals: 95%, bootstrap over replies of this shop."
    )
    if found.auc is None:
        console.print("An area needs scored replies of both kinds, good and bad.")
    path = review.folder / "replay.json"
    write_record(
        path,
        ReplayRecord(
            review.shop.shop_id,
            review.lessons,
            review.accept_score,
            found,
            FinalScores(then, now, gain),
            tuple(map(_row, rows)),
        ),
    )
    console.print(f"The same for other tools: {path}", markup=False)


def _table(review: Review, rows: list[Replayed]) -> Table:
    title = f"{review.shop.shop_id}, after {review.lessons} lessons: every marked query again"
    table = Table(title=Text(title), title_justify="left")
    for column in ("query", "reply then", "mark", "score", "reply now", "score"):
        table.add_column(column, overflow="fold")
    for row in rows:
        now = row.reply if row.reply != row.first.reply else "(the same)"
        verdict = f" [{row.verdict}]" if row.verdict and row.reply != row.first.reply else ""
        cells = (
            row.first.query,
            row.first.reply,
            row.first.mark,
            _score(row.then),
            f"{now}{verdict}",
            _score(row.now),
        )
        table.add_row(*map(Text, cells))
    return table


def _score(judgement: Judgement | None) -> str:
    return "-" if judgement is None else f"{judgement.final_score:.2f}"


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.2f}"
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _row(row: Replayed) -> ReplayRow:
    return ReplayRow(
        pair_id=row.first.pair_id,
        query=row.first.query,
        mark=row.first.mark,
        reply_then=row.first.reply,
        reply_now=row.reply,
        verdict_now=row.verdict,
        reference=row.reference,
        final_score_then=None if row.then is None else row.then.final_score,
        final_score_now=None if row.now is None else row.now.final_score,
    )
