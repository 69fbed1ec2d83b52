"""TensorBoard: event files in the run's folder; `tensorboard --logdir runs` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disue.runs.spec import Spec


class TensorBoard:
    """Scalars by round. A resumed run hides what a killed one wrote beyond its checkpoint."""

    def start(self, spec: Spec, folder: Path, after: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1 if after >= 0 else None)
        if after < 0:
            self._writer.add_text("spec", "\n".join(f"    {line}" for line in spec.toml().splitlines()))

    def row(self, round: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, round)
        self._writer.flush()

    def end(self, summary: Mapping[str, Any]) -> None:
        self._writer.close()
