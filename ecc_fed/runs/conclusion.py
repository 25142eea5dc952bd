"""The last of a run: its numbers are handed to its tracker, and `summary.json` says that nothing is left to do."""

from __future__ import annotations

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.tracking import track


def conclude(config: RunConfig, directory: RunDirectory) -> None:
    """In this order, so that a run which was killed between the two tells its tracker again.

    Raises:
        RunDirectoryError: a file of the run is broken, or the summary cannot be written.
    """
    track(config, directory)
    write_summary(directory.root)
