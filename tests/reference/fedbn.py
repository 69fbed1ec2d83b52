"""FedBN against its authors' training and communication."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from bed import Apart, Bed, Reference, main, source
from torch import Tensor, nn

from disue.core.layout import EVERYTHING, Part
from disue.parts.aggregate import Mean

LOCAL = {"epochs": 1, "batch": 8, "lr": 0.1}


class Normed(nn.Module):
    """Two layers with batch normalisation between them, under a name."""

    def __init__(self, norm: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.under = norm
        self.body = nn.Linear(5, 6)
        self.add_module(norm, nn.BatchNorm1d(6))
        self.head = nn.Linear(6, 4)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.get_submodule(self.under)(self.body(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def authors(root: Path) -> Apart:
    """`train` of every client and `communication`, three rounds; its arithmetic is float32."""
    out = Apart()
    code = source(root / "federated", "fed_digits")
    for norm, note in (("bn1", ""), ("norm", " (batch normalisation that is not named bn)")):
        bed = Bed(module=Normed(norm).eval())
        layout, ids = bed.network.layout, list(bed.held.data)
        private = layout.mask(Part(("@type:*BatchNorm*",), EVERYTHING.kind))
        method = dataclasses.replace(bed.method("fedbn", LOCAL), aggregate=Mean(weights="uniform"))
        server = bed.module(dtype=torch.float32)
        nets = [bed.module(dtype=torch.float32) for _ in ids]
        code.client_num = len(ids)
        for found in bed.play(method, [ids] * 3):
            for at, client in enumerate(ids):
                step = torch.optim.SGD(nets[at].parameters(), lr=LOCAL["lr"])
                loader = bed.passes(client, found.index, LOCAL, torch.float32)
                code.train(nets[at], _Loader(loader), step, nn.CrossEntropyLoss(), len(ids), "cpu")
                out.add(f"client ends{note}", found.ends[client][~private], bed.vector(nets[at])[~private])
            weights = [1 / len(ids)] * len(ids)
            code.communication(SimpleNamespace(mode="fedbn"), server, nets, weights)
            out.add(f"server{note}", found.state.average[~private], bed.vector(server)[~private])
            for at, client in enumerate(ids):
                mine = np.asarray(found.memory[client]["own"])
                out.add(f"clients' batch normalisation{note}", mine, bed.vector(nets[at])[private])
    return out


class _Loader:
    """`iter` of a loader that knows its length, as torch's does."""

    def __init__(self, passes: object) -> None:
        self.batches = list(passes)  # type: ignore[call-overload]

    def __iter__(self) -> _Loader:
        self.at = 0
        return self

    def __len__(self) -> int:
        return len(self.batches)

    def __next__(self) -> object:
        self.at += 1
        return self.batches[self.at - 1]


if __name__ == "__main__":
    what = "train, communication"
    raise SystemExit(
        main("fedbn", Reference("med-air/FedBN", "federated/fed_digits.py", what, authors, under="federated"))
    )
