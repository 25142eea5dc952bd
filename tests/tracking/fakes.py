"""Trackers of a user's own, good and bad; each works in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import TrackedNumber
from tests.own_parts.tracking import Noting


class Missing(Noting):
    def check(self) -> None:
        raise ConfigError("tracker=missing needs the package missing")


class Raising(Noting):
    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("the store is\x1b[31m broken")


class Dying(Noting):
    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        os._exit(7)


class Hanging(Noting):
    def __init__(self, note: str) -> None:
        self.note = note

    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(self.note).write_text(str(child.pid))
        time.sleep(600)
