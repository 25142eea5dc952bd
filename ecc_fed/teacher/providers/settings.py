"""Checks of settings that several teachers have."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require_number

# Why a call got no reply where nothing may be sent.
REPLAY_ONLY = "not in the cache, and teacher.replay=true lets nothing out"


def check_sampling(temperature: float | None, top_p: float | None, max_output_tokens: int) -> None:
    """Refuses values out of range.

    Raises:
        ConfigError: names the setting.
    """
    if temperature is not None:
        require_number("teacher.temperature", temperature, 0, 2)
    if top_p is not None:
        require_number("teacher.top_p", top_p, 1e-6, 1)
    require_number("teacher.max_output_tokens", max_output_tokens, 1)


def stated(**values: str | int | float | None) -> dict[str, str | int | float]:
    """The values that are set."""
    return {name: value for name, value in values.items() if value is not None}


def one_of(name: str, value: str | None, known: Sequence[str | None]) -> None:
    """Refuses a value that is not among `known`.

    Raises:
        ConfigError: names the setting and the choices.
    """
    if value not in known:
        choices = ", ".join("null" if choice is None else choice for choice in known)
        raise ConfigError(f"teacher.{name}={value} is unknown: one of {choices}")
