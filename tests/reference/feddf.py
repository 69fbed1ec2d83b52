"""FedDF against its authors' distillation, on the same teachers and public batches."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bed import Absent, Apart, Bed, Reference, main, source
from torch import nn

from disue.parts.expert.ensemble import drawn

STEPS, BATCH, LR = 30, 16, 0.01


def authors(root: Path) -> Apart:
    """`NoiseKTSolver.distillation` after each of our rounds; the last student counts, nothing is validated."""
    bed, out = Bed(), Apart()
    bed.public = np.random.default_rng(8).standard_normal((50, 5)).astype(np.float32)
    for name in ("pyarrow", "lmdb"):  # of its data sets; it asks for them in a way that hides their absence
        sys.modules.setdefault(name, Absent(name))
    code = source(root, "pcode.aggregation.noise_knowledge_transfer")
    code.agg_utils.modify_model_trainable_status = _trainable
    for scheme, name in (
        ("avg_logits", "expert"),
        ("avg_losses", "expert (mean of the teachers' losses, its default)"),
    ):
        for found in bed.play(bed.method("feddf", steps=STEPS, batch=BATCH, lr=LR)):
            rows = drawn(len(bed.public), STEPS, BATCH, bed.streams("distil", found.index))
            batches = [(torch.from_numpy(bed.public[at]),) for at in rows]
            teachers = [_model(bed, end) for end in found.ends.values()]
            conf = SimpleNamespace(graph=SimpleNamespace(on_cuda=False), fl_aggregate={})
            solver = code.NoiseKTSolver(
                conf, teachers, _model(bed, found.state.average), None, None, BATCH, STEPS,
                distillation_data_loader=batches, student_learning_rate=LR, update_student_scheme=scheme,
                eval_batches_freq=STEPS,
            )  # fmt: skip
            solver.distillation_data_loader = batches
            solver.validate = lambda model, data_loader=None: {"top1": 1.0}
            solver.distillation()
            out.add(name, found.state.expert, bed.vector(solver.server_student))
            out.add("what distillation moved", found.state.expert, found.state.average)
    return out


def _model(bed: Bed, vector: np.ndarray) -> nn.Module:
    model = bed.module(vector, torch.float32)
    model.activations = []  # type: ignore[assignment]  # it asks every network for these and weighs them with 0
    return model


def _trainable(conf: Any, model: nn.Module, trainable: bool) -> nn.Module:
    for parameter in model.parameters():
        parameter.requires_grad = trainable
    return model


if __name__ == "__main__":
    under = "codes/FedDF-code"
    file, what = f"{under}/pcode/aggregation/noise_knowledge_transfer.py", "NoiseKTSolver.distillation"
    raise SystemExit(main("feddf", Reference("epfml/federated-learning-public-code", file, what, authors, under=under)))
