"""MOON against its authors' training and NIID-Bench's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, source
from torch import Tensor, nn

from disue.models.split import both

MU, TAU = 2.0, 0.5


class Told(nn.Module):
    """Our model with the three outputs of theirs: the second is what is compared, here the features themselves."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, features = both(self.model, x)
        return features, features, logits


def compare(bed: Bed, train: Any) -> Apart:
    """Three rounds, with each client's last end as its previous model; the first visit's is the received one."""
    out, last = Apart(), {}
    local = {**LOCAL, "mu": MU, "tau": TAU, "momentum": 0.9, "weight_decay": 1e-2}
    for found in bed.play(bed.method("moon", local)):
        for client, end in found.ends.items():
            net, received = Told(bed.module(found.start)), Told(bed.module(found.start)).eval()
            previous = Told(bed.module(last.get(client, found.start))).eval()
            train(client, net, received, [previous], bed.passes(client, found.index))
            out.add("client ends", end, flat(net))
            last[client] = np.asarray(end, np.float64)
    return out


def authors(root: Path) -> Apart:
    bed, args = Bed(), SimpleNamespace(reg=1e-2)
    code = source(root, "main", logger=SimpleNamespace(info=lambda text: None))

    def train(client: int, net: Told, received: Told, previous: list[Told], loader: Any) -> None:
        code.train_net_fedcon(
            client, net, received, previous, loader, loader, LOCAL["epochs"], LOCAL["lr"], "sgd", MU, TAU, args, 0
        )

    def here(itself: Any, *_: object, **__: object) -> Any:
        return itself

    with mock.patch.object(Tensor, "cuda", here), mock.patch.object(nn.Module, "cuda", here):
        return compare(bed, train)


def niid_bench(root: Path) -> Apart:
    bed, args = Bed(), SimpleNamespace(reg=1e-2, loss="contrastive")
    code = source(root, "experiments", logger=SimpleNamespace(info=lambda text: None), args=args)

    def train(client: int, net: Told, received: Told, previous: list[Told], loader: Any) -> None:
        code.train_net_moon(
            client, net, received, previous, loader, loader, LOCAL["epochs"], LOCAL["lr"], "sgd", MU, TAU, args, 0
        )

    return compare(bed, train)


if __name__ == "__main__":
    torch.manual_seed(0)
    raise SystemExit(
        main(
            "moon",
            Reference("QinbinLi/MOON", "main.py", "train_net_fedcon", authors),
            Reference("Xtra-Computing/NIID-Bench", "experiments.py", "train_net_moon", niid_bench),
        )
    )
