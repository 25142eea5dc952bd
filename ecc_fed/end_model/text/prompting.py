"""Dialogues to token ids; `decoding` has the way back.

A customer may type anything, `<|user|>` and `<|end|>` too. So a chat template is rendered around
placeholders, and what people wrote is encoded apart from it, with special tokens split into plain
pieces: text never becomes control. Models without a chat template get a declared plain format.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import Turn
from ecc_fed.models.chat_template import TEMPLATES, TemplateRefusal, placeholder

PLAIN_LABELS = {"customer": "客户：", "agent": "客服："}
_TEMPLATE_ROLES = {"customer": "user", "agent": "assistant"}
_OTHER = {"customer": "agent", "agent": "customer"}
_VARIABLES = {"enable_thinking": False, "date_string": "26 Jul 2024"}
_PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")
# A fast tokenizer keeps "split special tokens" as state, so two threads must not encode at once.
_ENCODING = threading.Lock()


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Ids of what somebody wrote: no special token is added, and none is recognised in it."""
    if not text:
        return []
    with _ENCODING:
        return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


def encode_prompt(tokenizer: Any, turns: Sequence[Turn], max_tokens: int) -> list[int]:
    """The ids that an agent's reply continues: the latest turns that fit, and the agent's opening.

    Successive turns of one role are merged (many templates insist on alternation). Whole oldest
    turns are dropped first; a last turn that is still too long loses its beginning.

    Raises:
        ConfigError: `max_tokens` does not even hold the template around an empty turn.
        ModelError: the chat template refuses a customer's turn or mangles the text given to it.
    """
    merged = _merge(turns)
    texts = [encode_text(tokenizer, _clean(tokenizer, turn.text)) for turn in merged]
    merged, texts = _latest(merged, texts, max_tokens)
    while True:
        pieces = _pieces(tokenizer, tuple(turn.role for turn in merged))
        ids = _assemble(pieces, texts)
        excess = len(ids) - max_tokens
        if excess <= 0:
            return ids
        if len(merged) == 1:
            break
        merged, texts = merged[1:], texts[1:]
    room = len(texts[0]) - excess
    if room < 1:
        raise ConfigError(
            f"a prompt limit of {max_tokens} tokens is too small: the model's chat template alone takes "
            f"{len(ids) - len(texts[0])}; raise max_prompt_tokens"
        )
    return _assemble(pieces, [texts[0][-room:]])


def encode_reply(tokenizer: Any, text: str, max_tokens: int) -> list[int]:
    """Ids of a reply with the end mark after it; a reply that is too long is cut and has no end mark.

    A tokenizer may declare a `reply_opening` in its config, text that its model says before every
    reply (ChatGLM3: a line break); `decode_reply` strips it.
    """
    opening = str(tokenizer.init_kwargs.get("reply_opening", ""))
    ids = [*(encode_text(tokenizer, opening) if opening else []), *encode_text(tokenizer, text)]
    return [*ids, int(tokenizer.eos_token_id)] if len(ids) < max_tokens else ids[:max_tokens]


def _latest(turns: list[Turn], texts: list[list[int]], max_tokens: int) -> tuple[list[Turn], list[list[int]]]:
    """As many of the latest turns as could fit if the template took one token for each; at least the last."""
    tokens, start = 0, len(turns) - 1
    for start in range(len(turns) - 1, -1, -1):
        tokens += len(texts[start]) + 1
        if tokens > max_tokens and start < len(turns) - 1:
            start += 1
            break
    return turns[start:], texts[start:]


def _merge(turns: Sequence[Turn]) -> list[Turn]:
    if not turns:
        raise ValueError("a prompt needs at least one turn")
    return [
        Turn(role, "\n".join(turn.text for turn in said)) for role, said in groupby(turns, key=lambda turn: turn.role)
    ]


def _clean(tokenizer: Any, text: str) -> str:
    # In the plain format a line break ends a turn, so a customer could type an agent's turn.
    return text if tokenizer.chat_template else " ".join(text.splitlines())


def _pieces(tokenizer: Any, roles: tuple[str, ...]) -> list[list[int] | int]:
    """Template ids (lists) and the positions of the turns' texts (ints), in order."""
    rendered = _render(tokenizer, roles) if tokenizer.chat_template else _plain(tokenizer, roles)
    parts = _PLACEHOLDER.split(rendered)
    found = [int(part) for part in parts[1::2]]
    # A template may leave out leading agent turns, never the customer's last one.
    if not found or found != list(range(found[0], len(roles))):
        raise ModelError(
            "the model's chat template does not print every turn once and in order; "
            "give the tokenizer another chat_template, or remove it to use the plain format"
        )
    pieces: list[list[int] | int] = []
    for position, part in enumerate(parts):
        pieces.append(int(part) if position % 2 else _encode_template(tokenizer, part))
    return pieces


def _encode_template(tokenizer: Any, text: str) -> list[int]:
    if not text:
        return []
    with _ENCODING:
        return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=False))


def _render(tokenizer: Any, roles: tuple[str, ...]) -> str:
    skip = 0
    while True:
        try:
            return TEMPLATES.render(tokenizer, _chat(roles, skip), _VARIABLES, partial(_next_ones, roles, skip))
        except TemplateRefusal as error:
            # Some templates want the customer to speak first.
            if skip == 0 and roles[0] == "agent" and len(roles) > 1:
                skip = 1
                continue
            raise TemplateRefusal(f"{error} (a dialogue of {', '.join(roles)})") from error


def _chat(roles: tuple[str, ...], skip: int) -> list[dict[str, str]]:
    return [
        {"role": _TEMPLATE_ROLES[role], "content": placeholder(index)}
        for index, role in enumerate(roles)
        if index >= skip
    ]


def _next_ones(roles: tuple[str, ...], skip: int) -> list[list[dict[str, str]]]:
    return [_chat(each, skip) for each in _shapes(roles)]


def _shapes(roles: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Dialogues of fewer turns than `roles` and of some more that end alike."""
    longest = max(min(2 * len(roles), 64), len(roles), 12)
    turns = [roles[-1] if (longest - index) % 2 else _OTHER[roles[-1]] for index in range(longest)]
    return [tuple(turns[start:]) for start in range(longest)]


def _plain(tokenizer: Any, roles: tuple[str, ...]) -> str:
    bos = tokenizer.bos_token_id
    opening = tokenizer.bos_token if bos is not None and tokenizer.encode("")[:1] == [bos] else ""
    lines = "".join(f"{PLAIN_LABELS[role]}{placeholder(index)}\n" for index, role in enumerate(roles))
    return f"{opening}{lines}{PLAIN_LABELS['agent']}"


def _assemble(pieces: list[list[int] | int], texts: list[list[int]]) -> list[int]:
    ids: list[int] = []
    for piece in pieces:
        ids += texts[piece] if isinstance(piece, int) else piece
    return ids
