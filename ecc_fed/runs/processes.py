"""Processes of this very program."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def own_python(module: str) -> tuple[list[str], dict[str, str]]:
    """(command, environment) of a process that runs `module` and looks for modules where this process does.

    -P keeps the working folder out, unless this process looks there too.
    """
    search = [entry or str(Path.cwd()) for entry in sys.path]
    return [sys.executable, "-P", "-m", module], {**os.environ, "PYTHONPATH": os.pathsep.join(search)}
