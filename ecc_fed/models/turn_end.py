"""How an agent's turn begins and ends in a chat, by the chat template itself.

The mark behind a turn is often another one than the tokenizer's eos_token (`<|im_end|>` of a base whose eos_token is
`<|endoftext|>`), and may be one that the vocabulary does not hold as a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ecc_fed.models.chat_ids import control_tokens, encode_parts
from ecc_fed.models.chat_template import TEMPLATES, Place, TemplateRefusal, placeholder, take_apart


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """An agent's turn around its text.

    Attributes:
        opening: what the template prints between the end of a prompt and the text; mostly nothing.
        closing: what it prints behind the text, up to the end mark; empty where no mark of its own ends a turn.
        place: the text's place.
        end_ids: tokens by which a turn is over, eos_token among them.
        end_sequence: the mark, where it is no token of its own; else empty.
    """

    opening: str
    closing: str
    place: Place
    end_ids: frozenset[int]
    end_sequence: tuple[int, ...]


_KNOWN: WeakKeyDictionary[Any, tuple[str, AgentTurn]] = WeakKeyDictionary()


def agent_turn(tokenizer: Any, variables: Mapping[str, Any] | None = None) -> AgentTurn:
    """The agent's turn of a tokenizer with a chat template, or with none; found once.

    Raises:
        ModelError: the template cannot be rendered at all.
    """
    asked = json.dumps([tokenizer.chat_template, variables], sort_keys=True)
    known = _KNOWN.get(tokenizer)
    if known is None or known[0] != asked:
        known = _KNOWN[tokenizer] = asked, _agent_turn(tokenizer, variables)
    return known[1]


def _agent_turn(tokenizer: Any, variables: Mapping[str, Any] | None) -> AgentTurn:
    eos: frozenset[int] = frozenset()
    if tokenizer.eos_token_id is not None:
        eos = frozenset({int(tokenizer.eos_token_id)})
    bare = AgentTurn("", "", Place(1, False, False), eos, ())
    if not tokenizer.chat_template:
        return bare
    prompt = [{"role": "user", "content": placeholder(0)}]
    answered = [*prompt, {"role": "assistant", "content": placeholder(1)}]
    try:
        begun = TEMPLATES.render(tokenizer, prompt, variables)
        text = TEMPLATES.render(tokenizer, answered, variables, opened=False)
    except TemplateRefusal:  # it knows no chat that ends with an agent
        return bare
    around, places = take_apart(text)
    number = next((number for number, place in enumerate(places) if place.index == 1), None)
    if number is None:
        return bare
    place, after = places[number], around[number + 1]
    opening = _opening(take_apart(begun)[0], around[: number + 1])
    controls = control_tokens(tokenizer)
    mark = controls.pattern.search(after)
    if mark is not None:
        return AgentTurn(opening, after[: mark.end()], place, eos | {controls.ids[mark[0]]}, ())
    # Some templates open the agent's next turn whether they are asked to or not: what of that ends a turn is unknown.
    asks = TEMPLATES.render(tokenizer, answered, variables) != text
    closing = after.rstrip() if asks else ""
    sequence = _sequence(tokenizer, closing) if closing else ()
    return AgentTurn(opening, closing, place, eos | _next_turn(tokenizer, answered, variables), sequence)


def _opening(begun: list[str], before: list[str]) -> str:
    """What stands before an agent's text behind what a prompt ends with; nothing where prompts end otherwise."""
    same = len(begun) == len(before) and begun[:-1] == before[:-1] and before[-1].startswith(begun[-1])
    return before[-1][len(begun[-1]) :] if same else ""


def _next_turn(tokenizer: Any, answered: list[dict[str, str]], variables: Mapping[str, Any] | None) -> set[int]:
    """The first control token behind an agent's turn that the customer answers to."""
    try:
        text = TEMPLATES.render(tokenizer, [*answered, {"role": "user", "content": placeholder(2)}], variables)
    except TemplateRefusal:
        return set()
    around, places = take_apart(text)
    between = [piece for place, piece in zip(places, around[1:], strict=True) if place.index == 1]
    controls = control_tokens(tokenizer)
    found = controls.pattern.search(between[0]) if between else None
    return set() if found is None else {controls.ids[found[0]]}


def _sequence(tokenizer: Any, closing: str) -> tuple[int, ...]:
    """The ids of a mark behind a text."""
    said, marked = (encode_parts(tokenizer, ["", "在", end]) for end in ("", closing))
    return tuple(marked[len(said) :]) if marked[: len(said)] == said else tuple(encode_parts(tokenizer, [closing]))
