"""Refuses settings out of range, by name and with the remedy."""

from __future__ import annotations

import math

from ecc_fed.core.errors import ConfigError


def require_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Passes `value` in [low, high], finite.

    Raises:
        ConfigError: out of range, or no number at all.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (math.isfinite(value) and low <= value <= high)
    ):
        wanted = f"from {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise ConfigError(f"{name} is {value!r}: give a number {wanted}")
