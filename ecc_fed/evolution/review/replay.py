"""Marked queries as an evaluation set: the shop answers each again, scored against what was said then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.records import Judgement, ReplyRequest, TeacherReply
from ecc_fed.evolution.loop import judge_replies
from ecc_fed.evolution.review.marks import Mark, Verdict
from ecc_fed.evolution.review.session import Review


@dataclass(frozen=True, slots=True)
class Replayed:
    """One marked query.

    Attributes:
        first: its first mark, with the reply of then.
        reply: what the shop says now.
        verdict: what the human said of this very reply, if they ever marked it.
        reference: what both replies are scored against: the human's better answer, else the
            cloud's; None where there was neither.
        then, now: the final scores.
    """

    first: Mark
    reply: str
    verdict: Verdict | None
    reference: str | None
    then: Judgement | None
    now: Judgement | None


def replay(review: Review) -> list[Replayed]:
    """Answers every marked query with the shop's newest adapter; asks no cloud and changes nothing.

    Where the cloud answers in the shop's place, its reply is the one that was marked last.
    """
    by_query: dict[str, list[Mark]] = {}
    for mark in review.marks:
        by_query.setdefault(mark.pair_id, []).append(mark)
    if not by_query:
        return []
    groups = list(by_query.values())
    pairs = [review.pair_of(group[0].context, group[0].query) for group in groups]
    # Each with the draws of then: a reply depends on its own seed and its place, the first, in the request.
    prepared = review.prepared(pairs)
    requests = [
        ReplyRequest(review.answering, (prompt,), review.settings.decoding, group[0].reply_seed)
        for prompt, group in zip(prepared, groups, strict=True)
        if isinstance(prompt, tuple)
    ]
    drawn = iter(review.services.end_model.reply(requests) if requests else ())
    replies = [
        next(drawn)[0] if isinstance(prompt, tuple) else prompt if isinstance(prompt, str) else group[-1].reply
        for prompt, group in zip(prepared, groups, strict=True)
    ]
    references = [_reference(group) for group in groups]
    answers = [None if text is None else TeacherReply(text, "ok", "") for text in references]
    then = judge_replies(pairs, [group[0].reply for group in groups], answers, review.services)
    now = judge_replies(pairs, replies, answers, review.services)
    return [
        Replayed(group[0], reply, _verdict(group, reply), reference, before, after)
        for group, reply, reference, before, after in zip(groups, replies, references, then, now, strict=True)
    ]


def _reference(marks: Sequence[Mark]) -> str | None:
    better = [mark.better for mark in marks if mark.better is not None]
    cloud = [mark.cloud_reply for mark in marks if mark.cloud_reply is not None]
    known = better or cloud
    return known[-1] if known else None


def _verdict(marks: Sequence[Mark], reply: str) -> Verdict | None:
    return next((mark.mark for mark in reversed(marks) if mark.reply == reply), None)
