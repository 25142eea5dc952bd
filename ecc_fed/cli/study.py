"""`ecc-fed study NAME`: every variant, seed and arm of a file in conf/experiment, then one report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path

from ecc_fed.assembly.build import build_view
from ecc_fed.assembly.corpus_file import check_corpus_file
from ecc_fed.cli.arguments import CommandParser, shared_flags
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.going_on import going_on
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.failed_run import FailedRun
from ecc_fed.core.outside_text import cut
from ecc_fed.core.protocols import StudyView
from ecc_fed.core.run_claim import reserved
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs.attempts import PlannedRun
from ecc_fed.runs.beside import check_beside, end_with_parent, new_session, run_beside
from ecc_fed.runs.cloud import ended
from ecc_fed.runs.progress import OnProgress
from ecc_fed.runs.study import finished_runs, plan_study, run_study, studies

# Of the processes that --jobs starts.
_SESSION = "--session"
_HELP = """[bold]ecc-fed study NAME[/] \\[--out DIR] \\[--jobs N] \\[overrides]   all arms and seeds, then the report

Studies (conf/experiment):
{studies}

  ecc-fed study quickstart study.seeds=\\[0,1,2]          three seeds
  ecc-fed study quickstart study.arms=\\[none,local]      two arms
  ecc-fed study quickstart corpus.num_shops=12           any setting of `ecc-fed run`
  --jobs N                                               N runs beside each other, each on hosts of its own
  --config-dir DIR                                       a folder of your own YAML, also DIR/experiment/NAME.yaml
  --allow PACKAGE                                        it may name classes of this package

The same command with the same --out DIR goes on with a study that was stopped: what is finished there stays. So does a
study that gets more seeds, arms or methods.
A run that fails is told, the others are made all the same, and the exit code is not 0; the same command tries it again.

With --jobs a run gives what it gives by itself, as long as its shops share batches as they do there: where memory is
short, set runtime.shops_per_batch. runtime.hosts=1 keeps N runs from taking N times all cores. On GPUs, or on a
cluster, all share one Ray: ray start --head, runtime.ray_address=auto, and runtime.hosts for each run's part of it.
"""


def main(arguments: list[str]) -> int:
    """Runs a study; returns the exit code."""
    lines = "\n".join(f"  [cyan]{name:<16}[/] {line}" for name, line in studies().items())
    parser = CommandParser(_HELP.format(studies=lines), config_dirs=True)
    parser.add_argument("--out", type=Path)
    parser.add_number("--jobs", least=1, most=None, example=2, default=1)
    parser.add_argument(_SESSION)
    found, words = parser.read(arguments)
    if not words:
        parser.print_help()
        return 2
    name, *overrides = words
    session = found.session
    console = TextConsole(stderr=True)
    # The processes that --jobs starts would tell it again, all of them.
    shown: AbstractContextManager[OnProgress] = nullcontext(lambda stage, done, total: None)
    if session is None:
        shown = run_progress(name, console)
    with shown as on_progress:
        runs = plan_study(
            name, overrides, found.config_dirs, found.allow, lambda done, of: on_progress("composing", done, of)
        )
    for run in runs:
        check_corpus_file(run.config)
    check_beside(runs, found.jobs)
    view = build_view(runs[0].config)
    usual = Path("runs", "studies", f"{name}_{datetime.now():%Y-%m-%d_%H-%M-%S}")
    out = found.out or reserved(usual, "--out DIR")
    again = arguments if found.out else [*arguments, "--out", str(out)]
    command = f"ecc-fed study {shlex.join(again)}"
    progress, tell = partial(run_progress, console=console), partial(_tell, console=console)
    if session is not None:
        end_with_parent()
        run_study(runs, out, progress, tell, session)
        return 0
    left: tuple[str, ...] = ()
    with going_on(command):
        finished = finished_runs(runs, out)
        if found.jobs > 1 and finished < len(runs):
            own = [*words, *shared_flags(found)]
            failed, left = _beside(own, runs, out, min(found.jobs, len(runs) - finished), console)
        else:
            failed = run_study(runs, out, progress, tell)
    if finished:
        console.print(f"{finished} of {len(runs)} runs in {out} had been finished before.", markup=False)
    try:
        return max(_report(out, view), int(bool(left)), *(each.exit_code for each in failed), 0)
    finally:
        if failed or left:
            told = [f"{len(failed)} of {len(runs)} runs failed."] if failed else []
            told += [f"Not finished: {', '.join(left)}."] if left else []
            text = f"{' '.join(told)} Try them again with: {command}"
            console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


def _beside(
    arguments: Sequence[str], runs: Sequence[PlannedRun], out: Path, jobs: int, console: TextConsole
) -> tuple[tuple[FailedRun, ...], tuple[str, ...]]:
    session = new_session()
    of_each = ["study", *arguments, "--out", str(out), _SESSION, session]
    show = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    together = run_beside(of_each, runs, out, jobs, session, show)
    return together.failed, together.left


def _tell(failed: FailedRun, console: TextConsole) -> None:
    text = cut(f"{failed.name} failed ({failed.kind}): {failed.error}")
    console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    if failed.traceback:
        console.print(failed.traceback, markup=False, highlight=False, soft_wrap=True)


def _report(out: Path, view: StudyView | None) -> int:
    """Reports on the runs that were finished; the exit code that they give. Nothing where none was."""
    finished = [RunDirectory(path.parent) for path in out.rglob("run.json")]
    if not finished:
        return 0
    # Plotting takes seconds to import; no mistake waits for it.
    from ecc_fed.reporting.report import report

    report([out], console=TextConsole())
    for path in view.write(out, out) if view is not None else ():
        TextConsole().print(f"Written: {path}", markup=False, highlight=False, soft_wrap=True)
    return ended(finished)
