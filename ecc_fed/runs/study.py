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
from ecc_fed.core.errors import ConfigError, UserError, WriteError
from ecc_fed.core.failed_run import FailedRun, forget_failure, keep_failure
from ecc_fed.core.run_claim import read_claim, refuse_taken
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.hosts.jobs import Hosts
from ecc_fed.hosts.waiting import RayDied
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.hosting import open_hosts
from ecc_fed.runs.kept_hosts import kept_hosts
from ecc_fed.runs.progress import OnProgress
from ecc_fed.runs.run_folder import check_same_config, new_run, resumed_run
from ecc_fed.runs.simulation import simulate

# From a run's title to a block in which its progress is shown.
ShowProgress = Callable[[str], AbstractContextManager[OnProgress]]
OnFailure = Callable[[FailedRun], None]


_ARM_SETTING = "arm."
_ELSEWHERE = "--out FOLDER"


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


@dataclass(frozen=True)
class Outcome:
    """What became of a study: how many runs had been finished before, and those that failed now."""

    finished_before: int
    failed: tuple[FailedRun, ...]


def run_study(
    runs: Sequence[StudyRun],
    out: Path,
    show_progress: ShowProgress,
    on_failure: OnFailure = lambda failed: None,
) -> Outcome:
    """Runs a study in its order, each run in its own folder of `out`.

    Finished runs are left as they are, and one that was stopped or failed goes on. Hosts stay open from run to run, and
    are opened anew where the next run asks for others, or after a run that failed: what those were at is not known.

    A run that fails ends itself alone. It is told to `on_failure` and kept beside its folder, until it is tried again.

    Raises:
        UserError: a run's folder holds something else, or a run with another config; then none has started.
        EccError: of the machine and not of a run: Ray is gone or does not start, or a file cannot be written.
    """
    left = [(number, run) for number, run in enumerate(runs, start=1) if not _is_finished(run, out)]
    finished_before = len(runs) - len(left)
    failed: list[FailedRun] = []
    while left:
        agreeing = [run for _, run in next(groupby(left, key=lambda each: each[1].config.runtime.pool))[1]]
        at_least = max(1, *(len(kept_hosts(_directory(run, out))) for run in agreeing))
        with open_hosts(agreeing[0].config, at_least) as hosts:
            for _ in agreeing:
                number, run = left.pop(0)
                failure = _attempt(run, out, hosts, show_progress, f"{number}/{len(runs)} {run.name}")
                if failure is not None:
                    failed.append(failure)
                    on_failure(failure)
                    break
    return Outcome(finished_before, tuple(failed))


def _attempt(run: StudyRun, out: Path, hosts: Hosts, show_progress: ShowProgress, title: str) -> FailedRun | None:
    """Makes the run, or goes on with it; what it failed of, if it did."""
    directory, config = _directory(run, out), to_yaml(run.composed)
    forget_failure(directory)
    try:
        begun = directory.claim.is_file()
        folder = resumed_run(directory, config) if begun else new_run(directory, config, _ELSEWHERE)
        with folder as run_id, show_progress(title) as on_progress:
            simulate(run.config, directory, hosts, on_progress, run_id)
            write_summary(directory.root)
    except (RayDied, WriteError, OSError):  # the next run would fail of it as well
        raise
    except Exception as error:
        return keep_failure(directory, run.name, error)
    return None


def _directory(run: StudyRun, out: Path) -> RunDirectory:
    return RunDirectory((out / run.name).absolute())


def _is_finished(run: StudyRun, out: Path) -> bool:
    """Whether nothing is left to do; refuses a folder that this run may not have."""
    directory = _directory(run, out)
    claim = read_claim(directory)
    if claim is None:
        refuse_taken(directory, _ELSEWHERE)
        return False
    check_same_config(directory, claim, to_yaml(run.composed))
    if directory.run.is_file() and not directory.summary.is_file():
        write_summary(directory.root)
    return directory.run.is_file()
