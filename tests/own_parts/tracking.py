"""A store of one's own for a run's numbers."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ecc_fed.core.records import TrackedNumber


class Noting:
    """One JSON file, with what there is to know of the process that wrote it. Satisfies `Tracker`."""

    def check(self) -> None:
        pass

    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        assert list(folder.iterdir()) == []
        told = {"name": name, "numbers": [asdict(number) for number in numbers], "pid": os.getpid(), "path": sys.path}
        (folder / "told.json").write_text(json.dumps(told))
