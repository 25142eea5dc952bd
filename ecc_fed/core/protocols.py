"""The seams between rooms. A user's own part is a class that satisfies one of these and a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from ecc_fed.core.records import (
    AdapterState,
    Array,
    EgressEntry,
    EvaluationReport,
    Feedback,
    FineTuneJob,
    FineTuneResult,
    Judgement,
    Likelihood,
    LikelihoodRequest,
    Pair,
    PrivateValue,
    ReplyRequest,
    Shop,
    TeacherReply,
    TeacherRequest,
    TrainReport,
    Turn,
)


class EndModel(Protocol):
    """A resident base that serves and trains many adapters, a batch at a time.

    Results keep the order of the requests and never depend on who shares the batch.
    """

    def new_adapter(self, seed: int) -> AdapterState:
        """A fresh adapter. LoRA and its kin leave the base's output unchanged (B = 0); a prefix does not."""
        ...

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        """One text for every prompt of every request."""
        ...

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        """One result for every job."""
        ...

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        """One likelihood for every example of every request."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` under the end model's tokenizer, without special tokens."""
        ...


class TextEncoder(Protocol):
    """Maps texts to unit vectors, so that a dot product is a cosine."""

    def encode(self, texts: Sequence[str]) -> Array:
        """(texts, dimensions), rows of unit L2 norm, fp32."""
        ...


class SimilarityModel(Protocol):
    """How close two texts are in meaning, 0 to 1."""

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Array:
        """(pairs,), each in [0, 1]."""
        ...


class RelevanceModel(Protocol):
    """How well a reply answers a query, 0 to 1."""

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """(pairs,), each in [0, 1]."""
        ...


class Judge(Protocol):
    """Scores replies by Eq. (1) against the cloud's replies."""

    accept_score: float

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        """One judgement for every (query, reply, cloud reply)."""
        ...

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        """Relevance alone, which needs no cloud reply."""
        ...


class FeedbackSource(Protocol):
    """The customer's own verdict on a reply; None where the customer says nothing."""

    def feedback(self, pairs: Sequence[Pair], replies: Sequence[str], seed: int) -> list[Feedback | None]:
        """One verdict for every (pair, reply)."""
        ...


class Teacher(Protocol):
    """A large cloud model. `answer` returns an outcome for every request and never raises for one."""

    name: str

    def answer(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply for every request, in order."""
        ...


class RedactedSession(Protocol):
    """Redacted turns with the map that undoes it; the map never leaves the device."""

    turns: tuple[Turn, ...]

    def restore(self, text: str) -> str:
        """Puts the customer's own values back into a reply."""
        ...


class Redactor(Protocol):
    """Takes private values out of turns before they leave a shop."""

    name: str

    def redact(self, turns: Sequence[Turn], known: Sequence[PrivateValue]) -> RedactedSession:
        """Redacted turns; `known` is what the device's own order record tells."""
        ...


class Ledger(Protocol):
    """Where every byte that leaves a shop is written down."""

    def record(self, entry: EgressEntry) -> None:
        """Appends one entry."""
        ...


class Corpus(Protocol):
    """Yields the shops of a run: private dialogues, split in time."""

    def shops(self) -> list[Shop]:
        """The run's shops, in a fixed order.

        Raises:
            CorpusError: nothing readable, or too little for the shops asked for.
        """
        ...


class Device(Protocol):
    """The shops of one host. Each call concerns one shop and persists that shop's state whole or not at all."""

    shop_ids: tuple[str, ...]

    def train(self, shop_id: str, server_round: int, incoming: AdapterState | None) -> TrainReport:
        """One round of evolution: serve, judge, label, fine-tune, remember.

        `incoming` is the server's adapter; None means the shop goes on with its own (or, in its
        first round, with a fresh one).
        """
        ...

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        """Answers and scores the shop's test pairs; rows are kept with the shop's state.

        `phase="base"` evaluates the bare base; `phase="final"` evaluates `incoming`, or the
        shop's own adapter if `incoming` is None.
        """
        ...
