"""What one phase of a run asked of the cloud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ecc_fed.core.records import RedactionCounts, TeacherReply


@dataclass(frozen=True, slots=True)
class CloudCalls:
    """Requests with their ends. Tokens and cost are without what the cache answered; `errors` counts by reason."""

    requests: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)
    redaction: RedactionCounts = field(default_factory=RedactionCounts)

    def __add__(self, other: CloudCalls) -> CloudCalls:
        errors = {
            reason: self.errors.get(reason, 0) + other.errors.get(reason, 0)
            for reason in sorted({*self.errors, *other.errors})
        }
        return CloudCalls(
            self.requests + other.requests,
            self.cached + other.cached,
            self.failed + other.failed,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
            errors,
            self.redaction + other.redaction,
        )


def calls_of(replies: Sequence[TeacherReply]) -> CloudCalls:
    """What these replies took."""
    paid = [reply for reply in replies if not reply.cached]
    errors = Counter(f"{reply.outcome}: {reply.detail}" for reply in replies if reply.text is None)
    return CloudCalls(
        requests=len(replies),
        cached=len(replies) - len(paid),
        failed=errors.total(),
        input_tokens=sum(reply.input_tokens for reply in paid),
        output_tokens=sum(reply.output_tokens for reply in paid),
        cost_usd=sum(reply.cost_usd for reply in paid),
        errors=dict(sorted(errors.items())),
        redaction=redaction_of(replies),
    )


def redaction_of(replies: Sequence[TeacherReply]) -> RedactionCounts:
    """What redaction did for these replies."""
    return sum((reply.redaction for reply in replies), RedactionCounts())
