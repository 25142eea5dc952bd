"""What follows a command: flags, declared to argparse, and words such as settings, in any order."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ecc_fed.cli.console import TextConsole
from ecc_fed.core.errors import ConfigError, UserError


class CommandParser(argparse.ArgumentParser):
    """argparse's, with the command's own text as help, and mistakes in words.

    Args:
        text: the help.
        allow: whether a config may name classes of further packages.
        config_dirs: whether it takes folders of YAML.
    """

    def __init__(self, text: str, *, allow: bool = True, config_dirs: bool = False) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self._text = text
        self.add_argument("-h", "--help", action="help")
        if allow:
            self.add_argument("--allow", action="extend", type=_packages, default=[])
        if config_dirs:
            self.add_argument("--config-dir", "-cd", action="append", type=_folder, default=[], dest="config_dirs")

    def add_number(self, flag: str, least: int, most: int | None, example: int, default: int | None) -> None:
        """Declares a flag whose value is a whole number from `least` to `most`."""

        def number(given: str) -> int:
            if given.isascii() and given.isdigit() and least <= int(given) and (most is None or int(given) <= most):
                return int(given)
            bounds = f"from {least:,}" if most is None else f"from {least:,} to {most:,}"
            raise UserError(f"{flag} {given}: give a number {bounds}, such as {flag} {example}.")

        self.add_argument(flag, type=number, default=default)

    def read(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The flags, and the words beside them in their order. What follows `--` are words.

        A package that is allowed may lie in the working folder, which is then searched, after all that is installed.
        Otherwise it is not: whoever works in somebody else's folder imports nothing from it.

        Raises:
            UserError: an unknown flag, or one whose value is missing or wrong.
            SystemExit: after --help.
        """
        end = arguments.index("--") if "--" in arguments else len(arguments)
        found, words = self.parse_known_args(arguments[:end])
        for word in words:
            if word.startswith("-"):
                name = word.partition("=")[0]
                near = difflib.get_close_matches(name, self._option_string_actions, n=1)
                hint = f"Did you mean {near[0]}?" if near else "--help lists them."
                raise UserError(f"There is no flag {name} here. {hint}")
        if getattr(found, "allow", None) and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        return found, [*words, *arguments[end + 1 :]]

    def print_help(self, file: Any = None) -> None:
        """As argparse asks for it."""
        TextConsole().print(self._text, markup=True, highlight=False)

    def error(self, message: str) -> NoReturn:
        """As argparse asks for it.

        Raises:
            UserError: what argparse found.
        """
        told = message.removeprefix("argument ").replace(": expected one argument", " needs a value")
        raise UserError(f"{told}. --help tells more.")


def shared_flags(found: argparse.Namespace) -> list[str]:
    """The flags that a command shares with those that it starts or names, as they are typed."""
    folders = [part for folder in found.config_dirs for part in ("--config-dir", folder)]
    return [*folders, *(part for package in found.allow for part in ("--allow", package))]


def split_run(words: Sequence[str], usage: str) -> tuple[Path, list[str]]:
    """The folder of one run among a command's words, and the others as overrides.

    Raises:
        UserError: none, or several; shows the `usage`.
    """
    folders = [word for word in words if "=" not in word or Path(word).is_dir()]
    if len(folders) != 1:
        raise UserError(f"Give the folder of one finished run: {usage}")
    return Path(folders[0]), [word for word in words if word not in folders]


def _packages(given: str) -> list[str]:
    names = given.split(",")
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"--allow {given}: give a package's name, such as --allow my_package.")
    return names


def _folder(given: str) -> str:
    if not Path(given).is_dir():
        raise ConfigError(f"--config-dir {given}: no such folder.")
    return str(Path(given).resolve())
