"""How many CPUs this process may use: in a container, or under `taskset`, fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
# Where version 1 keeps the limits of CPU time, by how the system mounts it.
_VERSION_1 = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def usable_cpus() -> int:
    """Whole CPUs, at least one: those that the scheduler may give this process, within its share of their time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, share_of_time())))


def share_of_time(root: Path = _ROOT, own: Path = _OWN) -> float:
    """CPUs' worth of time that the process' control groups allow, version 1 or 2; infinity where nothing limits it.

    Args:
        root: where the groups are mounted.
        own: says which of them are the process'.
    """
    shares = [_version_2(folder) for folder in _groups(root, _group(own, ""))]
    for name in _VERSION_1:
        shares += [_version_1(folder) for folder in _groups(root / name, _group(own, "cpu"))]
    return min(shares, default=math.inf)


def limit_threads() -> None:
    """Number crunching in this process, and in those that it starts, takes no more threads than CPUs it may use.

    The libraries see by themselves which CPUs they are given, and not a share of their time. A value that the user has
    set in the environment stands. To be called before they are loaded.
    """
    if share_of_time() < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cpus()))


def _group(own: Path, controller: str) -> PurePosixPath:
    """The process' group of a controller; the root's where that is not told."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return PurePosixPath("/")
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            return PurePosixPath(path or "/")
    return PurePosixPath("/")


def _groups(root: Path, group: PurePosixPath) -> Iterator[Path]:
    """The folders of a group and of those around it. In a container the mount may begin below the path that is told."""
    for path in (group, *group.parents):
        yield root / path.relative_to("/") if path.is_absolute() else root


def _version_2(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such group, or "max"
        return math.inf


def _version_1(folder: Path) -> float:
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
