"""FedPFT's mixtures against Flower's baseline, one Gaussian to a class (with more, both draw their own beginnings)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from bed import Apart, Bed, Reference, main, source

from disue.core.clients import Order
from disue.models.split import both
from disue.parts.expert.mixtures import MEANS, SPREADS, Mixtures

SIZES = {17: 24, 902: 60, 4001: 41}


class Whole(np.ndarray):
    """An array that no cast makes shorter."""

    def astype(self, *given: Any, **more: Any) -> Any:
        return self


def flower(root: Path) -> Apart:
    """`learn_gmm` of every client, as it is and without its cast to sixteen bits."""
    bed, out = Bed(SIZES), Apart()
    code = source(root, "fedpft.utils")
    plain = code.GaussianMixture

    def whole(**given: Any) -> Any:
        model = plain(**given)

        def fit(rows: np.ndarray) -> None:
            plain.fit(model, rows)
            for name in ("means_", "weights_", "covariances_"):
                setattr(model, name, getattr(model, name).view(Whole))

        return _Proxy(model, fit)

    for maker, note in ((plain, ""), (whole, " (without its cast to float16)")):
        code.GaussianMixture = maker
        for covariance in ("full", "diag", "spherical"):
            for client in bed.held.data:
                x, y = bed.held.train(client)
                with torch.no_grad():
                    z = both(bed.module(), torch.from_numpy(x).double())[1].numpy()
                one = np.ones(1)
                order = Order(
                    client, 0, bed.start, bed.start[None], 0, one, {}, len(y), bed.held.label_counts(client),
                    bed.network.layout, network=bed.network, streams=bed.streams,
                )  # fmt: skip
                ours = Mixtures(1, covariance)(x, y, order)
                for theirs in code.learn_gmm(z, y, 1, covariance, 0):
                    label = int(theirs.label)
                    out.add(f"means{note}", ours[MEANS][label], theirs.means)
                    out.add(f"covariances{note}", ours[SPREADS][label], theirs.covariances)
    return out


class _Proxy:
    """A mixture with another `fit`."""

    def __init__(self, model: Any, fit: Any) -> None:
        self.model, self.fit = model, fit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


if __name__ == "__main__":
    file = "baselines/fedpft/fedpft/utils.py"
    raise SystemExit(main("fedpft", Reference("adap/flower", file, "learn_gmm", flower, under="baselines/fedpft")))
