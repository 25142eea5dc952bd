"""A finished run's numbers, handed to its tracker in a process of its own.

So a tracker that crashes or hangs costs the run nothing, its library's settings reach nothing else, and what it is
handed is what is written to its standard input: numbers, and the name of the run's folder. It is told once the run has
ended, from its rows: one that was stopped and went on is told whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ecc_fed.assembly.build import build_tracker
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.outside_text import cut, visible
from ecc_fed.core.records import TrackedNumber
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.reporting.numbers import numbers_of
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.summary import summarise_run
from ecc_fed.runs.processes import own_python

_LIMIT_SECONDS = 300.0
_log = logging.getLogger(__name__)


def track(config: RunConfig, directory: RunDirectory) -> None:
    """Tells the run's tracker, if it has one, of the finished run in `directory`. One that fails is said by name."""
    if build_tracker(config) is None:
        return
    run = load_run(directory.root)
    numbers = numbers_of(run, summarise_run(run))
    reason = _written(dict(config.tracker), directory, numbers)
    if reason is not None:
        name = str(config.tracker["_target_"]).rpartition(".")[2]
        _log.warning("%s", visible(cut(f"{directory.root}: its tracker {name} kept nothing: {reason}")))


def _written(node: dict[str, Any], directory: RunDirectory, numbers: Sequence[TrackedNumber]) -> str | None:
    """Why the tracker failed; None where it did not. What it began and did not end is removed."""
    folder = directory.tracker
    handed = {
        "tracker": node,
        "folder": str(folder),
        "name": directory.root.name,
        "numbers": [asdict(number) for number in numbers],
    }
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        reason = _failure(json.dumps(handed))
    except OSError as error:
        reason = str(error)
    if reason is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return reason


def _failure(handed: str) -> str | None:
    command, environment = own_python("ecc_fed.runs.tracker_process")
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # with what it starts itself, it can be ended as one
    )
    try:
        _, told = process.communicate(handed, _LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it did not end in {_LIMIT_SECONDS:g} seconds"
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode == 0:
        return None
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with {process.returncode}"
