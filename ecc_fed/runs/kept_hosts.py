"""What the hosts chose at a run's start, kept beside the server's states: a run that goes on makes up the same batches.

Which shops share a batch decides their last bits, and a machine may hold more or fewer the next time it is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.rows import SCHEMA, check_schema, decode, write_record
from ecc_fed.core.run_directory import RunDirectory, read_json
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.reports import HostReport


@dataclass(frozen=True, slots=True)
class HostsRecord:
    """`server/hosts.json`: of every host with a shop, in their order, how many shops shared its passes, and why."""

    schema: int
    hosts: tuple[BatchSize, ...]


def _path(directory: RunDirectory) -> Path:
    return directory.server / "hosts.json"


def keep_hosts(directory: RunDirectory, reports: Sequence[HostReport]) -> None:
    """Keeps what the hosts have just chosen, unless something is kept already.

    Raises:
        WriteError: the file cannot be written.
    """
    if not _path(directory).is_file():
        sizes = tuple(BatchSize(report.shops_per_batch, report.batch_reason, report.pass_tokens) for report in reports)
        write_record(_path(directory), HostsRecord(SCHEMA, sizes))


def kept_hosts(directory: RunDirectory) -> tuple[BatchSize, ...]:
    """What was kept, a size for each host; empty for a run that has not opened its hosts yet.

    Raises:
        RunDirectoryError: the file is broken, or another version wrote it.
    """
    path = _path(directory)
    if not path.is_file():
        return ()
    found = read_json(path)
    check_schema(found.get("schema"), str(path))
    return decode(HostsRecord, found, str(path)).hosts
