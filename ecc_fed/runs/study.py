"""A study: every variant, seed, arm and method of a file in conf/experiment, one run after another."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, product
from pathlib import Path

from omegaconf import DictConfig

from ecc_fed.assembly.build import build_tracker
from ecc_fed.assembly.compose import to_run_config, to_yaml
from ecc_fed.assembly.compose_many import Composer
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.local_models import check_local_models
from ecc_fed.assembly.privacy import check_redaction
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.failed_run import FailedRun, failed_in
from ecc_fed.core.folder_lock import taken
from ecc_fed.core.run_claim import read_claim, refuse_taken
from ecc_fed.core.shipped import conf_dir
from ecc_fed.runs.attempts import ELSEWHERE, HostsBetweenRuns, PlannedRun, ShowProgress, attempt
from ecc_fed.runs.conclusion import conclude
from ecc_fed.runs.kept_hosts import kept_hosts
from ecc_fed.runs.run_folder import check_same_config

OnFailure = Callable[[FailedRun], None]
# (how many are composed, of how many)
OnPlanned = Callable[[int, int], None]
_ARM_SETTING = "arm."


def studies(folders: Sequence[str] = ()) -> dict[str, str]:
    """The shipped studies and those of the user's own YAML, with the first comment line of each."""
    found = {}
    places = [conf_dir(), *map(Path, folders)]
    paths = (path for place in places for path in (place / "experiment").glob("*.yaml"))
    for path in sorted(paths, key=lambda path: path.stem):
        comments = [
            line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")
        ]
        found[path.stem] = next((line for line in comments if not line.startswith("@")), "")
    return found


def _settings_of_arms(
    arms: Sequence[str], overrides: Sequence[str], base: Sequence[str], composer: Composer
) -> dict[str, list[str]]:
    """By arm, the overrides of arms' settings that it takes: `arm.personal_rounds=1` means those that have such rounds.

    Raises:
        ConfigError: no arm of the study takes one of them.
    """
    if not overrides:
        return {arm: [] for arm in arms}
    known = {arm: composer.compose([*base, f"arm={arm}"]).arm for arm in arms}
    # Of a setting within a setting the outer one tells; what it does not hold, composing refuses by its nearest name.
    outer = {one: one.split("=")[0].removeprefix(_ARM_SETTING).split(".")[0] for one in overrides}
    found = {arm: [one for one in overrides if outer[one] in known[arm]] for arm in arms}
    for override in overrides:
        if not any(override in own for own in found.values()):
            raise ConfigError(f"{override} is a setting of none of the study's arms: {', '.join(arms)}.")
    return found


def plan_study(
    name: str,
    overrides: Sequence[str],
    folders: Sequence[str] = (),
    allowed: Sequence[str] = (),
    on_planned: OnPlanned = lambda done, of: None,
) -> list[PlannedRun]:
    """Every run of the study, composed and checked before any starts.

    Args:
        name: of the study.
        overrides: for all its runs.
        folders: of the user's own YAML.
        allowed: packages whose classes it may name.
        on_planned: told after every arm of every world and seed, with the number of all of them.

    Raises:
        UserError: no study of that name.
        ConfigError: a setting of any run is wrong, or names a class of a package that is not allowed.
    """
    known = studies(folders)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UserError(
            f"There is no study {name}. {hint}Studies: {', '.join(known)}. One of your own is "
            f"experiment/{name}.yaml in a folder given as --config-dir."
        )
    base = [f"experiment={name}"]
    for_arms = [override for override in overrides if override.startswith(_ARM_SETTING)]
    for_all = [override for override in overrides if override not in for_arms]
    composer = Composer(folders)
    study = to_run_config(composer.compose([*base, *for_all]), allowed).study
    own = _settings_of_arms(study.arms, for_arms, [*base, *for_all], composer)
    runs: list[PlannedRun] = []
    variants = study.variants or {"default": ()}
    places = list(product(variants.items(), study.seeds, study.arms))
    for done, ((variant, changes), seed, arm) in enumerate(places, start=1):
        below = f"{variant}/" if len(study.variants) > 1 else ""
        before, after = [*base, f"arm={arm}", f"seed={seed}", *changes], [*for_all, *own[arm]]
        methods: Mapping[str, Sequence[str]] = {"": ()}
        if study.methods and _federated(composer.compose([*before, *after]), allowed):
            methods = study.methods
        for method, more in methods.items():
            label = f"{below}{arm}_{method}_seed{seed}" if method else f"{below}{arm}_seed{seed}"
            composed = composer.compose([*before, *more, *after])
            runs.append(PlannedRun(label, composed, to_run_config(composed, allowed)))
        on_planned(done, len(places))
    for run in runs:
        check_redaction(run.config)
        build_tracker(run.config)
        check_local_models(run.config)
    if len({run.name for run in runs}) < len(runs):
        raise ConfigError("study.arms, study.seeds, study.variants and study.methods must not repeat a value.")
    return runs


def _federated(composed: DictConfig, allowed: Sequence[str]) -> bool:
    return build_plan(to_run_config(composed, allowed)).federated


def run_study(
    runs: Sequence[PlannedRun],
    out: Path,
    show_progress: ShowProgress,
    on_failure: OnFailure = lambda failed: None,
    session: str = "",
) -> tuple[FailedRun, ...]:
    """Runs a study in its order, each run in its own folder of `out`; returns those that failed.

    Finished runs are left as they are, and one that was stopped or failed goes on. A run that fails ends itself alone:
    it is told to `on_failure`, and kept beside its folder until it is tried again.

    Processes of one `session` share the study: each takes the next run that none of them has taken, or has seen fail.
    A run that another process has is waited for at the end, and made if that one has ended without it: it was killed,
    or is what is left of an earlier call that was.

    Raises:
        UserError: a run's folder holds something else, or a run with another config; then none has started.
        EccError: of the machine and not of a run: Ray is gone or does not start, or a file cannot be written.
    """
    if not session:
        finished_runs(runs, out)
    left = [(number, run) for number, run in enumerate(runs, start=1) if not _is_finished(run, out)]
    failed: list[FailedRun] = []
    with HostsBetweenRuns() as hosts:
        for waits in (False, True):
            others = []
            for place, (number, run) in enumerate(left):
                at_least = _hosts_before([each for _, each in left[place:]], out)
                title = f"{number}/{len(runs)} {run.name}"
                if waits:
                    with show_progress(title) as on_progress:
                        on_progress("waiting for the process that is at work on it", 0, 1)
                with _taken(run, out, session, waits) as mine:
                    failure = attempt(run, out, hosts, at_least, show_progress, title, session) if mine else None
                if mine is None:
                    others.append((number, run))
                if failure is not None:
                    failed.append(failure)
                    on_failure(failure)
            left = others
            if left:
                hosts.close()  # who is at work has more use for the memory
    return tuple(failed)


def _hosts_before(runs: Sequence[PlannedRun], out: Path) -> int:
    """The most hosts that any of the first runs, which agree on their pool, has started on."""
    agreeing = next(groupby(runs, key=lambda each: each.config.runtime.pool))[1]
    return max(1, *(len(kept_hosts(each.directory(out))) for each in agreeing))


def finished_runs(runs: Sequence[PlannedRun], out: Path) -> int:
    """How many runs are at their end. One that was killed just before its summary gets it here.

    Raises:
        UserError: as `run_study`.
    """
    finished = [run for run in runs if _is_finished(run, out)]
    for run in finished:
        directory = run.directory(out)
        if not directory.summary.is_file():
            conclude(run.config, directory)
    return len(finished)


@contextmanager
def _taken(run: PlannedRun, out: Path, session: str, waits: bool) -> Iterator[bool | None]:
    """Whether the run is this process's to make; None: another process has it, which is waited for with `waits`."""
    root = run.directory(out).root
    with taken(root.with_name(f".{root.name}.lock"), waits=waits) as mine:
        if not mine:
            yield None
            return
        # Looked at under the lock: whoever had it before has left what there is to know.
        yield not run.directory(out).run.is_file() and not (session and failed_in(root, session))


def _is_finished(run: PlannedRun, out: Path) -> bool:
    """Whether nothing is left to do; refuses a folder that this run may not have."""
    directory = run.directory(out)
    claim = read_claim(directory)
    if claim is None:
        refuse_taken(directory, ELSEWHERE)
        return False
    check_same_config(directory, claim, to_yaml(run.composed))
    return directory.run.is_file()
