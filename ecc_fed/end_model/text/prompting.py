"""Dialogues to token ids; `decoding` has the way back.

A customer may type anything, `<|user|>` and `<|end|>` too. So a chat template is rendered around
placeholders, and what people wrote never becomes control, whatever it looks like. Models without a chat template get a
declared plain format.

A run may say something of its own before every dialogue, the system text: in the template's place for it, where it has
one, else before the first customer's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import Role, Turn
from ecc_fed.models.chat_ids import encode_parts, encode_text
from ecc_fed.models.chat_template import TEMPLATES, TemplateRefusal, fill, placeholder, take_apart
from ecc_fed.models.turn_end import AgentTurn, agent_turn

PLAIN_LABELS = {"customer": "客户：", "agent": "客服："}
# The plain format as a chat template, for programs that take templates only; bos is theirs to put before it.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% else %}{{ '"
    + PLAIN_LABELS["agent"]
    + "' if message['role'] == 'assistant' else '"
    + PLAIN_LABELS["customer"]
    + "' }}"
    r"{{ message['content'] | replace('\n', ' ') }}{% endif %}"
    r"{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '" + PLAIN_LABELS["agent"] + "' }}{% endif %}"
)
_TEMPLATE_ROLES = {"customer": "user", "agent": "assistant"}
_OTHER: dict[Role, Role] = {"customer": "agent", "agent": "customer"}
VARIABLES = {"enable_thinking": False}
# Dialogues that every template must take, by who speaks.
_USUAL: tuple[tuple[Role, ...], ...] = (("customer",), ("customer", "agent", "customer"), ("agent", "customer"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an agent's reply continues: a chat's parts (`models.chat_ids`), and their ids."""

    parts: list[str]
    ids: list[int]


def encode_prompt(tokenizer: Any, turns: Sequence[Turn], max_tokens: int, system: str | None = None) -> list[int]:
    """The ids that an agent's reply continues; as `fitting_prompt`."""
    return fitting_prompt(tokenizer, turns, max_tokens, system).ids


def fitting_prompt(tokenizer: Any, turns: Sequence[Turn], max_tokens: int, system: str | None = None) -> Prompt:
    """The system text, the latest turns that fit, and the agent's opening.

    Successive turns of one role are merged (many templates insist on alternation). Whole oldest
    turns are dropped first; a last turn that is still too long loses its beginning.

    Args:
        tokenizer: the model's.
        turns: what was said.
        max_tokens: the longest prompt.
        system: what is said before every dialogue, as text alone; None: nothing.

    Raises:
        ConfigError: `max_tokens` does not even hold the template around an empty turn.
        ModelError: the chat template refuses a customer's turn or mangles the text given to it.
    """
    merged = _latest(tokenizer, _merge(tokenizer, turns), max_tokens)
    while True:
        prompt = _prompt(tokenizer, merged, system)
        if len(prompt.ids) <= max_tokens:
            return prompt
        if len(merged) == 1:
            return _shortened(tokenizer, merged[0], max_tokens, system)
        merged = merged[1:]


def encode_reply(tokenizer: Any, text: str, max_tokens: int, prompt: Prompt | None = None) -> list[int]:
    """Ids of a reply up to its end mark; a reply that is too long is cut and has no end mark.

    A tokenizer may declare a `reply_opening` in its config, text that its model says before every
    reply (ChatGLM3: a line break); `decode_reply` strips it.

    Args:
        tokenizer: the model's.
        text: what an agent said.
        max_tokens: the longest reply, end mark included.
        prompt: what it answers. Its pieces may differ from those of the same text by itself.
    """
    turn = turn_of(tokenizer)
    said = turn.place.shown(text)
    if _by_parts(tokenizer):
        opening = str(tokenizer.init_kwargs["reply_opening"])
        ids, end = [*encode_text(tokenizer, opening), *encode_text(tokenizer, said)], []
    else:
        before = [] if prompt is None else prompt.parts
        start = [] if prompt is None else prompt.ids
        ids, whole = (_behind(tokenizer, before, start, turn.opening, said, end) for end in ("", turn.closing))
        end = whole[len(ids) :] if whole[: len(ids)] == ids else encode_parts(tokenizer, [turn.closing])
    end = end if turn.closing else [int(tokenizer.eos_token_id)]
    return [*ids, *end] if len(ids) + len(end) <= max_tokens else ids[:max_tokens]


def turn_of(tokenizer: Any) -> AgentTurn:
    """How an agent's turn begins and ends."""
    return agent_turn(tokenizer, VARIABLES)


def check_template(tokenizer: Any, system: str | None = None) -> None:
    """Refuses a tokenizer that cannot write usual dialogues, before any is given to it.

    Raises:
        ModelError: why its chat template is of no use.
    """
    for roles in _USUAL:
        _prompt(tokenizer, [Turn(role, "在吗") for role in roles], system)


def _behind(
    tokenizer: Any, before: Sequence[str], start: Sequence[int], opening: str, said: str, closing: str
) -> list[int]:
    """The ids behind a prompt; those of the text by itself where the prompt's last piece would reach into it."""
    joined = [*before[:-1], before[-1] + opening] if before else [opening]
    ids = encode_parts(tokenizer, [*joined, said, closing])
    if ids[: len(start)] == list(start):
        return ids[len(start) :]
    return encode_parts(tokenizer, [opening, said, closing])


def _by_parts(tokenizer: Any) -> bool:
    """Whether its model was taught every turn's text encoded by itself, as ChatGLM3 was."""
    return "reply_opening" in tokenizer.init_kwargs


def _prompt(tokenizer: Any, turns: Sequence[Turn], system: str | None) -> Prompt:
    parts = _parts(tokenizer, turns, system)
    if not _by_parts(tokenizer):
        return Prompt(parts, encode_parts(tokenizer, parts))
    each = (encode_parts(tokenizer, [part] if place % 2 == 0 else ["", part]) for place, part in enumerate(parts))
    return Prompt(parts, [index for ids in each for index in ids])


def _shortened(tokenizer: Any, turn: Turn, max_tokens: int, system: str | None) -> Prompt:
    """A prompt of the end of one turn: as many of its last characters as fit."""
    fits, too_many = 1, len(turn.text)
    best = _prompt(tokenizer, [Turn(turn.role, turn.text[-1:])], system)
    if len(best.ids) > max_tokens or not turn.text:
        alone = len(best.ids) - len(encode_text(tokenizer, turn.text[-1:]))
        around = "the model's chat template alone takes" if system is None else "chat template and prompt.system take"
        remedy = "raise max_prompt_tokens" + ("" if system is None else ", or shorten prompt.system")
        raise ConfigError(f"a prompt limit of {max_tokens} tokens is too small: {around} {alone}; {remedy}")
    while fits + 1 < too_many:
        middle = (fits + too_many) // 2
        prompt = _prompt(tokenizer, [Turn(turn.role, turn.text[-middle:])], system)
        if len(prompt.ids) <= max_tokens:
            fits, best = middle, prompt
        else:
            too_many = middle
    return best


def _latest(tokenizer: Any, turns: list[Turn], max_tokens: int) -> list[Turn]:
    """As many of the latest turns as could fit if the template took no token for them; at least the last."""
    tokens, start = 0, len(turns) - 1
    for start in range(len(turns) - 1, -1, -1):
        # Within a chat a text may take a token less than by itself, and its turn has one mark at least.
        tokens += max(1, len(encode_text(tokenizer, turns[start].text)))
        if tokens > max_tokens and start < len(turns) - 1:
            start += 1
            break
    return turns[start:]


def _merge(tokenizer: Any, turns: Sequence[Turn]) -> list[Turn]:
    if not turns:
        raise ValueError("a prompt needs at least one turn")
    return [
        Turn(role, _clean(tokenizer, "\n".join(turn.text for turn in said)))
        for role, said in groupby(turns, key=lambda turn: turn.role)
    ]


def _clean(tokenizer: Any, text: str) -> str:
    # In the plain format a line break ends a turn, so a customer could type an agent's turn.
    return text if tokenizer.chat_template else " ".join(text.splitlines())


def _parts(tokenizer: Any, turns: Sequence[Turn], system: str | None) -> list[str]:
    """A chat's parts: the template's words and the turns' texts in turn, a system text first."""
    roles = tuple(turn.role for turn in turns)
    texts = [turn.text for turn in turns]
    placed = system is not None and _has_system(tokenizer)
    rendered = _render(tokenizer, roles, placed) if tokenizer.chat_template else _plain(tokenizer, roles, placed)
    found = [place.index for place in take_apart(rendered)[1]]
    shown = found[placed:]
    # A template may leave out leading agent turns, never the customer's last one.
    if not shown or shown != list(range(shown[0], len(roles) + placed)) or (placed and found[0] != 0):
        raise ModelError(
            "the model's chat template does not print every turn once and in order; "
            "give the tokenizer another chat_template, or remove it to use the plain format"
        )
    if system is not None and placed:
        return fill(rendered, [system, *texts])
    if system is not None:
        first = next((index for index in shown if roles[index] == "customer"), shown[0])
        texts[first] = f"{system}\n{texts[first]}"
    return fill(rendered, texts)


def _has_system(tokenizer: Any) -> bool:
    """Whether prompts have a place of its own for a system text.

    Some templates refuse one, some print none, and some print it as if an agent had said it.
    """
    if not tokenizer.chat_template:
        return True
    texts: list[str | None] = []
    for role in ("system", "assistant"):
        chat = [{"role": role, "content": placeholder(0)}, {"role": "user", "content": placeholder(1)}]
        try:
            texts.append(TEMPLATES.render(tokenizer, chat, VARIABLES))
        except TemplateRefusal:
            texts.append(None)
    text, as_agent = texts
    return text is not None and text != as_agent and [place.index for place in take_apart(text)[1]] == [0, 1]


def _render(tokenizer: Any, roles: tuple[Role, ...], system: bool) -> str:
    skip = 0
    while True:
        try:
            chat = _chat(roles, skip, system)
            return TEMPLATES.render(tokenizer, chat, VARIABLES, partial(_next_ones, roles, skip, system))
        except TemplateRefusal as error:
            # Some templates want the customer to speak first.
            if skip == 0 and roles[0] == "agent" and len(roles) > 1:
                skip = 1
                continue
            raise TemplateRefusal(f"{error} (a dialogue of {', '.join(roles)})") from error


def _chat(roles: tuple[Role, ...], skip: int, system: bool) -> list[dict[str, str]]:
    """The messages around placeholders, of which a system text has the first."""
    before = [{"role": "system", "content": placeholder(0)}] if system else []
    return before + [
        {"role": _TEMPLATE_ROLES[role], "content": placeholder(index + system)}
        for index, role in enumerate(roles)
        if index >= skip
    ]


def _next_ones(roles: tuple[Role, ...], skip: int, system: bool) -> list[list[dict[str, str]]]:
    return [_chat(each, skip, system) for each in _shapes(roles)]


def _shapes(roles: tuple[Role, ...]) -> list[tuple[Role, ...]]:
    """Dialogues of fewer turns than `roles` and of some more that end alike."""
    longest = max(min(2 * len(roles), 64), len(roles), 12)
    turns = [roles[-1] if (longest - index) % 2 else _OTHER[roles[-1]] for index in range(longest)]
    return [tuple(turns[start:]) for start in range(longest)]


def _plain(tokenizer: Any, roles: tuple[Role, ...], system: bool) -> str:
    bos = tokenizer.bos_token_id
    opening = tokenizer.bos_token if bos is not None and tokenizer.encode("")[:1] == [bos] else ""
    before = f"{placeholder(0)}\n" if system else ""
    lines = "".join(f"{PLAIN_LABELS[role]}{placeholder(index + system)}\n" for index, role in enumerate(roles))
    return f"{opening}{before}{lines}{PLAIN_LABELS['agent']}"
