"""A search: trials, one run each, until there are as many as were asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ecc_fed.assembly.build import build_tracker
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.assembly.compose_many import Composer
from ecc_fed.assembly.privacy import check_redaction
from ecc_fed.core.errors import ConfigError, UserError, WriteError
from ecc_fed.core.failed_run import FailedRun, failed_in, forget_failure, keep_failure
from ecc_fed.core.folder_lock import LOCK, sole_writer
from ecc_fed.core.rows import read_record, write_record
from ecc_fed.core.run_claim import read_claim
from ecc_fed.core.run_directory import RunDirectory, read_json
from ecc_fed.runs.attempts import HostsBetweenRuns, PlannedRun, ShowProgress, attempt
from ecc_fed.runs.conclusion import conclude
from ecc_fed.runs.kept_hosts import kept_hosts
from ecc_fed.runs.run_folder import check_same_config
from ecc_fed.runs.tuning.metric import NotMeasured, number_at
from ecc_fed.runs.tuning.space import Parameter, chosen, corners, parse_space
from ecc_fed.runs.tuning.trials import Direction, Trial, Trials, open_trials, require_optuna

RECORD = "tune.json"
# Of that file alone.
_SCHEMA = 1
_ELSEWHERE = "Choose another folder with --out."


@dataclass(frozen=True)
class Search:
    """What is searched, for what, and what holds for every trial."""

    metric: str
    direction: Direction
    overrides: tuple[str, ...]
    fixed: tuple[str, ...]
    space: tuple[Parameter, ...]
    seed: int
    folders: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def overrides_of(self, trial: Trial) -> list[str]:
        """All that the trial's run is made from."""
        return [*self.fixed, *chosen(self.space, trial.values)]


@dataclass(frozen=True)
class SearchRecord:
    """`tune.json`: whose the folder is."""

    schema: int
    metric: str
    direction: Literal["maximize", "minimize"]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """A trial at its end, with what its run failed of if it did."""

    trial: Trial
    overrides: tuple[str, ...]
    error: str | None


# A trial is at its end.
OnResult = Callable[[Result], None]


def plan_search(
    metric: str, direction: Direction, overrides: Sequence[str], folders: Sequence[str], allowed: Sequence[str]
) -> Search:
    """The search, checked at every end of what is searched before any run starts.

    Raises:
        UserError: Optuna is not installed.
        ConfigError: an override cannot be read or searched, or a setting at an end of its range is wrong.
    """
    require_optuna()
    fixed, space = parse_space(overrides)
    composer = Composer(folders)
    seed = to_run_config(composer.compose(fixed), allowed).seed
    for corner in corners(space):
        config = to_run_config(composer.compose([*fixed, *corner]), allowed)
        check_redaction(config)
        build_tracker(config)
    return Search(metric, direction, tuple(overrides), tuple(fixed), space, seed, tuple(folders), tuple(allowed))


def run_search(
    search: Search, out: Path, trials: int, show_progress: ShowProgress, on_result: OnResult
) -> list[Result]:
    """Makes trials until `out` holds so many, one after another; returns them all, those made before too.

    A search that was stopped goes on with the run that it was at, and proposes what it would have. A trial whose run
    fails is told as failed, and counts.

    Raises:
        UserError: `out` is another search's or something else's, a search is under way there, or the metric is no
            number of `summary.json`.
        EccError: of the machine and not of a run.
    """
    busy = f"{out} is in use: a search is under way there. Wait for its end, or choose another folder."
    with (
        sole_writer(out, busy, "choose another folder with --out"),
        _opened(search, out) as found,
        HostsBetweenRuns() as hosts,
    ):
        while _more(found, trials):
            trial = found.ask()
            failed = _run(search, trial, out, hosts, show_progress, f"{trial.number + 1}/{trials} {trial.name}")
            value = None if failed is not None else _result(search, trial, out)
            found.tell(trial, value)
            on_result(_results(search, [found.all()[trial.number]], out)[0])
        return _results(search, found.all(), out)


@contextmanager
def _opened(search: Search, out: Path) -> Iterator[Trials]:
    _claim(search, out)
    with open_trials(out, search.space, search.direction, search.seed) as found:
        _keep_metric(search, out, found)
        yield found


def _more(found: Trials, trials: int) -> bool:
    known = found.all()
    return len(known) < trials or any(trial.running for trial in known)


def _run(
    search: Search, trial: Trial, out: Path, hosts: HostsBetweenRuns, show_progress: ShowProgress, title: str
) -> FailedRun | None:
    directory = RunDirectory((out / trial.name).absolute())
    try:
        composed = compose_run(search.overrides_of(trial), search.folders)
        run = PlannedRun(trial.name, composed, to_run_config(composed, search.allowed))
    except ConfigError as error:  # values that do not go together, though each is in its range
        return keep_failure(directory, trial.name, error)
    if (claim := read_claim(directory)) is not None:
        check_same_config(directory, claim, to_yaml(composed))
    if directory.run.is_file():  # stopped before it could be told
        return _concluded(run, directory)
    return attempt(run, out, hosts, max(1, len(kept_hosts(directory))), show_progress, title)


def _concluded(run: PlannedRun, directory: RunDirectory) -> FailedRun | None:
    """As `attempt`, of a run that lacks its last step at most."""
    forget_failure(directory)
    try:
        if not directory.summary.is_file():
            conclude(run.config, directory)
    except (WriteError, OSError):
        raise
    except Exception as error:
        return keep_failure(directory, run.name, error)
    return None


def _result(search: Search, trial: Trial, out: Path) -> float | None:
    directory = RunDirectory((out / trial.name).absolute())
    try:
        return number_at(read_json(directory.summary), search.metric)
    except NotMeasured:
        return None


def _results(search: Search, trials: Sequence[Trial], out: Path) -> list[Result]:
    found = []
    for trial in trials:
        failed = failed_in(out / trial.name, "")
        unmeasured = None if trial.running or trial.result is not None else f"it measured no {search.metric}"
        overrides = tuple(chosen(search.space, trial.values))
        found.append(Result(trial, overrides, unmeasured if failed is None else failed.error))
    return found


def _claim(search: Search, out: Path) -> None:
    """The folder is the search's, or becomes it.

    Raises:
        UserError: it is another search's, or holds something else.
    """
    path = out / RECORD
    if not path.is_file():
        others = [each for each in out.iterdir() if each.name != LOCK and not each.name.endswith(".partial")]
        if others:
            raise UserError(f"{out} is not empty (it holds {others[0].name}), and no search. {_ELSEWHERE}")
        write_record(path, SearchRecord(_SCHEMA, search.metric, search.direction, search.overrides))
        return
    kept = read_record(path, SearchRecord, remedy="choose another folder with --out")
    if kept.schema != _SCHEMA:
        raise UserError(f"{path} was written by another version. {_ELSEWHERE}")
    for name, before, now in (
        ("overrides", shlex.join(sorted(kept.overrides)), shlex.join(sorted(search.overrides))),
        ("direction", kept.direction, search.direction),
    ):
        if before != now:
            raise UserError(f"{out} is the folder of another search: {name} {before}, and here {now}. {_ELSEWHERE}")


def _keep_metric(search: Search, out: Path, found: Trials) -> None:
    """What was told is of one metric; until then a mistyped one may still be put right.

    Raises:
        UserError: it was of another.
    """
    path = out / RECORD
    kept = read_record(path, SearchRecord)
    if kept.metric != search.metric:
        if any(not trial.running for trial in found.all()):
            raise UserError(f"{out} is a search for {kept.metric}, and not for {search.metric}. {_ELSEWHERE}")
        write_record(path, replace(kept, metric=search.metric))
