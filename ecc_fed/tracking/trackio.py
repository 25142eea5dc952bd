"""Trackio's local store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ecc_fed.core.records import TrackedNumber
from ecc_fed.tracking.by_round import by_round
from ecc_fed.tracking.packages import forget_variables, require_packages

_PROJECT = "ecc_fed"


class Trackio:
    """`TRACKIO_DIR=RUN/tracker trackio show` shows it. Satisfies `Tracker`."""

    def check(self) -> None:
        """As `Tracker.check`."""
        require_packages("trackio", ("trackio",))

    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        """As `Tracker.write`."""
        forget_variables("TRACKIO_")  # a Space or a server that numbers would go to
        os.environ |= {
            "TRACKIO_DIR": str(folder.absolute()),  # read on import
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
        }
        import trackio

        trackio.init(project=_PROJECT, name=name, embed=False, auto_log_gpu=False, auto_log_cpu=False)
        for server_round, of_round in by_round(numbers):
            trackio.log(of_round, step=server_round)
        trackio.finish()
