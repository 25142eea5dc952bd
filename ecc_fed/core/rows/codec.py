"""Dataclass to JSON object and back, by its type hints: the one place where what a file holds is checked.

| hint | in JSON |
|---|---|
| `str`, `bool`, `int` | the same; a bool is no number |
| `float` | a finite number |
| `Literal[...]` of texts | one of them |
| `X \\| None`, `str \\| int \\| float` | the first of them that fits |
| `tuple[X, ...]` | an array |
| `Mapping[str, X]` | an object |
| a dataclass | an object with its fields and no other; a field with a default may be missing |

A dataclass may say in `__post_init__` what else must hold, by a `ValueError`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ecc_fed.core.errors import RunDirectoryError

T = TypeVar("T")
REMEDY = "repair the file or run it again"
_SHOWN = 60


class _Misfit(Exception):
    """What does not fit, below `path`; `problem` follows the path in the message."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem, self.path = problem, path


@dataclass(frozen=True)
class _Form:
    """How values of one hint stand in JSON; `wanted` names them for errors."""

    wanted: str
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any]

    def misfit(self, value: object) -> _Misfit:
        return _Misfit(f"is {value!r:.{_SHOWN}}, not {self.wanted}")


def _same(value: Any) -> Any:
    return value


def _scalar(kind: type, wanted: str) -> _Form:
    def decode(value: Any) -> Any:
        if type(value) is not kind:
            raise form.misfit(value)
        return value

    form = _Form(wanted, decode, _same)
    return form


def _number() -> _Form:
    def decode(value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise form.misfit(value)
        return float(value)

    form = _Form("a number", decode, float)
    return form


def _choice(options: Sequence[str]) -> _Form:
    def decode(value: Any) -> Any:
        if value not in options:
            raise form.misfit(value)
        return value

    form = _Form(f"one of {', '.join(options)}", decode, _same)
    return form


def _union(members: Sequence[_Form], optional: bool) -> _Form:
    def decode(value: Any) -> Any:
        if value is None and optional:
            return None
        for member in members:
            try:
                return member.decode(value)
            except _Misfit as misfit:
                if misfit.path:  # of this sort, and broken within
                    raise
        raise form.misfit(value)

    def encode(value: Any) -> Any:
        # Members of a union of several are scalars, which stand in JSON as they are.
        return value if value is None or len(members) > 1 else members[0].encode(value)

    names = [*(member.wanted for member in members), *(["null"] if optional else [])]
    form = _Form(" or ".join(names), decode, encode)
    return form


def _list(item: _Form) -> _Form:
    def decode(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise form.misfit(value)
        return tuple(_within(item, part, f"[{index}]") for index, part in enumerate(value))

    form = _Form("a list", decode, lambda value: [item.encode(part) for part in value])
    return form


def _mapping(item: _Form) -> _Form:
    def decode(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise form.misfit(value)
        return {key: _within(item, part, f"[{key!r}]") for key, part in value.items()}

    form = _Form("an object", decode, lambda value: {key: item.encode(part) for key, part in value.items()})
    return form


def _record(kind: type) -> _Form:
    hints = get_type_hints(kind)
    known = {field.name: _form(hints[field.name]) for field in fields(kind)}
    required = [field.name for field in fields(kind) if field.default is field.default_factory is MISSING]

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise form.misfit(value)
        for key in value:
            if key not in known:
                raise _Misfit(f"is no key of it; it has {', '.join(known)}", f".{key}")
        for key in required:
            if key not in value:
                raise _Misfit("is missing", f".{key}")
        values = {key: _within(known[key], part, f".{key}") for key, part in value.items()}
        try:
            return kind(**values)
        except ValueError as error:
            raise _Misfit(str(error)) from error

    form = _Form("an object", decode, lambda row: {key: of.encode(getattr(row, key)) for key, of in known.items()})
    return form


def _within(form: _Form, value: Any, place: str) -> Any:
    try:
        return form.decode(value)
    except _Misfit as misfit:
        raise _Misfit(misfit.problem, place + misfit.path) from None


_SCALARS = {str: "a text", bool: "true or false", int: "a whole number"}


@cache
def _form(hint: Any) -> _Form:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        return _scalar(hint, _SCALARS[hint])
    if hint is float:
        return _number()
    if is_dataclass(hint):
        return _record(cast(type, hint))
    if origin is Literal:
        return _choice(arguments)
    if origin in (Union, types.UnionType):
        return _union([_form(part) for part in arguments if part is not type(None)], type(None) in arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _list(_form(arguments[0]))
    if origin is Mapping and arguments[0] is str:
        return _mapping(_form(arguments[1]))
    raise TypeError(f"{hint} has no form in JSON")


def encode(row: object) -> dict[str, Any]:
    """The dataclass as a JSON object."""
    kind: Any = type(row)
    return cast(dict[str, Any], _form(kind).encode(row))


def decode(kind: type[T], value: Any, where: str, remedy: str = REMEDY) -> T:
    """The dataclass that `encode` made `value` of.

    Args:
        kind: the dataclass.
        value: what JSON held.
        where: file and row, for errors.
        remedy: what to do about a value that does not fit.

    Raises:
        RunDirectoryError: a missing or unknown key, or a value that does not fit; names place, key and what fits.
    """
    try:
        return cast(T, _form(cast(Any, kind)).decode(value))
    except _Misfit as misfit:
        path = misfit.path.removeprefix(".")
        raise RunDirectoryError(f"{where}: {f'{path} ' if path else ''}{misfit.problem}; {remedy}") from None
