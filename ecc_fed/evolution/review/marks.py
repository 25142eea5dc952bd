"""What a human said of a shop's replies: an append-only file, and its agreement with the automated score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecc_fed.core.records import Turn
from ecc_fed.core.rows import append_rows, read_rows
from ecc_fed.core.statistics import Estimate, Units, bootstrap_auc, bootstrap_kappa

Verdict = Literal["good", "bad", "better"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One verdict on one reply.

    Attributes:
        time: when, ISO 8601 in UTC.
        pair_id: stands for shop, context and query.
        context, query, reply: what was asked and answered.
        mark: the verdict; "better" is bad, with the human's own answer in `better`.
        better: the human's better answer.
        label: what the adapter was to learn, from the cloud or the human; None where there was nothing.
        cloud_reply, cloud_model: the cloud's answer, where it was asked.
        similarity to accepted: as in `Judgement`; all but the relevance need the cloud's answer.
        reply_seed: the reply's draws.
        adapter_sha256: which adapter answered; None is the bare base.
        model, model_sha256: the base's path and fingerprint.
    """

    time: str
    shop_id: str
    pair_id: str
    context: tuple[Turn, ...]
    query: str
    reply: str
    mark: Verdict
    better: str | None
    label: str | None
    cloud_reply: str | None
    cloud_model: str | None
    similarity: float | None
    relevance: float
    cloud_relevance: float | None
    final_score: float | None
    relevance_trusted: bool | None
    accepted: bool | None
    reply_seed: int
    adapter_sha256: str | None
    model: str
    model_sha256: str

    @property
    def good(self) -> bool:
        """The human was content."""
        return self.mark == "good"


def append_mark(path: Path, mark: Mark) -> None:
    """Adds one line, whole or not at all.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    append_rows(path, [mark])


def read_marks(path: Path) -> list[Mark]:
    """All marks, oldest first; none where there is no file. A line that a killed process left torn is left out.

    Raises:
        RunDirectoryError: the file cannot be read, or a line of it is no mark.
    """
    return read_rows(path, Mark, torn_tail=True, remedy="repair or remove that line") if path.exists() else []


def last_words(marks: Iterable[Mark]) -> list[Mark]:
    """One mark a reply: whoever marks a reply again means the later one."""
    return list({(mark.pair_id, mark.reply): mark for mark in marks}.values())


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far marks and automated score say the same.

    Attributes:
        kappa: Cohen's kappa of "good" against "final score at or above the accept score", below
            which a reply is escalated.
        auc: the chance that a good reply scores above a bad one.
        scored: replies with a mark and a score. The others have no score: the cloud was not asked.
        marked: replies with a mark.
    """

    kappa: Estimate | None
    auc: Estimate | None
    scored: int
    marked: int
    good: int


def agreement(marks: Sequence[Mark], accept_score: float, seed: int) -> Agreement:
    """Agreement over replies, each by its last mark.

    Intervals draw replies of this one shop, each by itself: marks know no dialogues.
    """
    replies = last_words(marks)
    known = [(mark.good, mark.final_score) for mark in replies if mark.final_score is not None]
    good = [verdict for verdict, _ in known]
    scores = [score for _, score in known]
    units = Units.single(len(known))
    return Agreement(
        bootstrap_kappa(good, [score >= accept_score for score in scores], units, seed),
        bootstrap_auc(scores, good, units, seed),
        len(known),
        len(replies),
        sum(mark.good for mark in replies),
    )
