"""The processes below one that we started: who they are, which of them still live, and how one of them is ended."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id and its start, so that a number used again is never taken for it."""

    pid: int
    started: str
    command: str

    @property
    def lives(self) -> bool:
        """Whether it still runs; what only waits to be collected does not."""
        fields = _stat(self.pid)
        return fields is not None and fields[19] == self.started and fields[0] != "Z"

    def end(self, number: signal.Signals) -> bool:
        """Sends a signal; False where the process is gone."""
        if not self.lives:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def process(pid: int) -> Process | None:
    """The process of that id."""
    fields = _stat(pid)
    if fields is None:
        return None
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return None
    return Process(pid, fields[19], command)


def below(pid: int) -> list[Process]:
    """Every process that `pid` started, and those that they started."""
    parents = {int(path.name): fields for path in Path("/proc").glob("[0-9]*") if (fields := _stat(int(path.name)))}
    found, wave = [], [pid]
    while wave:
        wave = [child for child, fields in parents.items() if int(fields[1]) in wave]
        found += wave
    return [known for child in found if (known := process(child)) is not None]
