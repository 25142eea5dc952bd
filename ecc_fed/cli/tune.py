"""`ecc-fed tune METRIC`: a search for the settings that make a number of summary.json large."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.table import Table

from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.going_on import going_on
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.errors import UserError
from ecc_fed.core.outside_text import cut, visible
from ecc_fed.core.run_claim import reserved
from ecc_fed.core.run_directory import write_text
from ecc_fed.runs.tuning.search import Result, Search, plan_search, run_search
from ecc_fed.runs.tuning.trials import Direction

_TRIALS = 20
_HELP = """[bold]ecc-fed tune METRIC[/] \\[--trials N] \\[--minimize] \\[--out DIR] overrides   better settings

METRIC is a number of summary.json by its path, such as evaluation.final.final_score.mean,
evaluation.final.fact_accuracy.mean or teacher.cost_usd. Of the overrides at least one is a range, in Hydra's syntax:

  ecc-fed tune evaluation.final.final_score.mean arm=local 'finetune.learning_rate=tag(log,interval(1e-4,1e-2))'
  ecc-fed tune evaluation.final.perplexity.mean --minimize 'adapter=choice(lora,dora)' 'finetune.steps=range(10,60,10)'
  'KEY=tag(int,interval(1,8))'    whole numbers

  --trials N         how many runs in all, failed ones too ({trials})
  --minimize         the smaller the better
  --out DIR          where they go; the same command goes on where it stopped, and with a larger N adds trials
  --config-dir DIR   a folder of your own YAML
  --allow PACKAGE    it may name classes of this package

Optuna's TPE sampler proposes, seeded by the run's seed; needs pip install 'ecc_fed\\[tune]'. DIR/trial_000 and so on
are run folders, DIR/trials.csv is the table, DIR/tune.sqlite Optuna's storage. The exit code is 0 if any trial
succeeded. The metric is of test queries: hold what was found against another seed before you believe it.
"""


def main(arguments: list[str]) -> int:
    """Searches; returns the exit code."""
    parser = CommandParser(_HELP.format(trials=_TRIALS), config_dirs=True)
    parser.add_argument("--minimize", action="store_true")
    parser.add_number("--trials", least=1, most=None, example=_TRIALS, default=_TRIALS)
    parser.add_argument("--out", type=Path)
    found, words = parser.read(arguments)
    if not words:
        parser.print_help()
        return 2
    metric, *overrides = words
    if "=" in metric:
        raise UserError(
            f"Name the metric first: ecc-fed tune evaluation.final.final_score.mean {shlex.join(arguments)}"
        )
    direction: Direction = "minimize" if found.minimize else "maximize"
    search = plan_search(metric, direction, overrides, found.config_dirs, found.allow)
    usual = Path("runs", "tune", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    out = found.out or reserved(usual, "--out DIR")
    console = TextConsole(stderr=True)
    again = arguments if found.out else [*arguments, "--out", str(out)]
    with going_on(f"ecc-fed tune {shlex.join(again)}"):
        results = run_search(search, out, found.trials, partial(run_progress, console=console), partial(_tell, console))
    ranked = _ranked(results, found.minimize)
    write_text(out / "trials.csv", _csv(ranked, search))
    shown = TextConsole()
    shown.print(_table(ranked, search), highlight=False)
    if not ranked or ranked[0].trial.result is None:
        console.print(f"None of {len(ranked)} trials succeeded.", style="red", highlight=False)
        return 1
    best = ranked[0]
    text = f"Best: {best.trial.name} of {out}, {metric} = {best.trial.result:.6g}. Run it again, or with another seed:"
    shown.print(text, markup=False, highlight=False, soft_wrap=True)
    shown.print(best_command(search, best), markup=False, highlight=False, soft_wrap=True)
    return 0


def best_command(search: Search, best: Result) -> str:
    """The trial's run as a command line."""
    folders = [part for folder in search.folders for part in ("--config-dir", folder)]
    allowed = [part for package in search.allowed for part in ("--allow", package)]
    return shlex.join(["ecc-fed", "run", *folders, *allowed, *search.fixed, *best.overrides])


def _tell(console: TextConsole, result: Result) -> None:
    told = f"{result.trial.result:.6g}" if result.trial.result is not None else f"failed: {result.error}"
    text = cut(f"{result.trial.name} {' '.join(result.overrides)}: {told}")
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _ranked(results: Sequence[Result], minimize: bool) -> list[Result]:
    """The best first, failed ones last; of equals the earlier."""

    def key(result: Result) -> tuple[bool, float]:
        value = result.trial.result
        return value is None, 0.0 if value is None else value if minimize else -value

    return sorted(results, key=key)


def _table(ranked: Sequence[Result], search: Search) -> Table:
    table = Table("Trial", search.metric, *[parameter.key for parameter in search.space], box=None)
    for result in ranked:
        value = "failed" if result.trial.result is None else f"{result.trial.result:.6g}"
        table.add_row(str(result.trial.number), value, *[_value(override) for override in result.overrides])
    return table


def _csv(ranked: Sequence[Result], search: Search) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", search.metric, *[parameter.key for parameter in search.space], "error"])
    for result in ranked:
        value = "" if result.trial.result is None else repr(result.trial.result)
        error = visible(result.error or "")
        writer.writerow([result.trial.name, value, *[_value(override) for override in result.overrides], error])
    return out.getvalue()


def _value(override: str) -> str:
    return override.partition("=")[2]
