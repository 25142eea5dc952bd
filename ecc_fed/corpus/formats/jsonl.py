"""A user's own dialogues as JSON lines, one session a line, in the order of time.

Either {"shop": "…", "turns": [{"role": "customer"|"agent", "text": "…"}, …]}
or     {"conversations": [{"role": "user"|"assistant", "content": "…"}, …]}
Both may carry "shop" (a text or a number) and "session" (a name that no other line has). The same under other usual
names is read alike: "messages", "from" and "value" (ShareGPT), roles such as "User" or "客服", a content in text parts.
System turns are dropped, and what an agent's program and its tools say to each other; both are counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ecc_fed.corpus.formats.files import FileCorpus, Reader
from ecc_fed.corpus.formats.reading import RawSession, ReadLog, read_lines

_LISTS = ("turns", "conversations", "messages")
_CUSTOMERS = ("customer", "user", "human", "buyer", "client", "客户", "顾客", "用户", "买家")
_AGENTS = ("agent", "assistant", "gpt", "bot", "model", "seller", "客服", "商家", "卖家")
_SPEAKERS = dict.fromkeys(_CUSTOMERS, False) | dict.fromkeys(_AGENTS, True)
# Whose turns nobody says to a customer.
_TOOLS = ("tool", "function", "observation", "function_call")
_CALLS = ("tool_calls", "function_call")


class _BrokenRecord(ValueError):
    """Says what a line lacks."""


def _name(record: dict[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _BrokenRecord(f'"{key}" is {type(value).__name__}, not a text or a whole number')
    return str(value)


def _session(line: str, number: int, log: ReadLog) -> RawSession:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise _BrokenRecord(f"not JSON{where}") from error
    if not isinstance(record, dict):
        raise _BrokenRecord("no JSON object")
    key = next((name for name in _LISTS if name in record), _LISTS[0])
    if not isinstance(record.get(key), list) or not record[key]:
        raise _BrokenRecord('no list of turns under "turns" or "conversations"')
    by_agent, texts = _plain_turns(record[key]) or _checked_turns(record[key], log)
    return RawSession(_name(record, "session") or f"line-{number}", _name(record, "shop"), number, by_agent, texts)


def _plain_turns(turns: list[Any]) -> tuple[list[bool], list[str]] | None:
    """The turns where nothing is wrong with any of them, quickly; else None."""
    try:
        texts = [turn["text"] for turn in turns] if "text" in turns[0] else [turn["content"] for turn in turns]
        "".join(texts)  # raises where one is no text
        return [_SPEAKERS[turn["role"]] for turn in turns], texts
    except (KeyError, TypeError):
        return None


def _checked_turns(turns: list[Any], log: ReadLog) -> tuple[list[bool], list[str]]:
    """The turns without the system's, or the first thing that is wrong."""
    by_agent: list[bool] = []
    texts: list[str] = []
    for i, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise _BrokenRecord(f"turn {i} is no JSON object")
        named = turn.get("role", turn.get("from"))
        role = named.lower() if isinstance(named, str) else ""
        text = _text(next((turn[name] for name in ("text", "content", "value") if name in turn), None))
        calls = not text and any(turn.get(name) for name in _CALLS)
        if role in ("system", "developer"):
            log.edits["system_turn"] += 1
            continue
        if role in _TOOLS or calls:
            log.edits["tool_turn"] += 1
            continue
        if role not in _SPEAKERS:
            raise _BrokenRecord(f"turn {i} has role {named!r}, not customer or agent (user or assistant)")
        if not isinstance(text, str):
            raise _BrokenRecord(f'turn {i} has no text under "text" or "content"')
        by_agent.append(_SPEAKERS[role])
        texts.append(text)
    return by_agent, texts


def _text(content: Any) -> Any:
    """The text of a content in parts; any other as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    whole = len(texts) == len(content) and all(part.get("type") == "text" for part in content)
    return "".join(texts) if whole else None


def read_jsonl(log: ReadLog) -> Iterator[RawSession]:
    """The sessions of a JSON-lines file, in the file's order.

    Raises:
        CorpusError: the file is missing or is of another format (see `read_lines`).
    """
    for number, line in read_lines(log):
        try:
            yield _session(line, number, log)
        except _BrokenRecord as fault:
            log.broken(number, str(fault))


@dataclass(frozen=True, kw_only=True)
class JsonlCorpus(FileCorpus):
    """Shops from a JSON-lines file. Arguments: see `FileCorpus`."""

    format: ClassVar[str] = "jsonl"
    expected: ClassVar[str] = (
        'JSON lines: a line is {"shop": …, "turns": [{"role": "customer"|"agent", "text": …}, …]} or '
        '{"conversations": [{"role": "user"|"assistant", "content": …}, …]}'
    )
    order: ClassVar[str] = "Split in the file's order, which is taken for that of time."
    reader: ClassVar[Reader] = staticmethod(read_jsonl)
