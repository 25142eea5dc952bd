"""From what came of a call to what its asker gets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ecc_fed.core.completion import Completion
from ecc_fed.core.protocols import RedactedSession
from ecc_fed.core.records import RedactionCounts, TeacherReply
from ecc_fed.privacy.redaction.others import Others
from ecc_fed.privacy.redaction.placeholders import TYPED
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


def restored(session: RedactedSession, others: Others, reply: TeacherReply) -> TeacherReply:
    """The reply with the customer's own values back in their places; none that holds those of an example's customer."""
    try:
        taken = Counter(each.kind for each in session.hidden if each.placeholder and each.kind != TYPED)
        counts = RedactionCounts(dict(sorted(taken.items())), others.count)
        if reply.text is None:
            return replace(reply, redaction=counts)
        back = session.restore(reply.text)
        refused = others.why_refused(reply.text, session, back)
    except Exception as error:
        detail = one_line(f"the reply could not be restored: {type(error).__name__}: {error}")
        return replace(reply, text=None, outcome="error", detail=detail)
    if refused:
        counts = replace(counts, refused=1)
        return replace(reply, text=None, outcome="refused", detail=refused, redaction=counts)
    counts = replace(counts, restored=int(back.values > 0), unknown=len(back.unknown))
    if not back.text.strip():
        detail = "nothing is left of the reply without placeholders that stand for nothing"
        return replace(reply, text=None, outcome="malformed", detail=detail, redaction=counts)
    return replace(reply, text=back.text, redaction=counts)


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
