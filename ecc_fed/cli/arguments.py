"""Flags beside Hydra overrides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecc_fed.core.errors import ConfigError, UserError

_WITH_VALUE = ("--config-dir", "-cd", "--cfg", "-c", "--package", "-p")


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Hydra's own flags, overrides, and the folders given by --config-dir.

    Raises:
        ConfigError: a folder that is not there.
    """
    flags, overrides, folders = [], [], []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        flags.append(argument)
        name, _, value = argument.partition("=")
        if name in _WITH_VALUE and not value:
            value = next(rest, "")
            flags.append(value)
        if name in ("--config-dir", "-cd"):
            if not Path(value).is_dir():
                raise ConfigError(f"--config-dir {value}: no such folder.")
            folders.append(str(Path(value).resolve()))
    return flags, overrides, folders


def take_value(arguments: list[str], flag: str) -> str | None:
    """Takes `flag VALUE` out of `arguments`.

    Raises:
        UserError: the flag stands there without a value.
    """
    if flag not in arguments:
        return None
    position = arguments.index(flag)
    if position + 1 == len(arguments):
        raise UserError(f"{flag} needs a value.")
    value = arguments[position + 1]
    del arguments[position : position + 2]
    return value


def refuse_flags(flags: Sequence[str], known: Sequence[str] = ("--config-dir", "-cd")) -> None:
    """Refuses flags that a command does not have.

    Raises:
        UserError: names the first of them.
    """
    for flag in flags:
        if flag.startswith("-") and flag.partition("=")[0] not in known:
            raise UserError(f"There is no flag {flag} here; --help lists them.")
