"""Flags beside Hydra overrides."""

from __future__ import annotations

import sys
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
    """Takes `flag VALUE` or `flag=VALUE` out of `arguments`.

    Raises:
        UserError: the flag stands there without a value.
    """
    position = _position(arguments, flag)
    if position is None:
        return None
    _, joined, value = arguments.pop(position).partition("=")
    if joined:
        return value
    if position == len(arguments):
        raise UserError(f"{flag} needs a value.")
    return arguments.pop(position)


def take_allowed(arguments: list[str]) -> tuple[str, ...]:
    """Takes every `--allow PACKAGE` out of `arguments`: packages whose classes a config may name.

    Such a package may lie in the working folder, which is then searched, after all that is installed. Without the flag
    it is not: whoever works in somebody else's folder imports nothing from it.

    Raises:
        UserError: the flag stands there without a value, or with one that is no package's name.
    """
    found: list[str] = []
    while (given := take_value(arguments, "--allow")) is not None:
        for name in given.split(","):
            if not all(part.isidentifier() for part in name.split(".")):
                raise UserError(f"--allow {given}: give a package's name, such as --allow my_package.")
            found.append(name)
    if found and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return tuple(found)


def _position(arguments: Sequence[str], flag: str) -> int | None:
    return next((i for i, given in enumerate(arguments) if given == flag or given.startswith(f"{flag}=")), None)


def refuse_flags(flags: Sequence[str], known: Sequence[str] = ("--config-dir", "-cd")) -> None:
    """Refuses flags that a command does not have.

    Raises:
        UserError: names the first of them.
    """
    for flag in flags:
        if flag.startswith("-") and flag.partition("=")[0] not in known:
            raise UserError(f"There is no flag {flag} here; --help lists them.")
