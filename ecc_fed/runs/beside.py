"""A study's runs beside each other: processes of the same command, each of which takes the next run that is free.

Each is a whole `ecc-fed study` with a Ray and hosts of its own (or on the cluster that `runtime.ray_address` names), so
a run among others is the run that it is by itself. They end with this process, however it ends: their standard input is
a pipe from here.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.failed_run import FailedRun, failed_in
from ecc_fed.runs.attempts import PlannedRun
from ecc_fed.runs.processes import own_python

_LAST_LINES_SECONDS = 5.0
# A process prints a line.
OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Together:
    """What became of runs beside each other: those that failed, and those that were left as their process ended."""

    failed: tuple[FailedRun, ...]
    left: tuple[str, ...]


def check_beside(runs: Sequence[PlannedRun], jobs: int) -> None:
    """Refuses what would put all jobs on one GPU, or leave one with all that a cluster has.

    Raises:
        ConfigError: a run wants a GPU of a Ray of its own, of which each would hand out the first; or as many hosts as
            the Ray that all share has room for.
    """
    for run in runs:
        runtime = run.config.runtime
        if jobs > 1 and runtime.gpus_per_host > 0 and runtime.ray_address is None:
            raise ConfigError(
                f"--jobs {jobs} would put every job on the first GPU. Start one Ray for all (`ray start --head`) and "
                "set runtime.ray_address=auto; it gives each host a GPU of its own."
            )
        if jobs > 1 and runtime.ray_address is not None and not runtime.hosts:
            raise ConfigError(
                f"--jobs {jobs} on one Ray: the first run would take all of it. Set runtime.hosts, so that {jobs} "
                "times as many fit there."
            )


def new_session() -> str:
    """A name for the processes of one call, and no part of any result."""
    return secrets.token_hex(8)


def run_beside(
    arguments: Sequence[str], runs: Sequence[PlannedRun], out: Path, jobs: int, session: str, on_line: OnLine
) -> Together:
    """Makes the runs that are not finished, `jobs` at a time.

    Args:
        arguments: of `ecc-fed`, for one of the processes.
        runs: all runs of the study.
        out: its folder.
        jobs: how many processes.
        session: their name; `arguments` hold it too.
        on_line: told what they print.
    """
    with _processes(arguments, jobs, on_line) as processes:
        for process in processes:
            process.wait()
    failed = [found for run in runs if (found := failed_in(run.directory(out).root, session)) is not None]
    names = {each.name for each in failed}
    left = [run.name for run in runs if run.name not in names and not run.directory(out).run.is_file()]
    return Together(tuple(failed), tuple(left))


@contextmanager
def _processes(arguments: Sequence[str], jobs: int, on_line: OnLine) -> Iterator[list[subprocess.Popen[str]]]:
    command, environment = own_python("ecc_fed.cli.main")
    started: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for _ in range(jobs):
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,  # a terminal's Ctrl-C reaches this process, which asks each of them once
            )
            started.append(process)
            readers.append(threading.Thread(target=_read, args=(process, on_line), daemon=True))
            readers[-1].start()
        yield started
    except BaseException:
        for process in started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        raise
    finally:
        for process, reader in zip(started, readers, strict=True):
            process.wait()
            reader.join(_LAST_LINES_SECONDS)  # what it started may hold its output open for a moment
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None, "both are pipes"
                pipe.close()


def _read(process: subprocess.Popen[str], on_line: OnLine) -> None:
    assert process.stdout is not None, "it is a pipe"
    for line in process.stdout:
        on_line(line.rstrip("\n"))


def end_with_parent() -> None:
    """For one of the processes: it is asked to end, in good order, once the process that started it is gone."""

    def watch() -> None:
        while os.read(0, 1):  # nothing is ever sent: it returns at the pipe's end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
