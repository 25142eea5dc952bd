"""TensorBoard's event files, by tensorboardX, which needs no TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecc_fed.core.records import TrackedNumber
from ecc_fed.tracking.packages import require_packages


class TensorBoard:
    """`tensorboard --logdir RUNS` shows every run below RUNS. Satisfies `Tracker`."""

    def check(self) -> None:
        """As `Tracker.check`."""
        require_packages("tensorboard", ("tensorboardX",))

    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        """As `Tracker.write`. A run is called by its folder there, so `name` is not needed."""
        from tensorboardX import SummaryWriter

        with SummaryWriter(logdir=str(folder)) as writer:
            for number in numbers:
                # Its groups are what stands before the first slash.
                writer.add_scalar(number.name.replace(".", "/", 1), number.value, number.server_round)
