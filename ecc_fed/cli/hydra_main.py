"""Hydra's own main, called with overrides that are as it reads them, and what it makes of a sweep."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig

from ecc_fed.assembly.compose import compose_job, register_schema
from ecc_fed.assembly.overrides import config_dirs_override, plain_sweep, readable, unreadable
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.shipped import conf_dir


class Carried(BaseException):
    """Takes an error past Hydra, which would print a traceback for any `Exception` and end the process."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def for_hydra(overrides: Sequence[str], folders: Sequence[str]) -> list[str]:
    """The overrides in Hydra's grammar, choices and globs as the values that they stand for."""
    return [plain_sweep(readable(override), (str(conf_dir()), *folders)) for override in overrides]


def call_hydra(
    arguments: Sequence[str], folders: Sequence[str] = (), job: Callable[[DictConfig], None] | None = None
) -> None:
    """Runs Hydra's own main with these arguments; raises what `job` carries past it.

    Args:
        arguments: flags, and overrides as Hydra reads them.
        folders: of the user's own YAML.
        job: makes a run; None where the flags make Hydra print something.
    """
    register_schema()
    # Not as its --config-dir, which is one, and stands before the shipped YAML where composing has it behind.
    search = [config_dirs_override(folders)] if folders else []
    usual, sys.argv = sys.argv, ["ecc-fed", *arguments, *search]
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="run")(job or _no_run)()
    except Carried as carried:
        raise carried.error from None
    finally:
        sys.argv = usual
        if job is None:  # what it prints, it logs, as the last act of a process
            root.handlers[:] = handlers
            root.setLevel(level)


def _no_run(composed: DictConfig) -> None:
    raise AssertionError("Hydra was asked to print something")


def swept(overrides: Sequence[str], folders: Sequence[str], allowed: Sequence[str]) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra's basic sweeper makes them.

    Raises:
        ConfigError: they cannot be read, or swept over; or as `compose_job`.
    """
    given = for_hydra(overrides, folders)
    try:
        jobs = _split(given)
        _, whole = compose_job(jobs[0], folders, allowed)
        own = [f"{key}={value}" for key, value in (whole.hydra.sweeper.params or {}).items()]
        return _split([*own, *given]) if own else jobs
    except OverrideParseException as error:
        raise unreadable(error.override) from error
    except HydraException as error:
        raise ConfigError(
            f"{' '.join(overrides)}: {error}. -m takes a,b, choice(…), range(…) and glob(…); for an interval: "
            "ecc-fed tune METRIC."
        ) from error


def _split(overrides: Sequence[str]) -> list[list[str]]:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [list(job) for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def printed_by_hydra(found: argparse.Namespace) -> list[str]:
    """The flags with which Hydra prints something and makes no run; none where runs are to be made.

    Raises:
        UserError: they do not go together.
    """
    asked = {"-m": found.multirun, "--cfg": found.cfg, "--info": found.info, "--hydra-help": found.hydra_help}
    given = [flag for flag, is_given in asked.items() if is_given]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} do not go together: give one of them. --cfg shows a single run.")
    for flag, is_given in {"--resolve": found.resolve, "--package": found.package}.items():
        if is_given and not found.cfg:
            raise UserError(f"{flag} is about what --cfg prints: add --cfg job.")
    flags = [["--cfg", found.cfg], ["--package", found.package], ["--info", found.info]]
    switches = {"--resolve": found.resolve, "--hydra-help": found.hydra_help}
    return [
        *(part for flag in flags if flag[1] for part in flag),
        *(flag for flag, is_given in switches.items() if is_given),
    ]
