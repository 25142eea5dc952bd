"""Any server with OpenAI's chat interface as the cloud teacher: vLLM, Ollama, DeepSeek, Qwen and others.

A shop's N examples go first, as the system message, and do not change between its calls, so that
the server's prefix cache can keep them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ecc_fed.core.completion import Completion, TeacherPrompt, estimate_tokens
from ecc_fed.core.errors import ConfigError
from ecc_fed.teacher.prompts import PROBE_PROMPT
from ecc_fed.teacher.providers.access import checked_url, read_key, without_key
from ecc_fed.teacher.providers.answers import Answer, Usage, completion_of, failed, failure_of, http_failure, with_usage
from ecc_fed.teacher.providers.json_post import HttpReply, JsonPoster
from ecc_fed.teacher.providers.prices import Price, PriceTable, price_of
from ecc_fed.teacher.providers.settings import REPLAY_ONLY, check_sampling, one_of, stated

_OWN_FIELDS = ("model", "messages", "stream", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens")
_STOPS = {"stop": "end", "eos": "end"}
# The servers' words for a prompt that their filter turned away.
_FILTERED = ("content_filter", "data_inspection_failed", "content_policy_violation", "sensitive")
# Types of a content's parts: those that are said, and all.
_SAID = ("text", "output_text")
_PARTS = (*_SAID, "thinking", "reasoning", "reasoning_text")
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached")


class OpenAICompatibleTeacher:
    """A `Teacher` over `POST {base_url}/chat/completions`.

    Where a server states no usage, tokens are estimated by `estimate_tokens`.

    Args:
        model: model id, as the server calls it.
        base_url: address up to and with the version, such as http://127.0.0.1:8000/v1.
        api_key_env: name of the environment variable that holds the key; None sends none.
        temperature: 0 to 2; None leaves it to the server.
        top_p: above 0 to 1; None leaves it to the server.
        seed: of the server's sampling (its lower 31 bits); None sends none.
        max_output_tokens: longest reply, thoughts included, from 1.
        max_tokens_field: what the server calls that limit.
        extra_body: further fields of the request, such as {chat_template_kwargs: {enable_thinking: false}}.
        prices: model id -> {input, output, cached_input} in US dollars per million tokens; None is free.
        replay: answer from the gateway's cache alone; needs neither key nor network.

    Raises:
        ConfigError: a setting out of range, no key, or no price for the model.
    """

    remote = True
    max_batch = 1

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key_env: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_output_tokens: int = 512,
        max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        extra_body: Mapping[str, Any] | None = None,
        prices: PriceTable | None = None,
        replay: bool = False,
    ) -> None:
        check_sampling(temperature, top_p, max_output_tokens)
        one_of("max_tokens_field", max_tokens_field, ("max_tokens", "max_completion_tokens"))
        for name in set(extra_body or ()) & set(_OWN_FIELDS):
            raise ConfigError(f"teacher.extra_body.{name} is not for this place: it has a setting of its own, or none")
        seed = None if seed is None else seed % 2**31
        sampling = stated(temperature=temperature, top_p=top_p, seed=seed)
        extra = json.loads(json.dumps(dict(extra_body or {})))
        self._fields = {"model": model, **sampling, max_tokens_field: max_output_tokens, "stream": False, **extra}
        self._limit = max_tokens_field
        self._price = price_of(model, prices)
        self.name = f"OpenAI-compatible ({model})"
        self.model = model
        self.max_output_tokens = max_output_tokens
        self.input_usd_per_million_tokens = self._price.input
        self.output_usd_per_million_tokens = self._price.output
        address = checked_url(base_url)
        self.decoding: Mapping[str, str | int | float] = {
            **sampling,
            "max_output_tokens": max_output_tokens,
            "base_url": address,  # one id may name different weights on different servers
            **({"extra_body": json.dumps(extra, sort_keys=True)} if extra else {}),
        }
        self._key = "" if replay or api_key_env is None else read_key(api_key_env)
        self._post = None if replay else JsonPoster(f"{address}/chat/completions", self._key)

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        """One completion for every prompt, one after another."""
        return [self._complete(prompt, timeout_seconds) for prompt in prompts]

    def probe(self, timeout_seconds: float) -> Completion | None:
        """What comes of a reply of one token; None where nothing is sent."""
        return None if self._post is None else self._complete(PROBE_PROMPT, timeout_seconds, max_output_tokens=1)

    def _complete(
        self, prompt: TeacherPrompt, timeout_seconds: float, max_output_tokens: int | None = None
    ) -> Completion:
        if self._post is None:
            return failed("error", REPLAY_ONLY)
        messages = [
            {"role": "system", "content": prompt.few_shot.text},
            {"role": "user", "content": prompt.dialogue},
        ]
        fields = self._fields | {"messages": messages}
        if max_output_tokens is not None:
            fields[self._limit] = max_output_tokens
        try:
            reply = self._post(fields, timeout_seconds)
            answer = _answer(reply, prompt, self._price) if reply.status == 200 else _refused(reply, self._price)
        except Exception as error:
            answer = failure_of(error)
        if isinstance(answer, Completion):
            completion = replace(answer, detail=without_key(answer.detail, self._key))
        else:
            completion = completion_of(answer, self._price, prompt.few_shot.speakers, self.max_output_tokens)
        return self._post.wire.told(completion)


def _answer(reply: HttpReply, prompt: TeacherPrompt, price: Price) -> Answer | Completion:
    """The first choice; an answer of another shape is at fault, and may have been billed all the same."""
    usage = _usage(reply.body)
    try:
        choice = reply.body["choices"][0]
        message = choice["message"]
        text = _text_of(message.get("content") or "")
        refusal = message.get("refusal")
        finish = str(choice.get("finish_reason") or "stop")
        version = [str(reply.body[key]) for key in ("model", "system_fingerprint") if reply.body.get(key)]
        if not isinstance(text, str):
            raise TypeError(f"content is {type(text).__name__}")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        fault = f"the answer is no chat completion ({type(error).__name__}: {error})"
        return Answer("", "", False, "", usage, fault)
    if finish == "insufficient_system_resource":
        return with_usage(failed("unavailable", finish), usage, price)
    return Answer(
        text=text,
        stop="refusal" if refusal else _STOPS.get(finish, finish),
        blocked=bool(refusal) or finish == "content_filter",
        model_version=" ".join(version),
        usage=usage or Usage(prompt.tokens, estimate_tokens(text)),
    )


def _text_of(content: Any) -> Any:
    """A message's text; of one in parts (Mistral's), those that are said and not thought.

    Raises:
        TypeError: a part is neither.
    """
    if not isinstance(content, list):
        return content
    unknown = [part for part in content if not isinstance(part, Mapping) or part.get("type") not in _PARTS]
    if unknown:
        raise TypeError(f"content has a part {str(unknown[0])[:80]}")
    return "".join(str(part.get("text") or "") for part in content if part["type"] in _SAID)


def _usage(body: Any) -> Usage | None:
    """The stated tokens, unchecked; None where the answer states none."""
    usage = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(usage, Mapping) or usage.get("prompt_tokens") is None or usage.get("completion_tokens") is None:
        return None
    # OpenAI, vLLM and Qwen name the cached tokens one way, DeepSeek another.
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Usage(
        usage["prompt_tokens"], usage["completion_tokens"], cached or usage.get("prompt_cache_hit_tokens") or 0
    )


def _refused(reply: HttpReply, price: Price) -> Completion:
    """The completion of an error, which may state a usage of its own."""
    refused, usage = _refusal(reply), _usage(reply.body)
    return refused if usage is None else with_usage(refused, usage, price)


def _refusal(reply: HttpReply) -> Completion:
    error = reply.body.get("error", reply.body) if isinstance(reply.body, Mapping) else reply.text
    code, message = "", str(error)
    if isinstance(error, Mapping):
        code = f"{error.get('code') or ''} {error.get('type') or ''}"
        message = str(error.get("message") or error.get("detail") or reply.text)
    if any(word in code for word in _FILTERED):
        return failed("blocked", f"held back by the server: {message}")
    if any(word in code for word in _NO_MONEY):
        return failed("error", f"HTTP {reply.status}: {message} (the account has no credit left)")
    return http_failure(reply.status, message or "no reason given", reply.retry_after_seconds)
