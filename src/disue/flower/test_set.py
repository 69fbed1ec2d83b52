"""A test set that the server owns, as evaluation asks for it: global accuracies, and nothing about any client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.errors import UserError
from disue.data import Dataset
from disue.data.sources.arrays import arrays_of, guess_kind
from disue.evaluation.plan import On, Pair
from disue.flower.site import constants
from disue.runs.spec import Spec


@dataclass(frozen=True, eq=False)
class ServerTest:
    """x (n, …) as models read it, y (n,)."""

    x: Array
    y: IntVector
    classes: int

    local_test = "global"

    @staticmethod
    def read(spec: Spec, classes: int = 0) -> ServerTest:
        path = Path(spec.network.test)
        found = arrays_of(path)
        if "x_test" not in found or "y_test" not in found:
            raise UserError(
                f"{path}: network.test holds x_test and y_test, got {', '.join(sorted(found))}", key="network.test"
            )
        x, y = found["x_test"], np.asarray(found["y_test"], np.int64)
        labels = max(classes, spec.data.classes, int(y.max()) + 1)
        kind = guess_kind(x, path.stem, found.get("kind"))
        as_set = Dataset(
            path.stem, x, y, x, y, labels, kind, mean=constants(spec.data.mean), std=constants(spec.data.std)
        )
        return ServerTest(as_set.inputs(x), y, labels)

    def transform_key(self, client: int) -> int:
        return 0

    def pool(self, key: int, *, on: On) -> Pair:
        return self.x, self.y

    def label_counts(self, client: int) -> IntVector:
        return np.zeros(self.classes, np.int64)

    def held(self, client: int) -> Pair:
        return self.x[:0], self.y[:0]

    natural_test = validation_of = held
