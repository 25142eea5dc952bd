"""MLflow's store in SQLite."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from ecc_fed.core.records import TrackedNumber
from ecc_fed.tracking.packages import forget_variables, require_packages

_EXPERIMENT = "ecc_fed"
# MLflow takes no more in one call.
_BATCH = 1000


class Mlflow:
    """`mlflow ui --backend-store-uri sqlite:///RUN/tracker/mlflow.sqlite` shows it. Satisfies `Tracker`."""

    def check(self) -> None:
        """As `Tracker.check`."""
        require_packages("mlflow", ("mlflow", "sqlalchemy", "alembic"))

    def write(self, folder: Path, name: str, numbers: Sequence[TrackedNumber]) -> None:
        """As `Tracker.write`."""
        forget_variables("MLFLOW_")
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        client = MlflowClient(tracking_uri=f"sqlite:///{(folder / 'mlflow.sqlite').absolute()}")
        experiment = client.create_experiment(_EXPERIMENT, artifact_location=(folder / "artifacts").absolute().as_uri())
        run_id = client.create_run(experiment, run_name=name).info.run_id
        now = int(time.time() * 1000)
        metrics = [Metric(number.name, number.value, now, number.server_round) for number in numbers]
        for start in range(0, len(metrics), _BATCH):
            client.log_batch(run_id, metrics=metrics[start : start + _BATCH], synchronous=True)
        client.set_terminated(run_id)
