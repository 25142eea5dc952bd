"""The probes of a run's teacher, one for every start of the run, each kept before it leaves."""

from __future__ import annotations

from collections.abc import Callable

from ecc_fed.core.rows import read_rows, write_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.teacher.gateway.probe import KeepProbe, ProbeReport


def probe_again(directory: RunDirectory, probe: Callable[[KeepProbe], None]) -> list[ProbeReport]:
    """Probes, and returns all probes of the run so far: what they cost was spent, however a start ended.

    Args:
        directory: the run's.
        probe: probes once; calls what it is given with what that has cost so far.

    Raises:
        EccError: as `probe`, or the folder cannot be read or written.
    """
    earlier = read_rows(directory.probes, ProbeReport) if directory.probes.exists() else []
    latest: list[ProbeReport] = []

    def keep(report: ProbeReport) -> None:
        latest[:] = [report] if report.entries else []
        write_rows(directory.probes, [*earlier, *latest])

    probe(keep)
    return [*earlier, *latest]
