"""Which column, or key of a JSON object, holds what: told from its usual names, or as the user says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecc_fed.core.errors import CorpusError

_NAMES: dict[str, tuple[str, ...]] = {
    "turns": ("turns", "conversations", "messages", "dialogue", "conversation"),
    "query": ("query", "question", "prompt", "instruction", "input", "问题", "提问", "客户问题", "用户问题"),
    "reply": ("reply", "response", "answer", "output", "completion", "回答", "回复", "答案", "客服回复"),
    "context": ("context", "history", "上文", "历史"),
    "session": ("session", "session_id", "conversation_id", "dialogue_id", "dialog_id", "chat_id", "会话", "会话id"),
    "role": ("role", "speaker", "sender", "from", "角色", "发送者"),
    "text": ("text", "content", "message", "utterance", "value", "内容", "消息"),
    "shop": ("shop", "shop_id", "store", "store_id", "店铺", "店铺id"),
}
FIELDS = tuple(_NAMES)
_KEPT = 1000


def is_record(keys: Iterable[str], columns: Columns | None = None) -> bool:
    """Whether a record with these keys tells of a dialogue, a question and its answer, or a turn of a session."""
    found = (columns or Columns()).find(keys).keys()
    return "turns" in found or {"query", "reply"} <= found or {"session", "role", "text"} <= found


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """The value under `name`, which may be a path such as scenario.flow; None where there is none."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class Columns:
    """Field -> column as the user says; the others are told from their names.

    Raises:
        CorpusError: a field that there is none of, or no name of a column.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    _found: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, columns: Mapping[str, Any] | None) -> Columns:
        """From settings, in which null stands for a field that is told from the names."""
        given = {name: column for name, column in (columns or {}).items() if column is not None}
        for name, column in given.items():
            if name not in _NAMES:
                raise CorpusError(f"corpus.columns.{name}: there is no such field. Fields: {', '.join(FIELDS)}.")
            if not isinstance(column, str) or not column:
                raise CorpusError(f"corpus.columns.{name} is {column!r}; give the name of a column.")
        return cls(given)

    def find(self, keys: Iterable[str]) -> Mapping[str, str]:
        """Field -> key, of the fields that a record with these keys has."""
        keys = tuple(keys)
        found = self._found.get(keys)
        if found is None:
            found = self._find(keys)
            if len(self._found) < _KEPT:
                self._found[keys] = found
        return found

    def _find(self, keys: tuple[str, ...]) -> dict[str, str]:
        usual = {key.strip().lower(): key for key in reversed(keys)}
        found: dict[str, str] = {}
        for name, known in _NAMES.items():
            if name in self.given:
                column = self.given[name]
                if column in keys or column.partition(".")[0] in keys:
                    found[name] = column
            elif (key := next((usual[one] for one in known if one in usual), None)) is not None:
                found[name] = key
        # What the user names decides: {query, reply} given, a list of turns beside them is something else.
        if "turns" not in self.given and self.given.keys() & {"query", "reply", "text", "role"}:
            found.pop("turns", None)
        return found
