"""Gemini as the cloud teacher, through google-genai or through google-generativeai.

google-generativeai is the package of the paper's time. Its support ended on 30 November 2025;
google-genai is its successor. Both send the same request, so they share cached replies.

A shop's N examples go first, as the system instruction, and do not change between its calls: that
is what the provider's implicit prompt cache asks for. Its discount is in the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.proxies import spare_loopback
from ecc_fed.teacher.prompts import PROBE_PROMPT
from ecc_fed.teacher.providers.access import checked_url, read_key, without_key
from ecc_fed.teacher.providers.answers import completion_of, failed
from ecc_fed.teacher.providers.gemini_generation import Connection, Generation
from ecc_fed.teacher.providers.google_genai_sdk import GoogleGenai
from ecc_fed.teacher.providers.google_generativeai_sdk import GoogleGenerativeai
from ecc_fed.teacher.providers.prices import PriceTable, price_of
from ecc_fed.teacher.providers.settings import REPLAY_ONLY, check_sampling, one_of, stated

Sdk = Literal["google-genai", "google-generativeai"]
_SDKS: dict[str, type[GoogleGenai] | type[GoogleGenerativeai]] = {
    "google-genai": GoogleGenai,
    "google-generativeai": GoogleGenerativeai,
}
_THINKING = (None, "minimal", "low", "medium", "high")
_SAFETY = (None, "BLOCK_NONE", "BLOCK_ONLY_HIGH", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_LOW_AND_ABOVE")


class GeminiTeacher:
    """A `Teacher` for Gemini.

    Args:
        model: model id.
        sdk: "google-genai", or "google-generativeai".
        api_key_env: name of the environment variable that holds the key.
        base_url: another address for the service (a proxy); None is the provider's.
        temperature: 0 to 2; None leaves it to the provider (deprecated on new models).
        top_p: above 0 to 1; None leaves it to the provider (deprecated on new models).
        seed: of the provider's sampling (its lower 31 bits), which it honours as well as it can;
            None sends none. google-genai only.
        thinking_level: minimal, low, medium or high; None leaves it to the provider. google-genai only.
        safety_threshold: BLOCK_NONE, BLOCK_ONLY_HIGH, BLOCK_MEDIUM_AND_ABOVE or BLOCK_LOW_AND_ABOVE
            for every kind of harm; None leaves it to the provider.
        max_output_tokens: longest reply, thoughts included, from 1.
        prices: model id -> {input, output, cached_input} in US dollars per million tokens; None is free.
        replay: answer from the gateway's cache alone; needs neither key nor SDK nor network.

    Raises:
        ConfigError: a setting out of range, no key, no SDK, or no price for the model.
    """

    remote = True
    max_batch = 1

    def __init__(
        self,
        model: str,
        sdk: Sdk = "google-genai",
        api_key_env: str = "GEMINI_API_KEY",
        base_url: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        thinking_level: str | None = None,
        safety_threshold: str | None = None,
        max_output_tokens: int = 2048,
        prices: PriceTable | None = None,
        replay: bool = False,
    ) -> None:
        check_sampling(temperature, top_p, max_output_tokens)
        one_of("thinking_level", thinking_level, _THINKING)
        one_of("safety_threshold", safety_threshold, _SAFETY)
        one_of("sdk", sdk, tuple(_SDKS))
        if sdk == "google-generativeai" and (seed is not None or thinking_level is not None):
            raise ConfigError(
                "google-generativeai can send neither a seed nor a thinking level: "
                "set teacher.seed=null and teacher.thinking_level=null, or teacher.sdk=google-genai"
            )
        seed = None if seed is None else seed % 2**31
        self._generation = Generation(model, temperature, top_p, seed, thinking_level, safety_threshold)
        self._price = price_of(model, prices)
        self.name = f"Gemini ({model})"
        self.model = model
        self.max_output_tokens = max_output_tokens
        self.input_usd_per_million_tokens = self._price.input
        self.output_usd_per_million_tokens = self._price.output
        self.decoding: Mapping[str, str | int | float] = stated(
            max_output_tokens=max_output_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            thinking_level=thinking_level,
            safety_threshold=safety_threshold,
        )
        address = None if base_url is None else checked_url(base_url)
        self._key = "" if replay else read_key(api_key_env)
        spare_loopback()  # the SDKs read the environment
        self._connection: Connection | None = None if replay else _SDKS[sdk](self._key, address, self._generation)

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        """One completion for every prompt, one after another."""
        return [self._complete(prompt, timeout_seconds) for prompt in prompts]

    def probe(self, timeout_seconds: float) -> Completion | None:
        """What comes of a reply of one token; None where nothing is sent."""
        return None if self._connection is None else self._complete(PROBE_PROMPT, timeout_seconds, max_output_tokens=1)

    def _complete(
        self, prompt: TeacherPrompt, timeout_seconds: float, max_output_tokens: int | None = None
    ) -> Completion:
        if self._connection is None:
            return failed("error", REPLAY_ONLY)
        self._connection.wire.begin()
        try:
            answer = self._connection.generate(
                prompt.few_shot.text, prompt.dialogue, timeout_seconds, max_output_tokens or self.max_output_tokens
            )
        except Exception as error:  # an SDK's own fault must not carry the key into a message either
            answer = failed("error", f"{type(error).__name__}: {error}", usage_known=False)
        if isinstance(answer, Completion):
            completion = replace(answer, detail=without_key(answer.detail, self._key))
        else:
            completion = completion_of(answer, self._price, prompt.few_shot.speakers, self.max_output_tokens)
        return self._connection.wire.told(completion)
