"""A study: every variant, seed and arm of a file in conf/experiment, one run after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from omegaconf import DictConfig

from ecc_fed.assembly.compose import compose_run, conf_dir, to_run_config, to_yaml
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.hosting import open_hosts
from ecc_fed.runs.progress import OnProgress
from ecc_fed.runs.simulation import simulate

# From a run's title to a block in which its progress is shown.
ShowProgress = Callable[[str], AbstractContextManager[OnProgress]]


_ARM_SETTING = "arm."


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


def _settings_of_arms(
    arms: Sequence[str], overrides: Sequence[str], base: Sequence[str], folders: Sequence[str]
) -> dict[str, list[str]]:
    """By arm, the overrides of arms' settings that it takes: `arm.personal_rounds=1` means those that have such rounds.

    Raises:
        ConfigError: no arm of the study takes one of them.
    """
    if not overrides:
        return {arm: [] for arm in arms}
    known = {arm: compose_run([*base, f"arm={arm}"], folders).arm for arm in arms}
    found = {
        arm: [one for one in overrides if one.split("=")[0].removeprefix(_ARM_SETTING) in known[arm]] for arm in arms
    }
    for override in overrides:
        if not any(override in taken for taken in found.values()):
            raise ConfigError(f"{override} is a setting of none of the study's arms: {', '.join(arms)}.")
    return found


def plan_study(
    name: str, overrides: Sequence[str], folders: Sequence[str] = (), allowed: Sequence[str] = ()
) -> list[StudyRun]:
    """Every run of the study, composed and checked before any starts.

    Raises:
        UserError: no study of that name.
        ConfigError: a setting of any run is wrong, or names a class of a package that is not allowed.
    """
    if name not in studies():
        raise UserError(f"There is no study {name}. Studies: {', '.join(studies())}.")
    base = [f"experiment={name}"]
    for_arms = [override for override in overrides if override.startswith(_ARM_SETTING)]
    for_all = [override for override in overrides if override not in for_arms]
    study = to_run_config(compose_run([*base, *for_all], folders), allowed).study
    own = _settings_of_arms(study.arms, for_arms, [*base, *for_all], folders)
    runs = []
    for variant, changes in (study.variants or {"default": ()}).items():
        for seed in study.seeds:
            for arm in study.arms:
                given = [*base, f"arm={arm}", f"seed={seed}", *changes, *for_all, *own[arm]]
                composed = compose_run(given, folders)
                label = f"{arm}_seed{seed}" if len(study.variants) <= 1 else f"{variant}/{arm}_seed{seed}"
                runs.append(StudyRun(label, composed, to_run_config(composed, allowed)))
    if len({run.name for run in runs}) < len(runs):
        raise ConfigError("study.arms, study.seeds and study.variants must not repeat a value.")
    return runs


def run_study(runs: Sequence[StudyRun], out: Path, show_progress: ShowProgress) -> None:
    """Runs a study in its order, each run in its own folder of `out`.

    Hosts stay open from run to run, and are opened anew where the next run asks for others.

    Raises:
        UserError: a run's folder exists already; then none has started.
        EccError: as `simulate`.
    """
    for run in runs:
        if (out / run.name).exists():
            raise UserError(f"{out / run.name} exists already. Choose another folder with --out.")
    numbered = enumerate(runs, start=1)
    for _, agreeing in groupby(numbered, key=lambda each: each[1].config.runtime.pool):
        on_the_same = list(agreeing)
        with open_hosts(on_the_same[0][1].config) as hosts:
            for number, run in on_the_same:
                directory = RunDirectory((out / run.name).absolute())
                write_text(directory.config, to_yaml(run.composed))
                with show_progress(f"{number}/{len(runs)} {run.name}") as on_progress:
                    simulate(run.config, directory, hosts, on_progress)
                    write_summary(directory.root)
