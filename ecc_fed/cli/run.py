"""`ecc-fed run`: one run from Hydra overrides, or a sweep of them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from ecc_fed.assembly.build import build_tracker
from ecc_fed.assembly.compose import (
    compose_job,
    compose_run,
    hydra_setting,
    load_config,
    to_run_config,
    to_yaml,
)
from ecc_fed.assembly.corpus_file import check_corpus_file
from ecc_fed.assembly.federation import build_arm
from ecc_fed.assembly.local_models import check_local_models
from ecc_fed.assembly.overrides import literal, readable
from ecc_fed.assembly.privacy import check_redaction
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.going_on import going_on
from ecc_fed.cli.hydra_main import Carried, call_hydra, for_hydra, printed_by_hydra, swept
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.errors import EccError, UserError
from ecc_fed.core.outside_text import cut
from ecc_fed.core.run_claim import refuse_taken, reserved
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.shipped import conf_dir
from ecc_fed.runs.cloud import ended
from ecc_fed.runs.conclusion import conclude
from ecc_fed.runs.hosting import open_hosts
from ecc_fed.runs.kept_hosts import kept_hosts
from ecc_fed.runs.run_folder import new_run, resumed_run
from ecc_fed.runs.simulation import simulate

_HELP = """[bold]ecc-fed run[/] \\[-m] \\[overrides]   one run; -m sweeps over comma-separated values

Groups (conf/GROUP/NAME.yaml, chosen by GROUP=NAME):
{groups}

Any single value: GROUP.KEY=VALUE, such as
  seed=1  corpus.num_shops=12  corpus.platform_share=0.5  evolution.server_rounds=8  evolution.reference=gated
  corpus=jddc corpus.path=FILE  end_model.path=FOLDER  hydra.run.dir=runs/mine

  --resume DIR       go on with a run that was stopped, from its last finished round; overrides as at its start, or none
  --cfg job          print the resolved config and stop
  --config-dir DIR   add a folder of your own YAML to the search path
  --allow PACKAGE    the config may name classes of this package; else of ecc_fed alone

With -m runs follow one another, and one table and page over all of them comes last; `ecc-fed study NAME --jobs N` makes
runs beside each other.
A run directory holds summary.json, report.html, samples.jsonl, metrics.jsonl, updates.jsonl, egress.jsonl and shops/.
"""


# How a folder is chosen, of one run and of a sweep.
_ELSEWHERE = {False: "hydra.run.dir=FOLDER", True: "hydra.sweep.dir=FOLDER"}
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def _parser() -> CommandParser:
    """Our flags, and those of Hydra's that print something or sweep."""
    lines = []
    for group in sorted(path for path in conf_dir().iterdir() if path.is_dir()):
        names = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        lines.append(f"  [cyan]{group.name:<11}[/] {names}")
    parser = CommandParser(_HELP.format(groups="\n".join(lines)), config_dirs=True)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_INFO)
    parser.add_argument("--hydra-help", action="store_true")
    return parser


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be made: its overrides, and what they compose to with Hydra's own part."""

    overrides: Sequence[str]
    whole: DictConfig


def check_overrides(
    overrides: Sequence[str], multirun: bool, folders: Sequence[str] = (), allowed: Sequence[str] = ()
) -> list[Job]:
    """Composes every job of the command before any starts.

    Raises:
        ConfigError: any of them does not compose, holds a value out of range, or would run code that is not allowed.
        ModelError: a folder that one of them names holds no whole model.
    """
    jobs = []
    for given in swept(overrides, folders, allowed) if multirun else [list(overrides)]:
        composed, whole = compose_job(given, folders, allowed)
        config = to_run_config(composed, allowed)
        check_redaction(config)
        build_tracker(config)
        check_local_models(config)
        check_corpus_file(config)
        jobs.append(Job(given, whole))
    return jobs


def main(arguments: list[str]) -> int:
    """Runs; returns the exit code."""
    found, overrides = _parser().read(arguments)
    printed = printed_by_hydra(found)
    if found.resume is not None:
        if found.multirun or printed:
            raise UserError("--resume goes on with one run: leave the other flags out.")
        return _resume(RunDirectory(found.resume.absolute()), overrides, found.config_dirs, found.allow)
    if printed:
        check_overrides(overrides, False, found.config_dirs, found.allow)
        call_hydra([*printed, *map(readable, overrides)], found.config_dirs)
        return 0
    made = make_runs(overrides, found.allow, found.config_dirs, multirun=found.multirun, shown=TextConsole())
    return max((run.code for run in made), default=0)


@dataclass(frozen=True, slots=True)
class Made:
    """A run that was made, or tried in a sweep: its folder, and the exit code that it stands for."""

    directory: RunDirectory
    code: int


def make_runs(
    overrides: Sequence[str],
    allowed: Sequence[str] = (),
    folders: Sequence[str] = (),
    *,
    multirun: bool = False,
    elsewhere: str | None = None,
    shown: Console | None = None,
) -> list[Made]:
    """What `ecc-fed run OVERRIDES` does, and what `ecc_fed.run` does.

    Args:
        overrides: as they were typed.
        allowed: packages whose classes the config may name.
        folders: of the user's own YAML.
        multirun: a sweep.
        elsewhere: how another folder is chosen, for errors; None: by Hydra's settings.
        shown: where the report is printed, of a sweep the one over all its runs; None prints none of it.

    Raises:
        EccError: the user's mistake, before anything is written; or a single run that cannot go on.
    """
    elsewhere = elsewhere or _ELSEWHERE[multirun]
    jobs = check_overrides(overrides, multirun, folders, allowed)
    console = TextConsole(stderr=True)
    made: list[Made] = []

    def job(composed: DictConfig) -> None:
        directory = RunDirectory(Path(HydraConfig.get().runtime.output_dir))
        try:
            with new_run(directory, to_yaml(composed), elsewhere) as run_id:
                own = None if multirun else shown
                code = _run(to_run_config(composed, allowed), directory, run_id, console, own)
        except Exception as error:
            if not multirun:
                raise Carried(error) from error
            if not isinstance(error, EccError):
                raise
            console.print(f"Error in {directory.root}: {cut(str(error))}", markup=False, highlight=False)
            code = error.exit_code
        made.append(Made(directory, code))

    own = _own_folder(jobs[0], folders, multirun, elsewhere)
    call_hydra([*(["--multirun"] if multirun else []), *for_hydra(overrides, folders), *own], folders, job)
    if multirun:
        _report_sweep([run.directory for run in made if run.directory.run.is_file()], shown)
    return made


def _run(config: RunConfig, directory: RunDirectory, run_id: str, console: TextConsole, shown: Console | None) -> int:
    """The exit code: 1 for a run that is reported although it did not end well."""
    with (
        going_on(f"ecc-fed run --resume {shlex.quote(str(directory.root))}"),
        run_progress(build_arm(config).name, console) as on_progress,
        open_hosts(config, len(kept_hosts(directory)) or 1) as hosts,
    ):
        simulate(config, directory, hosts, on_progress, run_id)
        conclude(config, directory)
    _report(directory, shown)
    return ended([directory])


def _report(directory: RunDirectory, shown: Console | None) -> None:
    from ecc_fed.reporting.report import report  # plotting takes seconds to import: no mistake waits for it

    report([directory.root], console=shown)


def _report_sweep(directories: Sequence[RunDirectory], shown: Console | None) -> None:
    """One table and one page over the runs that were finished, in the folder that holds them."""
    if not directories:
        return
    from ecc_fed.reporting.report import report

    roots = [directory.root for directory in directories]
    folder = Path(os.path.commonpath([root.parent for root in roots]))
    report(roots, output=folder, console=shown)


def _resume(directory: RunDirectory, overrides: Sequence[str], folders: Sequence[str], allowed: Sequence[str]) -> int:
    """Goes on with the run in `directory`; `overrides` must be those that it started with, or none."""
    console = TextConsole(stderr=True)
    composed = compose_run(overrides, folders) if overrides else None
    if composed is not None:
        to_run_config(composed, allowed)
    with resumed_run(directory, None if composed is None else to_yaml(composed)) as run_id:
        if not directory.run.is_file():
            config = load_config(directory.config, allowed=allowed)
            check_redaction(config)
            build_tracker(config)
            return _run(config, directory, run_id, console, TextConsole())
        console.print(f"{directory.root} holds a finished run: nothing is left to do.", markup=False, highlight=False)
        if not directory.summary.is_file():
            conclude(load_config(directory.config, allowed=allowed), directory)
        if not directory.report.is_file():
            _report(directory, TextConsole())
    return 0


def _own_folder(job: Job, config_dirs: Sequence[str], multirun: bool, elsewhere: str) -> list[str]:
    """The override that names the folder of this run or sweep: none is shared, and nothing is written before that.

    A folder that the user has chosen must be free. The usual ones carry the second of the start; of those that start
    in one second, each gets its own.

    Raises:
        UserError: the folder is not empty, cannot be made, or has a name that Hydra cannot bear.
    """
    key = _ELSEWHERE[multirun].partition("=")[0]
    wanted = hydra_setting(key, job.whole, job.overrides, config_dirs)
    if wanted is None:  # it depends on what Hydra sets later; the claim on the folder still holds
        return []
    root = Path(wanted)
    if "${" in str(root.absolute()):
        raise UserError(f"{root.absolute()}: Hydra takes ${{ in a folder's name for a setting. Choose one without it.")
    if any(override.lstrip("+").startswith(f"{key}=") for override in job.overrides):
        refuse_taken(RunDirectory(root.absolute()), elsewhere)
        try:
            root.mkdir(parents=True, exist_ok=True)  # Hydra would, and show a trace where it cannot
        except OSError as error:
            raise UserError(
                f"{root} cannot be made ({error.strerror}): choose another folder with {elsewhere}"
            ) from error
    else:
        root = reserved(root, elsewhere)
    return [f"{key}={literal(str(root))}"]
