"""FedFTG's D-phase against its authors', with our generator, labels and noise in both."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from bed import IDS, Absent, Apart, Bed, Reference, main, source
from torch import Tensor, nn

from disue.parts.expert.generator import conditional
from disue.parts.expert.labels import draw, label_shares

BATCH, ITERATIONS, NZ, WIDTH = 50, 10, 100, 16  # as they stand in the code
RATES = {"student": 0.1, "generator": 0.01}


class Asked(nn.Module):
    """A model that takes the flag which theirs take."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, features: bool = False) -> Tensor:
        out: Tensor = self.model(x)
        return out


class Flat(nn.Module):
    """Our generator under their noise (n, nz, 1, 1) and labels one-hot."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, z: Tensor, shares: Tensor) -> Tensor:
        out: Tensor = self.module(z.flatten(1), shares)
        return out


def authors(root: Path) -> Apart:
    """`train_global_model_cgan_bs_weight_iloop_fz_dis` after the first round, with the clients' ends as its teachers."""
    bed, out = Bed(), Apart()
    sys.modules["torch.utils.tensorboard"] = Absent("torch.utils.tensorboard")  # it logs there
    code = source(root, "methods.local_fn_gan")
    (found,) = bed.play(bed.method("fedftg", faithful=True), [IDS])
    world, ids = bed.world, list(bed.held.data)
    counts = np.array([bed.held.label_counts(i) for i in ids])
    rng = bed.streams("dphase", 0)
    labels = draw(label_shares("prior", counts), BATCH * ITERATIONS, rng)
    noise = itertools.cycle(
        [torch.from_numpy(rng.standard_normal((BATCH, NZ), np.float32))[:, :, None, None] for _ in range(ITERATIONS)]
    )
    clients = np.array([found.ends[i] for i in ids], np.float32)
    student = Asked(bed.module(found.state.average, torch.float32))
    maker = Flat(conditional(world, NZ, WIDTH))

    def here(itself: Any, *_: object, **__: object) -> Any:
        return itself

    with (
        mock.patch.object(Tensor, "cuda", here),
        mock.patch.object(nn.Module, "cuda", here),
        mock.patch.object(code, "generate_labels", lambda number, counts: labels),
        mock.patch.object(torch, "randn", lambda shape: next(noise)),
    ):
        code.train_global_model_cgan_bs_weight_iloop_fz_dis(
            student, maker, Asked(bed.module(dtype=torch.float32)), clients, counts.astype(float), RATES["student"],
            RATES["generator"], BATCH, 100, 1e-3, "mnist", None, None, None, None,
        )  # fmt: skip
    out.add("expert", found.state.expert, bed.vector(student.model))
    theirs = np.concatenate([w.detach().numpy().reshape(-1) for w in maker.parameters()])
    out.add("generator", found.state.experts.weights, theirs)
    out.add("what distillation moved", found.state.expert, found.state.average)
    return out


if __name__ == "__main__":
    what = "train_global_model_cgan_bs_weight_iloop_fz_dis"
    raise SystemExit(main("fedftg", Reference("ZhangLin-PKU/FedFTG", "methods/local_fn_gan.py", what, authors)))
