"""A host's services as its shops see them: the same Protocols, whose calls meet in a rendezvous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from ecc_fed.core.protocols import Answering, EndModel, FeedbackSource, Judge, TeacherGateway
from ecc_fed.core.records import (
    AdapterState,
    Array,
    Asked,
    Feedback,
    FineTuneJob,
    FineTuneResult,
    FromCloud,
    Judgement,
    Likelihood,
    LikelihoodRequest,
    MeasuredReply,
    OwnExample,
    Pair,
    ReplyRequest,
    TeacherReply,
    TeacherRequest,
    Turn,
)
from ecc_fed.core.truth import Truth
from ecc_fed.evolution.settings import Services
from ecc_fed.hosts.batches import END_MODEL, JUDGE, TEACHER
from ecc_fed.hosts.rendezvous import Call, Rendezvous


def meeting_services(services: Services, rendezvous: Rendezvous) -> Services:
    """`services` for shops that run side by side."""
    return replace(
        services,
        end_model=_MeetingEndModel(services.end_model, rendezvous),
        judge=_MeetingJudge(services.judge, rendezvous),
        gateway=_MeetingGateway(services.gateway, rendezvous),
        feedback=_FeedbackInTurn(services.feedback, rendezvous),
        answering=_AnsweringInTurn(services.answering, rendezvous),
    )


class _MeetingEndModel:
    def __init__(self, model: EndModel, rendezvous: Rendezvous) -> None:
        self._model = model
        self._rendezvous = rendezvous

    def _meet(self, function: Any, items: Sequence[Any]) -> Any:
        return self._rendezvous.call(Call(END_MODEL, function, (items,)))

    def new_adapter(self, seed: int) -> AdapterState:
        return self._rendezvous.alone(self._model.new_adapter, seed)

    def count_tokens(self, text: str) -> int:
        return self._rendezvous.alone(self._model.count_tokens, text)

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        return cast(list[list[str]], self._meet(self._model.reply, requests))

    def measured_reply(self, requests: Sequence[ReplyRequest]) -> list[list[MeasuredReply]]:
        return cast(list[list[MeasuredReply]], self._meet(self._model.measured_reply, requests))

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        return cast(list[FineTuneResult], self._meet(self._model.fine_tune, jobs))

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        return cast(list[list[Likelihood]], self._meet(self._model.likelihood, requests))


class _MeetingJudge:
    def __init__(self, judge: Judge, rendezvous: Rendezvous) -> None:
        self.accept_score = judge.accept_score
        self._judge = judge
        self._rendezvous = rendezvous

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        call = Call(JUDGE, self._judge.judge, (queries, replies, cloud_replies))
        return cast(list[Judgement], self._rendezvous.call(call))

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        return cast(Array, self._rendezvous.call(Call(JUDGE, self._judge.relevance, (queries, replies))))


class _MeetingGateway:
    def __init__(self, gateway: TeacherGateway, rendezvous: Rendezvous) -> None:
        self.name = gateway.name
        self._gateway = gateway
        self._rendezvous = rendezvous

    def answer(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        return cast(list[TeacherReply], self._rendezvous.call(Call(TEACHER, self._gateway.answer, (requests,))))


class _AnsweringInTurn:
    """Each shop searches its own examples, and may do so by a model that takes one call at a time."""

    def __init__(self, answering: Answering, rendezvous: Rendezvous) -> None:
        self._answering = answering
        self._rendezvous = rendezvous

    def prepare(
        self, asked: Sequence[Asked], known: Sequence[OwnExample]
    ) -> Sequence[tuple[Turn, ...] | str | FromCloud]:
        return self._rendezvous.alone(self._answering.prepare, asked, known)


class _FeedbackInTurn:
    """Needs no batch, and may come from a class that knows nothing of threads."""

    def __init__(self, source: FeedbackSource, rendezvous: Rendezvous) -> None:
        self._source = source
        self._rendezvous = rendezvous

    def feedback(
        self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
    ) -> list[Feedback | None]:
        return self._rendezvous.alone(self._source.feedback, pairs, truths, replies, seed)
