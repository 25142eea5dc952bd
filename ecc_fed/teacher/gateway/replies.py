"""From what came of a call to what its asker gets."""

from __future__ import annotations

from dataclasses import replace

from ecc_fed.core.completion import Completion
from ecc_fed.core.protocols import RedactedSession
from ecc_fed.core.records import TeacherReply
from ecc_fed.teacher.gateway.cache import CachedReply
from ecc_fed.teacher.gateway.sending import Call
from ecc_fed.teacher.prompts import one_line


def reply_of_call(call: Call, repeated: bool) -> TeacherReply:
    """What came of a call, all attempts together; a repeated prompt shares the reply and costs nothing more.

    Raises:
        ValueError: the call was never sent.
    """
    completion = call.completion
    if completion is None:
        raise ValueError(f"call {call.key} was never brought to its end")
    return TeacherReply(
        text=completion.text,
        outcome=completion.outcome,
        model_version=completion.model_version,
        input_tokens=0 if repeated else call.input_tokens,
        output_tokens=0 if repeated else call.output_tokens,
        cost_usd=0.0 if repeated else call.cost_usd,
        latency_seconds=0.0 if repeated else call.latency_seconds,
        cached=repeated and completion.text is not None,
        detail=_why_none(call, completion),
    )


def stored_form(text: str, completion: Completion) -> CachedReply:
    """A reply as the cache keeps it."""
    return CachedReply(text, completion.model_version, completion.input_tokens, completion.output_tokens)


def reply_from_cache(reply: CachedReply) -> TeacherReply:
    """The stored reply. Its numbers say what this answer used: nothing."""
    return TeacherReply(reply.text, "ok", reply.model_version, cached=True)


def restored(session: RedactedSession, reply: TeacherReply) -> TeacherReply:
    """The reply with the customer's own values back in their places."""
    if reply.text is None:
        return reply
    try:
        return replace(reply, text=session.restore(reply.text))
    except Exception as error:
        detail = one_line(f"the reply could not be restored: {type(error).__name__}: {error}")
        return replace(reply, text=None, outcome="error", detail=detail)


def _why_none(call: Call, completion: Completion) -> str:
    """Why there is no reply, and how hard it was tried."""
    if completion.text is not None:
        return ""
    wish = completion.retry_after_seconds
    parts = [
        completion.detail,
        f"{call.attempts} attempts" if call.attempts > 1 else "",
        "" if wish is None else f"the server asks to wait {wish:g} s",
    ]
    return "; ".join(filter(None, parts))
