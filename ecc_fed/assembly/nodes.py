"""Frozen records as Hydra's nodes, and back.

A record says names, types, defaults and ranges once, in the room that uses it. Hydra cannot hold it
as it is: a frozen record becomes a node that no override may change, and OmegaConf knows neither
`Literal` nor `Mapping`. So `node_of` derives, field by field, a dataclass that Hydra takes, and
`record_of` makes the record from what Hydra composed. Nothing is copied by hand.

| a record's field | the node's field |
|---|---|
| another record | its node |
| `Literal["a", "b"]` | `str`; the record itself refuses other words |
| `tuple[T, ...]` | `list[T]` |
| `Mapping[str, T]` | `dict[str, T]` |
| `T | None` | `T | None` |
| any other union | `Any` |
| without a default | `???`: a YAML file or an override must set it |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Optional, TypeGuard, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import omegaconf

Record = TypeVar("Record")


@cache
def node_of(record: type) -> type:
    """The dataclass that Hydra holds in the place of `record`, with its fields and defaults."""
    hints = get_type_hints(record)
    parts = [(part, hints[part.name]) for part in fields(record)]
    return make_dataclass(
        record.__name__, [(part.name, _node_type(hint), _node_default(part, hint)) for part, hint in parts]
    )


def record_of(record: type[Record], values: Mapping[str, Any]) -> Record:
    """The record from its node's plain values.

    Raises:
        ConfigError: what the record refuses.
    """
    return cast(Record, _value(record, values))


def _is_record(hint: Any) -> TypeGuard[type]:
    return isinstance(hint, type) and is_dataclass(hint)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """What a union allows beside None; empty for any other type."""
    if get_origin(hint) not in (Union, UnionType):
        return ()
    return tuple(each for each in get_args(hint) if each is not NoneType)


def _node_type(hint: Any) -> Any:
    origin, others = get_origin(hint), _alternatives(hint)
    if _is_record(hint):
        return node_of(hint)
    if origin is Literal:
        return str
    if origin is tuple:
        return list[_node_type(get_args(hint)[0])]  # type: ignore[misc]
    if origin is Mapping:
        return dict[str, _node_type(get_args(hint)[1])]  # type: ignore[misc]
    if others:
        return Optional[_node_type(others[0])] if len(others) == 1 else Any  # noqa: UP045
    return hint


def _node_default(part: Field[Any], hint: Any) -> Any:
    if part.default is MISSING and part.default_factory is MISSING:
        return field(default_factory=node_of(hint)) if _is_record(hint) else field(default=omegaconf.MISSING)
    make: Callable[[], Any] = (lambda: part.default) if part.default_factory is MISSING else part.default_factory
    return field(default_factory=lambda: _plain(make()))


def _plain(value: Any) -> Any:
    """A record's value as its node holds it."""
    if is_dataclass(value) and not isinstance(value, type):
        return node_of(type(value))(**{each.name: _plain(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return value


def _value(hint: Any, value: Any) -> Any:
    """A node's plain value as its record holds it."""
    origin, others = get_origin(hint), _alternatives(hint)
    if _is_record(hint):
        hints = get_type_hints(hint)
        return hint(**{name: _value(hints[name], each) for name, each in value.items()})
    if len(others) == 1 and value is not None:
        return _value(others[0], value)
    if origin is tuple:
        return tuple(_value(get_args(hint)[0], each) for each in value)
    if origin is Mapping:
        return {name: _value(get_args(hint)[1], each) for name, each in value.items()}
    if any(get_origin(each) is tuple for each in others) and isinstance(value, list):
        return tuple(value)
    return value
