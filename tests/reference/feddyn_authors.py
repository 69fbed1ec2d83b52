"""The repository of FedDyn's authors: its loops over rounds, run on the bed's batches and cohorts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from bed import COHORTS, LOCAL, Apart, Bed, Round, flat, source


class Loaders:
    """In place of torch's data loaders: the bed's batches for training, all at once for evaluation."""

    def __init__(self, bed: Bed, local: Any) -> None:
        self.bed, self.local, self.round = bed, local, -1
        self.x = [bed.held.train(i)[0] for i in bed.held.data]
        self.y = [bed.held.train(i)[1].reshape(-1, 1) for i in bed.held.data]

    def cohort(self, size: int) -> np.ndarray:
        """In place of the uniform numbers that choose the next cohort: 0 for those in it."""
        self.round += 1
        return np.array([0.0 if i in COHORTS[self.round] else 2.0 for i in self.bed.held.data])

    def __call__(self, pair: Any, batch_size: int, shuffle: bool) -> Any:
        x, y = pair
        if not shuffle:
            return [(torch.from_numpy(np.asarray(x)), torch.from_numpy(np.asarray(y)))]
        (client,) = [i for i, own in zip(self.bed.held.data, self.x, strict=True) if own is x]
        return self.bed.passes(client, self.round, self.local, torch.float32)


def compare(
    root: Path, bed: Bed, loop: str, trainer: str, ours: list[Round], sent: Any, local: Any, **given: Any
) -> Apart:
    """`loop` of utils_methods over three rounds. `sent` picks its list of models; `given` are its own arguments."""
    general, methods = source(root, "utils_general"), source(root, "utils_methods")
    loaders, ends, out = Loaders(bed, local), [], Apart()
    plain: Callable[..., Any] = getattr(methods, trainer)

    def kept(*args: Any) -> Any:
        model = plain(*args)
        ends.append((loaders.round, flat(model)))
        return model

    ids = list(bed.held.data)
    os.makedirs("Output", exist_ok=True)
    name = os.path.basename(tempfile.mkdtemp(dir="Output"))  # what is there under a name would be taken as done
    data = SimpleNamespace(n_client=len(ids), clnt_x=loaders.x, clnt_y=loaders.y, name=name, dataset="bed")
    data.tst_x, data.tst_y = loaders.x[0], loaders.y[0]
    with (
        mock.patch.object(general, "data", SimpleNamespace(DataLoader=loaders)),
        mock.patch.object(general, "Dataset", lambda x, y, **_: (x, y)),
        mock.patch.object(methods, trainer, kept),
        mock.patch("numpy.random.uniform", loaders.cohort),
    ):
        made = getattr(methods, loop)(
            data, act_prob=1.0, learning_rate=LOCAL["lr"], batch_size=local["batch"], com_amount=len(COHORTS),
            print_per=100, weight_decay=local["weight_decay"], model_func=lambda: bed.module(dtype=torch.float32),
            init_model=bed.module(dtype=torch.float32), save_period=1, lr_decay_per_round=1.0, **given,
        )  # fmt: skip
    for found in ours:
        theirs = [end for round, end in ends if round == found.index]
        for client, end in zip(sorted(found.cohort), theirs, strict=True):
            out.add("client ends", found.uploads.ends[client], end)
        out.add("server", found.state.average, flat(made[0][found.index]))
        if sent is not None:
            out.add("sent", found.state.models[0], flat(made[sent][found.index]))
    return out
