"""Weights & Biases: offline in the run's folder unless WANDB_MODE says otherwise; `wandb sync` sends it later."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disue.runs.spec import Spec
from disue.runs.track import remembered, title


class WandB:
    """The spec as config, rounds by step, the summary's last10 as the run's summary. Nothing of the machine is sent."""

    def start(self, spec: Spec, folder: Path, after: int) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=spec.track.project,
            name=title(folder),
            id=remembered(folder, "wandb", lambda: secrets.token_hex(8)),
            resume="allow",
            dir=str(folder.resolve()),
            config=spec.tables(),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_meta=True, x_disable_stats=True
            ),
        )

    def row(self, round: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=round)

    def end(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update({f"last10.{name}": value["last10"] for name, value in summary["metrics"].items()})
        self._run.finish(exit_code=0 if summary["complete"] else 1)
