"""The one way to refuse a setting out of range: by its full name, its value and what would do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecc_fed.core.errors import ConfigError


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Passes where `condition` holds.

    Args:
        condition: whether `value` is in range.
        name: as the user writes it, such as "finetune.steps".
        value: what was given.
        expected: the range in words, such as "1 or more".

    Raises:
        ConfigError: it is out of range.
    """
    if not condition:
        raise ConfigError(f"{name}={value} is out of range: {expected}.")


def require_one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Passes one of the words in `choices`.

    Raises:
        ConfigError: it is another.
    """
    require(value in choices, name, value, f"one of {', '.join(choices)}")


def require_number(name: str, value: object, low: float, high: float = math.inf) -> None:
    """Passes a finite number in [low, high]: for settings of a user's own class, whose type no schema has checked.

    Raises:
        ConfigError: out of range, or no number at all.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    expected = f"a number from {low:g}" + ("" if math.isinf(high) else f" to {high:g}")
    require(number and low <= value <= high, name, value, expected)  # type: ignore[operator]
