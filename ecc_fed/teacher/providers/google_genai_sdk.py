"""Gemini through google-genai, the provider's maintained SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecc_fed.core.completion import Completion
from ecc_fed.teacher.providers.access import import_sdk
from ecc_fed.teacher.providers.answers import Answer, failure_of, http_failure, retry_delay_seconds
from ecc_fed.teacher.providers.gemini_generation import Generation, gemini_answer
from ecc_fed.teacher.providers.wire import WireMeter


class GoogleGenai:
    """A client that makes one attempt a call: its own retries are off, for they would not wait as long as asked."""

    def __init__(self, key: str, base_url: str | None, generation: Generation) -> None:
        genai = import_sdk("google.genai", "google-genai", "gemini")
        self._types = genai.types
        self._api_error: type[Exception] = genai.errors.APIError
        self._generation = generation
        self.wire = WireMeter()
        # Kept for life: a client that is let go closes its connections. `vertexai=False` holds
        # against environment variables that would take the calls, and their key, elsewhere.
        self._client = genai.Client(
            api_key=key,
            vertexai=False,
            http_options=self._types.HttpOptions(
                base_url=base_url,
                api_version="v1beta",
                client_args={"event_hooks": {"request": [self._sent], "response": [self._received]}},
            ),
        )

    def generate(
        self, system: str, dialogue: str, timeout_seconds: float, max_output_tokens: int
    ) -> Answer | Completion:
        """One attempt."""
        try:
            response = self._client.models.generate_content(
                model=self._generation.model,
                contents=dialogue,
                config=self._config(system, timeout_seconds, max_output_tokens),
            )
        except self._api_error as error:
            return _refused(error)
        except Exception as error:
            return failure_of(error)
        candidate = (response.candidates or [None])[0]
        parts = (candidate.content.parts or []) if candidate is not None and candidate.content is not None else []
        feedback = response.prompt_feedback
        return gemini_answer(
            "".join(part.text for part in parts if part.text and not part.thought),
            _name(candidate and candidate.finish_reason),
            _name(feedback and feedback.block_reason),
            response.usage_metadata,
            response.model_version,
        )

    def _sent(self, request: Any) -> None:
        self.wire.sent(len(request.content))

    def _received(self, response: Any) -> None:
        try:
            response.read()
        finally:
            self.wire.received(response.num_bytes_downloaded)

    def _config(self, system: str, timeout_seconds: float, max_output_tokens: int) -> Any:
        types, generation = self._types, self._generation
        level = generation.thinking_level
        return types.GenerateContentConfig(
            system_instruction=system,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=generation.seed,
            max_output_tokens=max_output_tokens,
            safety_settings=generation.safety_settings or None,
            thinking_config=None if level is None else types.ThinkingConfig(thinking_level=level.upper()),
            http_options=types.HttpOptions(timeout=max(1, round(timeout_seconds * 1000))),
        )


def _name(value: Any) -> str | None:
    """An enum's name, or the text of a reason that this version of the SDK does not know."""
    return None if value is None else str(getattr(value, "value", value))


def _refused(error: Any) -> Completion:
    body = error.details.get("error", error.details) if isinstance(error.details, Mapping) else {}
    details = body.get("details") if isinstance(body, Mapping) else None
    wish = retry_delay_seconds(details) if isinstance(details, list) else None
    return http_failure(int(error.code or 0), str(error.message or error.status or "no reason given"), wish)
