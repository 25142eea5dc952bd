"""What both Gemini SDKs share: how a reply is drawn, and how an answer reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ecc_fed.core.completion import Completion
from ecc_fed.teacher.providers.answers import Answer, Usage
from ecc_fed.teacher.providers.wire import WireMeter

_HARMS = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
# Reasons by which a reply is held back; others that are not in `_STOPS` are faults.
_BLOCKING = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "JAILBREAK"}
)
_STOPS = {"STOP": "end", "MAX_TOKENS": "length"}


@dataclass(frozen=True, slots=True)
class Generation:
    """How a reply is drawn; None leaves it to the provider."""

    model: str
    temperature: float | None
    top_p: float | None
    seed: int | None
    thinking_level: str | None
    safety_threshold: str | None

    @property
    def safety_settings(self) -> list[dict[str, str]]:
        """One threshold for every kind of harm, in the form both SDKs take."""
        if self.safety_threshold is None:
            return []
        return [{"category": f"HARM_CATEGORY_{harm}", "threshold": self.safety_threshold} for harm in _HARMS]


class Connection(Protocol):
    """One SDK, ready to be asked from several threads."""

    wire: WireMeter

    def generate(
        self, system: str, dialogue: str, timeout_seconds: float, max_output_tokens: int
    ) -> Answer | Completion:
        """One attempt: the answer, or the completion that says how it failed."""
        ...


def gemini_answer(text: str, finish: str | None, block: str | None, usage: Any, model_version: str | None) -> Answer:
    """The answer from the parts that both SDKs name alike; `usage` is their `usage_metadata`."""
    fault = "" if block or finish else "the answer holds neither a reply nor a reason why there is none"
    held_back = block is not None or finish in _BLOCKING
    return Answer(
        text=text,
        stop=block or _STOPS.get(str(finish), str(finish)),
        blocked=held_back,
        model_version=model_version or "",
        usage=_usage(usage),
        fault=fault,
    )


def _usage(metadata: Any) -> Usage | None:
    """The stated tokens; None where not even the prompt's are stated."""

    def count(name: str) -> Any:
        return getattr(metadata, name, None) or 0

    if not count("prompt_token_count"):
        return None
    said, thought = count("candidates_token_count"), count("thoughts_token_count")
    return Usage(count("prompt_token_count"), said + thought, count("cached_content_token_count"))
