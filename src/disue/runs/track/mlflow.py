"""MLflow: the server of `[track] uri` or MLFLOW_TRACKING_URI, else files below the run's folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disue.runs.spec import Spec, flat
from disue.runs.track import remembered, title

LONGEST = 500  # characters of a parameter that every server takes


class MLflow:
    """The spec as parameters, rounds as metrics by step, the summary's last10 as `last10.NAME`."""

    def start(self, spec: Spec, folder: Path, after: int) -> None:
        from mlflow.tracking import MlflowClient

        where = spec.track.uri or os.environ.get("MLFLOW_TRACKING_URI")
        if not where:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else MLflow refuses files without a database
            where = (folder.resolve() / "mlruns").as_uri()
        self._client = client = MlflowClient(tracking_uri=where)

        def make() -> str:
            found = client.get_experiment_by_name(spec.track.project)
            experiment = client.create_experiment(spec.track.project) if found is None else found.experiment_id
            run: str = client.create_run(experiment, run_name=title(folder)).info.run_id
            for name, value in flat(spec.tables()).items():
                client.log_param(run, name, str(value)[:LONGEST])
            return run

        self._run = remembered(folder, "mlflow", make)
        client.update_run(self._run, status="RUNNING")

    def row(self, round: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(k, v, now, round) for k, v in values.items()])

    def end(self, summary: Mapping[str, Any]) -> None:
        for name, value in summary["metrics"].items():
            self._client.log_metric(self._run, f"last10.{name}", value["last10"])
        self._client.set_terminated(self._run, "FINISHED" if summary["complete"] else "KILLED")
