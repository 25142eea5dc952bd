"""Gemini through google-generativeai, whose support ended on 30 November 2025; google-genai is its successor.

The package says so in a FutureWarning at each import. That is held back here on purpose: who sets
`teacher.sdk=google-generativeai` has chosen it.
"""

from __future__ import annotations

import threading
from typing import Any

from ecc_fed.core.completion import Completion
from ecc_fed.teacher.providers.access import import_sdk
from ecc_fed.teacher.providers.answers import Answer, failure_of, http_failure, retry_delay_seconds
from ecc_fed.teacher.providers.gemini_generation import Generation, gemini_answer
from ecc_fed.teacher.providers.wire import WireMeter

# `configure` is one setting for the whole process.
_CONFIGURE = threading.Lock()


class GoogleGenerativeai:
    """A client over REST that makes one attempt a call."""

    def __init__(self, key: str, base_url: str | None, generation: Generation) -> None:
        self._sdk = import_sdk("google.generativeai", "google-generativeai", "gemini-legacy")
        client_module = import_sdk("google.generativeai.client", "google-generativeai", "gemini-legacy")
        exceptions = import_sdk("google.api_core.exceptions", "google-generativeai", "gemini-legacy")
        self._api_error: type[Exception] = exceptions.GoogleAPICallError
        self._generation = generation
        self.wire = WireMeter()
        with _CONFIGURE:
            self._sdk.configure(
                api_key=key, transport="rest", client_options={"api_endpoint": base_url} if base_url else None
            )
            self._client = client_module.get_default_generative_client()
        session = self._client.transport._session
        for scheme in ("http://", "https://"):
            session.mount(scheme, _counting_adapter(self.wire))

    def generate(
        self, system: str, dialogue: str, timeout_seconds: float, max_output_tokens: int
    ) -> Answer | Completion:
        """One attempt; `retry=None` turns off the SDK's own."""
        generation = self._generation
        model = self._sdk.GenerativeModel(
            generation.model, safety_settings=generation.safety_settings or None, system_instruction=system
        )
        # The one way to keep two teachers of one process apart; the package no longer changes.
        model._client = self._client
        settings = {
            "max_output_tokens": max_output_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
        }
        try:
            response = model.generate_content(
                dialogue,
                generation_config={name: value for name, value in settings.items() if value is not None},
                request_options={"timeout": timeout_seconds, "retry": None},
            )
        except self._api_error as error:
            return _refused(error)
        except Exception as error:
            return failure_of(error)
        candidate = response.candidates[0] if response.candidates else None
        return gemini_answer(
            "".join(part.text for part in candidate.content.parts) if candidate is not None else "",
            _name(candidate.finish_reason) if candidate is not None else None,
            _name(response.prompt_feedback.block_reason),
            response.usage_metadata,
            response._result.model_version,
        )


def _counting_adapter(wire: WireMeter) -> Any:
    """An adapter for requests that tells the bytes of both bodies."""
    adapters = import_sdk("requests.adapters", "requests", "gemini-legacy")

    class Counting(adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **options: Any) -> Any:
            wire.sent(len(request.body or b""))
            response = super().send(request, **options)
            try:
                response.content  # noqa: B018 (reads it)
            finally:
                wire.received(response.raw.tell())
            return response

    return Counting()


def _name(value: Any) -> str | None:
    """An enum's name; 0 means not set. Reasons younger than the package come as bare numbers."""
    return None if int(value) == 0 else str(getattr(value, "name", value))


def _refused(error: Any) -> Completion:
    code = getattr(error.code, "value", error.code)
    # The message starts with the address of the call; what follows is the server's own.
    message = str(error.message).partition(":generateContent")[2].partition(": ")[2] or str(error.message)
    return http_failure(int(code or 0), message, retry_delay_seconds(error.details or ()))
