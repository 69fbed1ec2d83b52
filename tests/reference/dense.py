"""DENSE against its authors' synthesis and distillation, with our generators, labels and noise."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from bed import IDS, Absent, Apart, Bed, Reference, flat, main, source
from torch import Tensor, nn

from disue.parts.expert import Synthesis
from disue.parts.expert.generator import conditional
from disue.parts.expert.synthesis import SynthesisPhase

EPOCHS, STEPS, BATCH, NZ, RATE, LR = 3, 6, 16, 20, 0.01, 0.02


class Unconditional(nn.Module):
    """Our generator without labels, which enter by the loss alone."""

    def __init__(self, module: nn.Module, classes: int) -> None:
        super().__init__()
        self.module, self.classes = module, classes

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.module(z, torch.zeros(len(z), self.classes))
        return out


class Bar:
    """A progress bar that shows nothing."""

    def __init__(self, over: Any = (), total: int = 0) -> None:
        self.over = over

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Any]:
        return iter(self.over)

    def set_description(self, text: str) -> None: ...


class Normed(nn.Module):
    """A convolution, batch normalisation, a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.norm, self.head = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(48, 4)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x))).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x))
        return out


def synthesised(code: Any, bed: Bed, models: Any, student: nn.Module, epoch: int, rng: Any) -> Tensor:
    """One batch of `AdvSynthesizer.synthesize`, without its crops and flips."""
    y = torch.from_numpy(np.sort(rng.integers(bed.held.classes, size=BATCH)))
    z = torch.from_numpy(rng.standard_normal((BATCH, NZ), np.float32))
    made: list[Tensor] = []
    maker = Unconditional(conditional(bed.world, NZ, 16, stream=("synthesis", epoch)), bed.held.classes)
    me: Any = code.AdvSynthesizer.__new__(code.AdvSynthesizer)
    me.student, me.iterations, me.lr_g, me.nz, me.adv, me.bn, me.oh = student, STEPS, RATE, NZ, 1.0, 1.0, 1.0
    me.num_classes, me.synthesis_batch_size, me.dataset = bed.held.classes, BATCH, "bed"
    me.generator, me.model_list, me.aug = maker, models, lambda inputs: (inputs, None)
    me.data_pool = SimpleNamespace(add=lambda inputs: made.append(inputs.clone()))
    with (
        mock.patch.object(torch, "randn", lambda size: z.clone()),
        mock.patch.object(torch, "randint", lambda low, high, size: y),
        mock.patch.object(Tensor, "cuda", lambda itself: itself),
        mock.patch.object(code, "reset_model", lambda model: None),
        mock.patch.object(code, "tqdm", Bar),
        mock.patch.object(code, "vutils", SimpleNamespace(save_image=lambda *given, **more: None)),
    ):
        me.synthesize(nn.Identity(), epoch)
    return made[0]


def authors(root: Path) -> Apart:
    """All epochs on models without batch normalisation; one batch on models with it."""
    out = Apart()
    code = source(root, "helpers.synthesizers")
    sys.modules["torch.utils.tensorboard"] = Absent("torch.utils.tensorboard")  # it logs there
    script = source(root, "heter_fl")
    bed = Bed()
    part: Any = Synthesis(
        EPOCHS, STEPS, BATCH, NZ, generator_lr=RATE, student_lr=LR, student_momentum=0.9, temperature=20.0
    )
    (found,) = bed.play(dataclasses.replace(bed.method("dense"), expert=part), [IDS])
    rng = bed.streams("dphase", 0)
    teachers = [bed.module(end, torch.float32).eval() for end in found.ends.values()]
    student = bed.module(bed.fresh(0), torch.float32)
    step = torch.optim.SGD(student.parameters(), lr=LR, momentum=0.9)
    pool: list[Tensor] = []
    for epoch in range(EPOCHS):
        pool.append(synthesised(code, bed, teachers, student.eval(), epoch, rng))
        images = torch.cat(pool)
        order = torch.from_numpy(rng.permutation(len(images)))
        loader = SimpleNamespace(dataset=images)
        given = SimpleNamespace(
            get_data=lambda images=images, order=order: images[order].split(BATCH), data_loader=loader
        )
        with mock.patch.object(script, "tqdm", Bar), mock.patch.object(Tensor, "cuda", lambda itself: itself):
            script.kd_train(given, (student, code.Ensemble_A(teachers)), script.KLDiv(T=20.0), step)
    out.add("expert", found.state.expert, bed.vector(student))
    out.add("how far the student went", bed.fresh(0), flat(student))
    normed = Bed(module=Normed().eval(), shape=(2, 4, 4), kind="image")
    (first,) = normed.play(normed.method("fedavg", {"epochs": 2, "batch": 8, "lr": 0.1}), [IDS])
    ends = np.array([first.ends[i] for i in IDS], np.float32)
    part = Synthesis(1, STEPS, BATCH, NZ, generator_lr=RATE, student="average")
    making: Any = SimpleNamespace(round=0, average=first.state.average)
    phase = SynthesisPhase(part, normed.world, making, ends)
    phase.synthesise(0)
    for mended, note in ((False, ""), (True, " (its models registered as modules)")):
        models: Any = [normed.module(end, torch.float32).eval() for end in ends]
        models = nn.ModuleList(models) if mended else models
        student = normed.module(first.state.average, torch.float32).eval()
        theirs = synthesised(code, normed, models, student, 0, normed.streams("dphase", 0))
        out.add(f"inputs by models with batch normalisation{note}", phase.pool[0][0].numpy(), theirs.numpy())
    return out


if __name__ == "__main__":
    file, what = "helpers/synthesizers.py", "AdvSynthesizer.synthesize, kd_train"
    raise SystemExit(main("dense", Reference("zj-jayzhang/DENSE", file, what, authors)))
