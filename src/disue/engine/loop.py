"""The reference backend: one client after the other, one fresh module per phase. Slow, and obvious."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from disue.core.checks import Array, IntVector
from disue.core.clients import Batch, Local, Phase, Walking
from disue.core.layout import Layout
from disue.engine.batches import Draws, kept_generators
from disue.engine.interface import Job, Trained, Work, one_by_one
from disue.engine.moves import Moves, moves, normalised, prepare, tensors
from disue.engine.passes import passes
from disue.engine.walking import Walk, WalkingPhase
from disue.models.split import both


class Loop:
    """Trains exactly as a textbook says. Runs every local part."""

    def refuses(self, work: Work, local: Local) -> str:
        return ""

    def cut(self, local: Local, sizes: Mapping[int, int]) -> list[list[int]]:
        return one_by_one(local, sizes)

    def train(self, work: Work, jobs: Iterable[Job]) -> Iterator[Trained]:
        for job in jobs:
            begun = time.perf_counter()
            with kept_generators(work.device):
                ends, steps, loss = _phases(work, job)
            yield Trained(job.id, ends, steps, loss, time.perf_counter() - begun)


def _phases(work: Work, job: Job) -> tuple[dict[str, Array], int, float]:
    """(ends by name, steps of "model", mean loss of "model")."""
    fixed = tensors(job.context.fixed, work.dtype, work.device)
    vectors = tensors(job.context.trained, work.dtype, work.device)
    draws, steps, total, seen = Draws(work, job.id), 0, 0.0, 0
    for phase in job.local.phases:
        context = {**fixed, **vectors}
        if isinstance(phase, Walking):
            made, samples, sum_of_losses = _walk(work, job, phase, context, draws)
            vectors = {name: context[name] for name in vectors}
            if phase.vector == "model":
                steps, seen, total = steps + made, seen + samples, total + sum_of_losses
            continue
        end, losses, sizes = _phase(work, job, phase, context, draws)
        vectors[phase.vector] = end
        if phase.vector == "model":
            steps += len(losses)
            total += sum(loss * size for loss, size in zip(losses, sizes, strict=True))
            seen += sum(sizes)
    ends = {name: vector.cpu().numpy() for name, vector in vectors.items()}
    return ends, steps, total / seen if seen else float("nan")


def _phase(
    work: Work, job: Job, phase: Phase, context: Mapping[str, Tensor], draws: Draws
) -> tuple[Tensor, list[float], list[int]]:
    """(end, losses of the batches, sizes of the batches). Nothing in `context` changes."""
    layout, sgd = work.network.layout, phase.sgd
    module = _module(work, context[phase.vector])
    found = moves(layout, phase.trains)
    prepare(module, layout, found, len(job.labels))
    weights = dict(module.named_parameters())

    def run(inputs: Tensor, name: str | None = None) -> tuple[Tensor, Tensor]:
        if name is None:
            return both(module, inputs)
        with torch.no_grad():
            return both(_module(work, context[name]).eval(), inputs)

    forward = passes(run, module, layout)
    mask = _mask(layout, found, work)
    velocity = torch.zeros_like(context[phase.vector])
    losses, sizes = [], []
    draws.begin(phase.vector)
    least = 2 if normalised(module) else 1
    for order, cuts in draws.passes(phase.vector, len(job.labels), sgd, least):
        for cut in cuts:
            rows = torch.from_numpy(order[cut]).to(work.device)
            batch = Batch(draws.augment(phase.vector, job.inputs[rows]), job.labels[rows])
            with work.cast():
                loss = phase.loss(forward, batch, context)
            names = [entry.name for entry in layout.entries if entry.name in found.weights]
            slopes = torch.autograd.grad(
                loss, [weights[name] for name in names], allow_unused=True, materialize_grads=True
            )
            gradient = _flat(layout, dict(zip(names, slopes, strict=True)), velocity)
            now = _read(module, layout, velocity)
            if sgd.clip > 0:
                gradient = gradient * (sgd.clip / gradient.norm()).clamp(max=1.0)
            corrected = phase.correct(gradient, now, context)
            if corrected is not None:
                gradient = corrected
            if sgd.weight_decay > 0:
                gradient = gradient + sgd.weight_decay * now
            if sgd.momentum > 0:
                velocity = sgd.momentum * velocity + gradient
                gradient = velocity
            _write(module, layout, torch.where(mask, now - sgd.lr * gradient, now))
            losses.append(float(loss.detach()))
            sizes.append(len(rows))
    return _read(module, layout, velocity), losses, sizes


def _walk(
    work: Work, job: Job, phase: WalkingPhase, context: dict[str, Tensor], draws: Draws
) -> tuple[int, int, float]:
    """(steps, samples seen, sum of their losses); `context` holds the vectors as they then stand."""
    layout, like = work.network.layout, context[phase.vector]
    module, found = _module(work, like), moves(layout, phase.trains)
    prepare(module, layout, found, len(job.labels))
    weights = {name: weight for name, weight in module.named_parameters() if name in found.weights}

    forward = passes(lambda inputs, name=None: both(module, inputs), module, layout)

    def gradient(at: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        _write(module, layout, at)
        with torch.enable_grad(), work.cast():
            loss = phase.loss(forward, batch, context)
        slopes = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
        return loss.detach(), _flat(layout, dict(zip(weights, slopes, strict=True)), like), _read(module, layout, like)

    def gather(some: IntVector) -> Batch:
        rows = torch.from_numpy(some).to(work.device)
        return Batch(draws.augment(phase.vector, job.inputs[rows]), job.labels[rows])

    draws.begin(phase.vector)
    walk = Walk(phase, context, _mask(layout, found, work), gather, gradient, 2 if normalised(module) else 1)
    steps, seen, total = walk.run(draws, len(job.labels))
    return steps, seen, float(total)


def _module(work: Work, vector: Tensor) -> nn.Module:
    """A fresh module with these weights."""
    module = work.network.module(torch.zeros(len(vector)).numpy()).to(work.device, work.dtype)
    _write(module, work.network.layout, vector)
    return module


def _mask(layout: Layout, found: Moves, work: Work) -> Tensor:
    out = torch.zeros(layout.d, dtype=torch.bool, device=work.device)
    for start, stop in found.runs:
        out[start:stop] = True
    return out


def _flat(layout: Layout, values: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """Tensors by name as one vector (d,), zero where there is none."""
    out = torch.zeros_like(like)
    for name, value in values.items():
        out[layout.slices[name]] = value.reshape(-1)
    return out


def _read(module: nn.Module, layout: Layout, like: Tensor) -> Tensor:
    state = module.state_dict()
    return _flat(layout, {entry.name: state[entry.name] for entry in layout.entries}, like)


def _write(module: nn.Module, layout: Layout, vector: Tensor) -> None:
    state = module.state_dict()
    with torch.no_grad():
        for entry in layout.entries:
            state[entry.name].copy_(vector[layout.slices[entry.name]].view(entry.shape))
