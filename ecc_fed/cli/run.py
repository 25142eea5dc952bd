"""`ecc-fed run`: one run from Hydra overrides, or a sweep of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from ecc_fed.assembly.compose import check_hydra, compose_run, conf_dir, register_schema, to_run_config, to_yaml
from ecc_fed.assembly.federation import build_arm
from ecc_fed.cli.arguments import split_flags, take_allowed
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.errors import ConfigError, EccError
from ecc_fed.core.outside_text import cut
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.hosting import open_hosts
from ecc_fed.runs.simulation import simulate

_HELP = """[bold]ecc-fed run[/] \\[-m] \\[overrides]   one run; -m sweeps over comma-separated values

Groups (conf/GROUP/NAME.yaml, chosen by GROUP=NAME):
{groups}

Any single value: GROUP.KEY=VALUE, such as
  seed=1  corpus.num_shops=12  corpus.platform_share=0.5  evolution.server_rounds=8  evolution.reference=gated
  corpus=jddc corpus.path=FILE  end_model.path=FOLDER  hydra.run.dir=runs/mine

  --cfg job          print the resolved config and stop
  --config-dir DIR   add a folder of your own YAML to the search path
  --allow PACKAGE    the config may name classes of this package; else of ecc_fed alone

A run directory holds summary.json, report.html, samples.jsonl, metrics.jsonl, egress.jsonl and shops/.
"""


def _print_help() -> None:
    lines = []
    for group in sorted(path for path in conf_dir().iterdir() if path.is_dir()):
        names = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        lines.append(f"  [cyan]{group.name:<11}[/] {names}")
    TextConsole().print(_HELP.format(groups="\n".join(lines)), highlight=False)


def check_overrides(
    overrides: Sequence[str], multirun: bool, folders: Sequence[str] = (), allowed: Sequence[str] = ()
) -> None:
    """Composes every job of the command before any starts.

    Raises:
        ConfigError: any of them does not compose, holds a value out of range, or would run code that is not allowed.
    """
    jobs = [list(overrides)]
    if multirun:
        try:
            parsed = OverridesParser.create().parse_overrides(list(overrides))
            batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        except HydraException as error:
            raise ConfigError(f"The overrides {' '.join(overrides)} cannot be read: {error}") from error
        jobs = [list(job) for batch in batches for job in batch]
    for job in jobs:
        check_hydra(job, folders, allowed)
        to_run_config(compose_run(job, folders), allowed)


def main(arguments: list[str]) -> int:
    """Runs; returns the exit code."""
    if any(argument in ("-h", "--help") for argument in arguments):
        _print_help()
        return 0
    arguments = list(arguments)
    allowed = take_allowed(arguments)
    flags, overrides, folders = split_flags(arguments)
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    check_overrides(overrides, multirun, folders, allowed)
    register_schema()
    console = TextConsole(stderr=True)
    codes: list[int] = []

    def job(composed: DictConfig) -> None:
        directory = RunDirectory(Path(HydraConfig.get().runtime.output_dir))
        try:
            write_text(directory.config, to_yaml(composed))
            config = to_run_config(composed, allowed)
            with run_progress(build_arm(config).name, console) as on_progress, open_hosts(config) as hosts:
                simulate(config, directory, hosts, on_progress)
                write_summary(directory.root)
            from ecc_fed.reporting.report import report  # plotting takes seconds to import: no mistake waits for it

            report([directory.root], console=TextConsole())
        except EccError as error:
            if not multirun:
                raise _Carried(error) from error
            console.print(f"Error in {directory.root}: {cut(str(error))}", markup=False, highlight=False)
            codes.append(error.exit_code)

    sys.argv = ["ecc-fed run", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="run")(job)()
    except _Carried as carried:
        raise carried.error from None
    return max(codes, default=0)


class _Carried(BaseException):
    """Takes an `EccError` past Hydra, which would print a traceback for any `Exception`."""

    def __init__(self, error: EccError) -> None:
        self.error = error
