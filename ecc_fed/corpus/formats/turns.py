"""A list of turns as people write them down: who speaks, and what they say, under whichever usual names."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import suppress
from typing import Any

_CUSTOMERS = ("customer", "user", "human", "buyer", "client", "usr", "客户", "顾客", "用户", "买家")
_AGENTS = ("agent", "assistant", "gpt", "bot", "model", "seller", "sys", "客服", "商家", "卖家")
SPEAKERS = dict.fromkeys(_CUSTOMERS, False) | dict.fromkeys(_AGENTS, True)
# Whose turns nobody says to a customer: tools, and what an agent's program notes of its own acts.
_TOOLS = ("tool", "function", "observation", "function_call", "action")
_CALLS = ("tool_calls", "function_call")
_ROLES = ("role", "from", "speaker")
_TEXTS = ("text", "content", "value")
# Between turns where one column holds several. `__eou__` ends a message within a turn that `__eot__` ends.
_SEPARATORS = ("__eot__", "__eou__", "[SEP]", "<sep>", "|||")
_MESSAGE_END = re.compile(r"\s*__eou__\s*")

Turns = tuple[list[bool], list[str]]


class BrokenRecord(ValueError):
    """Says what a record lacks."""


def speaker(named: Any, edits: Counter[str]) -> bool | None:
    """True for an agent, False for a customer, None for one whose turns are dropped (and counted).

    Raises:
        BrokenRecord: any other.
    """
    role = named.strip().lower() if isinstance(named, str) else ""
    if role in SPEAKERS:
        return SPEAKERS[role]
    if role in ("system", "developer"):
        edits["system_turn"] += 1
        return None
    if role in _TOOLS:
        edits["tool_turn"] += 1
        return None
    raise BrokenRecord(f"has role {named!r}, not customer or agent (user or assistant)")


def plain_turns(turns: list[Any]) -> Turns | None:
    """The turns where nothing is wrong with any of them, quickly; else None."""
    try:
        texts = [turn["text"] for turn in turns] if "text" in turns[0] else [turn["content"] for turn in turns]
        "".join(texts)  # raises where one is no text
        return [SPEAKERS[turn["role"]] for turn in turns], texts
    except (KeyError, TypeError):
        return None


def checked_turns(turns: list[Any], edits: Counter[str]) -> Turns:
    """The turns without those that nobody says to a customer.

    Raises:
        BrokenRecord: the first thing that is wrong.
    """
    by_agent: list[bool] = []
    texts: list[str] = []
    for i, turn in enumerate(turns, start=1):
        if isinstance(turn, list) and len(turn) == 2:
            named, said, called = turn[0], turn[1], False
        elif isinstance(turn, dict):
            named = next((turn[name] for name in _ROLES if name in turn), None)
            said = next((turn[name] for name in _TEXTS if name in turn), None)
            called = any(turn.get(name) for name in _CALLS)
        else:
            raise BrokenRecord(f"turn {i} is no JSON object")
        text = _text(said)
        if called and not text:
            edits["tool_turn"] += 1
            continue
        try:
            agent = speaker(named, edits)
        except BrokenRecord as fault:
            raise BrokenRecord(f"turn {i} {fault}") from None
        if agent is None:
            continue
        if not isinstance(text, str):
            raise BrokenRecord(f'turn {i} has no text under "text" or "content"')
        by_agent.append(agent)
        texts.append(text)
    return by_agent, texts


def names_of(turns: list[Any]) -> str:
    """Under which names the first turn says who speaks and what, for the report."""
    first = turns[0]
    if not isinstance(first, dict):
        return "pairs of speaker and text"
    found = [next((name for name in names if name in first), "?") for names in (_ROLES, _TEXTS)]
    return " and ".join(found)


def _text(content: Any) -> Any:
    """The text of a content in parts; any other as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    whole = len(texts) == len(content) and all(part.get("type") == "text" for part in content)
    return "".join(texts) if whole else None


def split_turns(text: str) -> list[str]:
    """The turns of a text that holds several between `__eot__`, `__eou__` and the like; one where it holds none."""
    separator = next((sign for sign in _SEPARATORS if sign in text), None)
    if separator is None:
        return [text]
    parts = [_MESSAGE_END.sub(" ", part).strip() for part in text.split(separator)]
    return [part for part in parts if part]


def said_before(context: Any, edits: Counter[str]) -> Turns:
    """What was said before a query: pairs of question and answer, turns, or a text with separators.

    In texts without speakers they take turns, and the last is the agent's.

    Raises:
        BrokenRecord: anything else.
    """
    if context is None or context == "" or context == []:
        return [], []
    if isinstance(context, str) and context.startswith("["):  # as a table or a data set may hold it
        with suppress(ValueError, RecursionError):
            context = json.loads(context)
    if isinstance(context, str):
        texts = split_turns(context)
        return [(len(texts) - i) % 2 == 1 for i in range(len(texts))], texts
    if not isinstance(context, list):
        raise BrokenRecord(f"what was said before is {type(context).__name__}, not a text or a list")
    if all(isinstance(turn, str) for turn in context):
        return [(len(context) - i) % 2 == 1 for i in range(len(context))], list(context)
    pairs = all(isinstance(turn, list) and [type(text) for text in turn] == [str, str] for turn in context)
    if pairs and not all(turn[0].strip().lower() in SPEAKERS for turn in context):
        return [False, True] * len(context), [text for turn in context for text in turn]
    return checked_turns(context, edits)
