"""A number of `summary.json`, by its dotted path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ecc_fed.core.errors import UserError

_SHOWN = 5


class NotMeasured(UserError):
    """The run has the metric's place, and no number there."""

    exit_code = 1


def numbers_in(value: Any, prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """(dotted path, number) of every number at any depth; None where one could stand and was not measured."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers_in(item, f"{prefix}.{key}".lstrip("."))
    elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield prefix, None if value is None else float(value)


def number_at(summary: Mapping[str, Any], path: str) -> float:
    """The number.

    Raises:
        NotMeasured: the run did not measure it.
        UserError: no number can stand there; names the nearest that do.
    """
    known = dict(numbers_in(summary))
    # A measure that no query had is null as a whole, with what stands below it elsewhere.
    if known.get(path) is not None:
        return float(str(known[path]))
    if any(path == name or path.startswith(f"{name}.") for name, number in known.items() if number is None):
        raise NotMeasured(f"The run measured no {path}: its summary.json has null there.")
    numbers = [name for name, number in known.items() if number is not None]
    near = difflib.get_close_matches(path, numbers, n=_SHOWN, cutoff=0.5) or numbers[:_SHOWN]
    raise UserError(f"summary.json has no number {path}. Near it: {', '.join(near)}.")
