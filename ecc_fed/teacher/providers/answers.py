"""From what a provider said, or how it failed, to the gateway's `Completion`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ecc_fed.core.completion import Completion, Speakers, estimate_tokens
from ecc_fed.core.records import Outcome
from ecc_fed.teacher.prompts import one_line
from ecc_fed.teacher.providers.prices import Price
from ecc_fed.teacher.providers.spoken import spoken

_DETAIL_CHARACTERS = 300
# HTTP status -> outcome; other 5xx are "unavailable", other 4xx "error".
_STATUS: dict[int, Outcome] = {408: "timeout", 429: "rate_limited", 504: "timeout"}
_REMEDIES = {
    401: "check the key in the variable that teacher.api_key_env names",
    403: "check what the key in the variable that teacher.api_key_env names may do",
    404: "check teacher.model and teacher.base_url: models retire, and ids differ between servers",
    413: "the prompt is too long: lower evolution.teacher_examples",
}
_UNCONNECTED = {"ConnectError", "ConnectTimeout", "ConnectTimeoutError", "NewConnectionError"} | {
    "ConnectionRefusedError", "NameResolutionError", "gaierror", "SSLCertVerificationError",
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")
# How many times the longest reply's tokens, by rule of thumb, a reply may seem to have.
_TOLERATED_LENGTH = 2


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as a provider states them, whatever it sent in their place.

    `output_tokens` include thoughts, which are charged as output; `cached_tokens` are those of
    `input_tokens` that the provider's prompt cache held.
    """

    input_tokens: Any
    output_tokens: Any
    cached_tokens: Any = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer in common terms. `stop` is "end", "length", or the provider's word for why it holds back.

    `usage` is None where the provider states none; `fault` says why this is no answer of its interface.
    """

    text: str
    stop: str
    blocked: bool
    model_version: str
    usage: Usage | None
    fault: str = ""


def completion_of(answer: Answer, price: Price, speakers: Speakers, max_output_tokens: int) -> Completion:
    """The completion: "blocked", "malformed" (cut, empty, or far longer than `max_output_tokens`) or "ok"."""
    text, cut = spoken(answer.text, speakers)
    outcome: Outcome = "ok"
    detail = ""
    if answer.fault:
        outcome, detail = "malformed", answer.fault
    elif answer.blocked:
        outcome, detail = "blocked", f"held back by the provider: {answer.stop}"
    elif answer.stop == "length":
        # Half a reply as a label would teach the end model to stop in mid-sentence.
        outcome, detail = "malformed", "the reply was cut at teacher.max_output_tokens: raise it, or let it think less"
    elif answer.stop != "end":
        outcome, detail = "malformed", f"the reply ended for the reason {answer.stop}"
    elif not text:
        outcome, detail = "malformed", f"nothing of the reply is left without {cut}" if cut else "the reply is empty"
    elif (tokens := estimate_tokens(text)) > _TOLERATED_LENGTH * max_output_tokens:
        # A server that keeps to no limit: no reply to a customer is that long.
        outcome = "malformed"
        detail = (
            f"the reply has some {tokens} tokens, where teacher.max_output_tokens={max_output_tokens} was asked for"
        )
    completion = Completion(
        text=text if outcome == "ok" else None,
        outcome=outcome,
        model_version=answer.model_version,
        detail=one_line(detail)[:_DETAIL_CHARACTERS],
        cut=cut if outcome == "ok" else "",
    )
    return with_usage(completion, answer.usage, price)


def with_usage(completion: Completion, usage: Usage | None, price: Price) -> Completion:
    """The completion with what its provider says it used, if that can be; else marked as not known."""
    if usage is None:
        return replace(completion, usage_known=False)
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    if any(type(count) is not int or count < 0 for count in counts):
        return replace(completion, usage_known=False, usage_note=f"refused: usage stated as {counts!r:.80}")
    cost = price.cost_usd(*counts)
    return replace(completion, input_tokens=counts[0], output_tokens=counts[1], cost_usd=cost, usage_known=True)


def failed(
    outcome: Outcome, detail: str, retry_after_seconds: float | None = None, usage_known: bool | None = None
) -> Completion:
    """A completion without text."""
    return Completion(
        None,
        outcome,
        "",
        retry_after_seconds=retry_after_seconds,
        detail=one_line(detail)[:_DETAIL_CHARACTERS],
        usage_known=usage_known,
    )


def http_failure(status: int, message: str, retry_after_seconds: float | None = None) -> Completion:
    """The completion of an HTTP error."""
    outcome = _STATUS.get(status, "unavailable" if status >= 500 else "error")
    remedy = _REMEDIES.get(status)
    said = f"HTTP {status}: {one_line(message)[:200]}" + (f" ({remedy})" if remedy else "")
    return failed(outcome, said, retry_after_seconds)


def failure_of(error: Exception) -> Completion:
    """The completion of an exception below HTTP, by the kinds that httpx, httpx2, requests and protobuf share."""
    kinds = {cls.__name__ for cls in type(error).__mro__}
    said = f"{type(error).__name__}: {error}"
    # What never reached the provider it cannot bill.
    known = _never_connected(error)
    if kinds & {"JSONDecodeError", "ParseError", "ValidationError", "UnicodeDecodeError"}:
        return failed("malformed", f"the answer is no valid JSON of this interface: {said}", usage_known=known)
    if kinds & {"TimeoutException", "Timeout", "TimeoutError"}:
        return failed("timeout", f"no answer in time: {said}", usage_known=known)
    if kinds & {"TransportError", "RequestException", "ConnectionError", "HTTPException"}:
        return failed("unavailable", f"no connection, or it broke: {said}", usage_known=known)
    return failed("error", said, usage_known=known)


def _never_connected(error: BaseException) -> bool:
    """Whether an exception, or one behind it, says that no connection was made."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        if {cls.__name__ for cls in type(current).__mro__} & _UNCONNECTED:
            return True
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return False


def retry_delay_seconds(details: Iterable[Any]) -> float | None:
    """The `retryDelay` among the details of a Google error, in seconds ("2s", "0.5s"); None if there is none."""
    for detail in details:
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        match = _DURATION.fullmatch(delay) if isinstance(delay, str) else None
        if match:
            return float(match[1])
    return None
