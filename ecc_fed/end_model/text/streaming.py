"""One reply, said token by token: the same draws and the same text as `EndModel.reply`, as they come.

A token is not a character. Bytes of a character that is not whole yet, and line breaks and spaces
that the finished reply may strip, are held back, so that what was said never has to be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ecc_fed.core.records import ReplyRequest
from ecc_fed.end_model.engines.replies import hearing_tokens
from ecc_fed.end_model.text.decoding import byte_of, decode_reply

OnText = Callable[[str], None]


class StreamingEngine(Protocol):
    """What is needed of an end model's engine."""

    tokenizer: Any

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        """As `EndModel.reply`, in the caller's own thread, tokens drawn by `draw_replies`."""
        ...


class _Speech:
    """Turns one reply's token ids into text as they come."""

    def __init__(self, tokenizer: Any, say: OnText) -> None:
        self._tokenizer, self._say = tokenizer, say
        self._ids: list[int] = []
        self._said = 0  # characters

    def token(self, token: int) -> None:
        """Hears of the next token and says what is certain by now."""
        self._ids.append(token)
        # Bytes wait for the token after them: more of their character may come.
        if byte_of(self._tokenizer.convert_ids_to_tokens(token)) is None:
            self.finish(decode_reply(self._tokenizer, self._ids, more=True))

    def finish(self, text: str) -> None:
        """Says what of `text` is not said yet."""
        if len(text) > self._said:
            self._say(text[self._said :])
            self._said = len(text)


def stream_reply(engine: StreamingEngine, request: ReplyRequest, say: OnText) -> str:
    """Answers the request's only prompt, calling `say` with every further piece; returns the whole reply.

    It is `engine.reply` itself that answers; the pieces together are the reply.

    Raises:
        ValueError: not exactly one prompt.
        ConfigError: decoding out of range.
        ModelError: an adapter that does not fit the base.
    """
    if len(request.prompts) != 1:
        raise ValueError(f"one prompt is streamed at a time, got {len(request.prompts)}")
    speech = _Speech(engine.tokenizer, say)
    with hearing_tokens(speech.token):
        reply = engine.reply([request])[0][0]
    speech.finish(reply)
    return reply
