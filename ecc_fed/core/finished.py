"""The folder of a finished run, told from any other."""

from __future__ import annotations

from pathlib import Path

from ecc_fed.core.errors import UserError
from ecc_fed.core.run_directory import RunDirectory

_SHOWN = 20


def finished_directory(root: Path) -> RunDirectory:
    """The paths of the finished run in `root`.

    Raises:
        UserError: none lies there; names those that lie below.
    """
    directory = RunDirectory(root.absolute())
    if not directory.run.is_file():
        below = sorted(path.parent for path in root.glob("**/run.json"))[:_SHOWN] if root.is_dir() else []
        hint = f"Finished runs below it: {', '.join(map(str, below))}." if below else "Give the folder of a run."
        raise UserError(f"{root} holds no finished run (no run.json). {hint}")
    return directory
