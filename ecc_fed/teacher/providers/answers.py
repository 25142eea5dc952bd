"""From what a provider said, or how it failed, to the gateway's `Completion`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecc_fed.core.completion import Completion, Language
from ecc_fed.core.records import Outcome
from ecc_fed.teacher.prompts import TEMPLATES, one_line
from ecc_fed.teacher.providers.prices import Price

_DETAIL_CHARACTERS = 300
# HTTP status -> outcome; other 5xx are "unavailable", other 4xx "error".
_STATUS: dict[int, Outcome] = {408: "timeout", 429: "rate_limited", 504: "timeout"}
_REMEDIES = {
    401: "check the key in the variable that teacher.api_key_env names",
    403: "check what the key in the variable that teacher.api_key_env names may do",
    404: "check teacher.model and teacher.base_url: models retire, and ids differ between servers",
    413: "the prompt is too long: lower evolution.teacher_examples",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")
# Thoughts that a server without a reasoning parser leaves in the text.
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer in common terms. `stop` is "end", "length", or the provider's word for why it holds back.

    `output_tokens` include thoughts, which are charged as output; `cached_tokens` are those of
    `input_tokens` that the provider's prompt cache held.
    """

    text: str
    stop: str
    blocked: bool
    model_version: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


def completion_of(answer: Answer, price: Price, language: Language) -> Completion:
    """The completion: "blocked", "malformed" (cut or empty) or "ok"."""
    text = spoken(answer.text, language)
    outcome: Outcome = "ok"
    detail = ""
    if answer.blocked:
        outcome, detail = "blocked", f"held back by the provider: {answer.stop}"
    elif answer.stop == "length":
        # Half a reply as a label would teach the end model to stop in mid-sentence.
        outcome, detail = "malformed", "the reply was cut at teacher.max_output_tokens: raise it, or let it think less"
    elif answer.stop != "end":
        outcome, detail = "malformed", f"the reply ended for the reason {answer.stop}"
    elif not text:
        outcome, detail = "malformed", "the reply is empty"
    return Completion(
        text=text if outcome == "ok" else None,
        outcome=outcome,
        model_version=answer.model_version,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        detail=one_line(detail)[:_DETAIL_CHARACTERS],
        cost_usd=price.cost_usd(answer.input_tokens, answer.output_tokens, answer.cached_tokens),
    )


def spoken(text: str, language: Language) -> str:
    """The reply alone: without thoughts before it, and without the speaker's name that the prompt ends in."""
    said = _THOUGHTS.sub("", text).strip()
    name = TEMPLATES[language].speakers["agent"].strip()
    for mark in (name, name.replace("：", ":"), name.replace(":", "：")):
        said = said.removeprefix(mark)
    return said.strip()


def failed(outcome: Outcome, detail: str, retry_after_seconds: float | None = None) -> Completion:
    """A completion without text."""
    return Completion(
        None, outcome, "", retry_after_seconds=retry_after_seconds, detail=one_line(detail)[:_DETAIL_CHARACTERS]
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
    if kinds & {"JSONDecodeError", "ParseError", "ValidationError", "UnicodeDecodeError"}:
        return failed("malformed", f"the answer is no valid JSON of this interface: {said}")
    if kinds & {"TimeoutException", "Timeout", "TimeoutError"}:
        return failed("timeout", f"no answer in time: {said}")
    if kinds & {"TransportError", "RequestException", "ConnectionError", "HTTPException"}:
        return failed("unavailable", f"no connection, or it broke: {said}")
    return failed("error", said)


def retry_delay_seconds(details: Iterable[Any]) -> float | None:
    """The `retryDelay` among the details of a Google error, in seconds ("2s", "0.5s"); None if there is none."""
    for detail in details:
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        match = _DURATION.fullmatch(delay) if isinstance(delay, str) else None
        if match:
            return float(match[1])
    return None
