"""Weights & Biases' offline store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ecc_fed.core.records import TrackedNumber
from ecc_fed.tracking.by_round import by_round
from ecc_fed.tracking.packages import forget_variables, require_packages

_PROJECT = "ecc_fed"


class Wandb:
    """`wandb sync RUN/tracker/wandb/offline-run-*` sends it, if you wish. Satisfies `Tracker`."""

    def check(self) -> None:
        """As `Tracker.check`."""
        require_packages("wandb", ("wandb",))

    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        """As `Tracker.write`."""
        forget_variables("WANDB_")
        os.environ |= {
            "WANDB_MODE": "offline",
            "WANDB_ERROR_REPORTING": "false",
            # Else these lie in the user's home.
            "WANDB_CACHE_DIR": str(folder.absolute() / "cache"),
            "WANDB_CONFIG_DIR": str(folder.absolute() / "config"),
            "WANDB_DATA_DIR": str(folder.absolute() / "data"),
        }
        import wandb

        # Numbers alone: no command line, no code, no git, no machine, nothing that is printed.
        settings = wandb.Settings(
            console="off",
            silent=True,
            save_code=False,
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        run = wandb.init(project=_PROJECT, name=name, dir=str(folder), mode="offline", settings=settings)
        for server_round, of_round in by_round(numbers):
            run.log(of_round, step=server_round)
        run.finish()
