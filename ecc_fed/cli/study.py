"""`ecc-fed study NAME`: every variant, seed and arm of a file in conf/experiment, then one report."""

from __future__ import annotations

import shlex
from datetime import datetime
from functools import partial
from pathlib import Path

from ecc_fed.assembly.build import build_view
from ecc_fed.cli.arguments import refuse_flags, split_flags, take_allowed, take_value
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.going_on import going_on
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.failed_run import FailedRun
from ecc_fed.core.outside_text import cut
from ecc_fed.core.protocols import StudyView
from ecc_fed.core.run_claim import reserved
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs.cloud import ended
from ecc_fed.runs.study import plan_study, run_study, studies

_HELP = """[bold]ecc-fed study NAME[/] \\[--out DIR] \\[overrides]   all arms and seeds of a study, then its report

Studies (conf/experiment):
{studies}

  ecc-fed study quickstart study.seeds=\\[0,1,2]          three seeds
  ecc-fed study quickstart study.arms=\\[none,local]      two arms
  ecc-fed study quickstart corpus.num_shops=12           any setting of `ecc-fed run`
  --config-dir DIR                                       a folder of your own YAML
  --allow PACKAGE                                        it may name classes of this package

The same command with the same --out DIR goes on with a study that was stopped: what is finished there stays.
A run that fails is told, the others are made all the same, and the exit code is not 0; the same command tries it again.
"""


def main(arguments: list[str]) -> int:
    """Runs a study; returns the exit code."""
    if not arguments or any(argument in ("-h", "--help") for argument in arguments):
        lines = "\n".join(f"  [cyan]{name:<16}[/] {line}" for name, line in studies().items())
        TextConsole().print(_HELP.format(studies=lines), highlight=False)
        return 0 if arguments else 2
    name, *rest = arguments
    given = take_value(rest, "--out")
    allowed = take_allowed(rest)
    flags, overrides, folders = split_flags(rest)
    refuse_flags(flags)
    runs = plan_study(name, overrides, folders, allowed)
    view = build_view(runs[0].config)
    usual = Path("runs", "studies", f"{name}_{datetime.now():%Y-%m-%d_%H-%M-%S}")
    out = reserved(usual) if given is None else Path(given)
    console = TextConsole(stderr=True)
    again = arguments if given is not None else [*arguments, "--out", str(out)]
    command = f"ecc-fed study {shlex.join(again)}"
    with going_on(command):
        outcome = run_study(runs, out, partial(run_progress, console=console), partial(_tell, console=console))
    if outcome.finished_before:
        text = f"{outcome.finished_before} of {len(runs)} runs in {out} had been finished before."
        console.print(text, markup=False)
    try:
        return max(_report(out, view), *(failed.exit_code for failed in outcome.failed), 0)
    finally:
        if outcome.failed:
            text = f"{len(outcome.failed)} of {len(runs)} runs failed. Try them again with: {command}"
            console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


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
