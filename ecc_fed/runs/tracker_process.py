"""The process in which a tracker works: it reads what `runs.tracking` hands it, and imports little else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ecc_fed.assembly.targets import instantiate
from ecc_fed.core.protocols import Tracker
from ecc_fed.core.records import TrackedNumber


def main() -> None:
    """Writes the store. Whatever goes wrong ends the process with its traceback."""
    handed = json.load(sys.stdin)
    tracker: Tracker = instantiate(handed["tracker"], "tracker", Tracker)
    numbers = [TrackedNumber(**number) for number in handed["numbers"]]
    tracker.write(Path(handed["folder"]), handed["name"], numbers)


if __name__ == "__main__":
    main()
