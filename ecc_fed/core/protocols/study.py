"""The seam between a study's runs and the pages it wants beside the report."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class StudyView(Protocol):
    """Pages that one study needs beside the report."""

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Writes the pages about the finished runs in or below `directory` to `output`; returns their paths.

        Raises:
            UserError: runs that the pages have no use for.
            RunDirectoryError: a run's file is broken, or the output cannot be written.
        """
        ...
