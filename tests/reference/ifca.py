"""IFCA against its authors' rotated MNIST, on the bed's data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from bed import IDS, Apart, Bed, Reference, flat, main, source

from disue.parts.aggregate import Mean

K, TAU, LR = 2, 5, 0.1
SIZES = {17: 12, 902: 30, 4001: 21, 4002: 18, 5000: 25, 6003: 9}


def authors(root: Path) -> Apart:
    """`test(train=True)`, which chooses, and `train`, which steps and averages, three rounds of each."""
    bed, out = Bed(SIZES), Apart()
    code = source(root / "mnist", "train_cluster_mnist")
    ids = list(bed.held.data)
    method = bed.method("ifca", {"steps": TAU, "batch": 1000, "lr": LR}, k=K)
    method = dataclasses.replace(method, aggregate=Mean(weights="uniform"))
    me = code.TrainMNISTCluster({"m": len(ids), "p": K, "tau": TAU})
    me.criterion = torch.nn.CrossEntropyLoss()
    me.models = [bed.module(), *[bed.module(bed.fresh(row)) for row in range(K - 1)]]
    me.dataset = {"train": {"cluster_assign": [0] * len(ids)}}

    def load_data(at: int, train: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = bed.held.train(ids[at])
        return torch.from_numpy(x).double(), torch.from_numpy(y)

    me.load_data = load_data
    wrong = 0
    for found in bed.play(method, [ids] * 4):
        chosen = me.test(train=True)["cluster_assign"]
        me.train(chosen, LR)
        mine = found.state.groups.rows(found.state.groups.at(np.array(ids)))
        wrong += int((np.array(chosen) != mine).sum())
        for row in range(K):
            out.add("group models", found.state.models[row], flat(me.models[row]))
    out["choices that differ"] = wrong
    out["groups in use"] = len(set(mine.tolist()))
    return out


if __name__ == "__main__":
    assert set(IDS) <= set(SIZES)
    file, what = "mnist/train_cluster_mnist.py", "TrainMNISTCluster.test, train"
    raise SystemExit(main("ifca", Reference("jichan3751/ifca", file, what, authors, under="mnist")))
