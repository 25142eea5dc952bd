"""Where the processes of hosts look for modules: as the main process does.

Ray puts the working folder before all that is installed, in every worker: a `torch.py` in somebody else's folder would
run there. It stays out unless the main process looks in it too, as one does whose user allows a package of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class _Closed(list[str]):
    """A list that Ray can add no folders to."""

    def extend(self, values: Iterable[str]) -> None:
        """Adds nothing."""


def job_config() -> Any:
    """Ray's `JobConfig` for this process."""
    from ray.job_config import JobConfig

    config = JobConfig()
    if not {"", str(Path.cwd())} & set(sys.path):
        config._py_driver_sys_path = _Closed()
    return config
