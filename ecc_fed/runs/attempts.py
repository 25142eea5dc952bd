"""Runs one after another, of which one may fail without ending the others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from omegaconf import DictConfig

from ecc_fed.assembly.compose import to_yaml
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import WriteError
from ecc_fed.core.failed_run import FailedRun, forget_failure, keep_failure
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.hosts.jobs import Hosts
from ecc_fed.hosts.waiting import RayDied
from ecc_fed.runs.conclusion import conclude
from ecc_fed.runs.hosting import open_hosts
from ecc_fed.runs.progress import OnProgress
from ecc_fed.runs.run_folder import new_run, resumed_run
from ecc_fed.runs.simulation import simulate

# From a run's title to a block in which its progress is shown.
ShowProgress = Callable[[str], AbstractContextManager[OnProgress]]
# How the folder of all runs is chosen.
ELSEWHERE = "--out FOLDER"


@dataclass(frozen=True)
class PlannedRun:
    """One run of several, composed and checked."""

    name: str
    composed: DictConfig
    config: RunConfig

    def directory(self, out: Path) -> RunDirectory:
        """Its folder below that of them all."""
        return RunDirectory((out / self.name).absolute())


class HostsBetweenRuns:
    """Hosts that stay open from run to run: opened anew where a run asks for others, or after one that failed.

    What the hosts of a failed run were at is not known, so nothing of it may reach the next.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._hosts: Hosts | None = None
        self._pool: object = None

    def __enter__(self) -> HostsBetweenRuns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hosts = None
        self._open.__exit__(kind, error, trace)

    def for_run(self, config: RunConfig, at_least: int) -> Hosts:
        """Those that the run asks for; `at_least` so many where they are opened now and their number is automatic.

        Raises:
            EccError: as `open_hosts`.
        """
        if self._hosts is None or self._pool != config.runtime.pool:
            self.close()
            self._hosts = self._open.enter_context(open_hosts(config, at_least))
            self._pool = config.runtime.pool
        return self._hosts

    def close(self) -> None:
        """The next run gets others."""
        self._hosts = None
        self._open.close()


def attempt(
    run: PlannedRun,
    out: Path,
    hosts: HostsBetweenRuns,
    at_least: int,
    show_progress: ShowProgress,
    title: str,
    session: str = "",
) -> FailedRun | None:
    """Makes the run in its folder of `out`, or goes on with it; what it failed of, if it did.

    `session`: of the processes that make runs beside each other.

    Raises:
        EccError: of the machine and not of the run: the next one would fail of it as well.
    """
    directory, config = run.directory(out), to_yaml(run.composed)
    opened = hosts.for_run(run.config, at_least)
    forget_failure(directory)
    try:
        begun = directory.claim.is_file()
        folder = resumed_run(directory, config) if begun else new_run(directory, config, ELSEWHERE)
        with folder as run_id, show_progress(title) as on_progress:
            simulate(run.config, directory, opened, on_progress, run_id)
            conclude(run.config, directory)
    except (RayDied, WriteError, OSError):
        raise
    except Exception as error:
        hosts.close()
        return keep_failure(directory, run.name, error, session)
    return None
