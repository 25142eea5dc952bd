"""`ecc-fed study NAME`: every variant, seed and arm of a file in conf/experiment, then one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from ecc_fed.assembly.build import build_view
from ecc_fed.assembly.compose import compose_run, conf_dir, to_run_config, to_yaml
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli.arguments import refuse_flags, split_flags, take_value
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.simulation import open_hosts, simulate

_HELP = """[bold]ecc-fed study NAME[/] \\[--out DIR] \\[overrides]   all arms and seeds of a study, then its report

Studies (conf/experiment):
{studies}

  ecc-fed study quickstart study.seeds=\\[0,1,2]          three seeds
  ecc-fed study quickstart study.arms=\\[none,local]      two arms
  ecc-fed study quickstart corpus.num_shops=12           any setting of `ecc-fed run`
"""


@dataclass(frozen=True)
class StudyRun:
    """One run of a study."""

    name: str
    composed: DictConfig
    config: RunConfig


def studies() -> dict[str, str]:
    """The shipped studies with the first comment line of each."""
    found = {}
    for path in sorted((conf_dir() / "experiment").glob("*.yaml")):
        comments = [
            line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")
        ]
        found[path.stem] = next((line for line in comments if not line.startswith("@")), "")
    return found


def plan_study(name: str, overrides: Sequence[str], folders: Sequence[str] = ()) -> list[StudyRun]:
    """Every run of the study, composed and checked before any starts.

    Raises:
        UserError: no study of that name.
        ConfigError: a setting of any run is wrong.
    """
    if name not in studies():
        raise UserError(f"There is no study {name}. Studies: {', '.join(studies())}.")
    base = [f"experiment={name}"]
    study = to_run_config(compose_run([*base, *overrides], folders)).study
    runs = []
    for variant, changes in (study.variants or {"default": []}).items():
        for seed in study.seeds:
            for arm in study.arms:
                given = [*base, f"arm={arm}", f"seed={seed}", *changes, *overrides]
                composed = compose_run(given, folders)
                label = f"{arm}_seed{seed}" if len(study.variants) <= 1 else f"{variant}/{arm}_seed{seed}"
                runs.append(StudyRun(label, composed, to_run_config(composed)))
    if len({run.name for run in runs}) < len(runs):
        raise ConfigError("study.arms, study.seeds and study.variants must not repeat a value.")
    return runs


def main(arguments: list[str]) -> int:
    """Runs a study; returns the exit code."""
    if not arguments or any(argument in ("-h", "--help") for argument in arguments):
        lines = "\n".join(f"  [cyan]{name:<16}[/] {line}" for name, line in studies().items())
        Console().print(_HELP.format(studies=lines), highlight=False)
        return 0 if arguments else 2
    name, *rest = arguments
    out = Path("runs", "studies", f"{name}_{datetime.now():%Y-%m-%d_%H-%M-%S}")
    given = take_value(rest, "--out")
    if given is not None:
        out = Path(given)
    flags, overrides, folders = split_flags(rest)
    refuse_flags(flags)
    runs = plan_study(name, overrides, folders)
    view = build_view(runs[0].config)
    console = Console(stderr=True)
    for run in runs:
        if (out / run.name).exists():
            raise UserError(f"{out / run.name} exists already. Choose another folder with --out.")
    with open_hosts(runs[0].config) as hosts:
        for number, run in enumerate(runs, start=1):
            directory = RunDirectory((out / run.name).absolute())
            write_text(directory.config, to_yaml(run.composed))
            with run_progress(f"{number}/{len(runs)} {run.name}", console) as on_progress:
                simulate(run.config, directory, hosts, on_progress)
                write_summary(directory.root)
    # Plotting takes seconds to import; no mistake waits for it.
    from ecc_fed.reporting.report import report

    report([out], console=Console())
    for path in view.write(out, out) if view is not None else ():
        Console().print(f"Written: {path}", markup=False, highlight=False, soft_wrap=True)
    return 0
