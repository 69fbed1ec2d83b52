"""The fast backend for one core: the same training as `loop`, with everything that can be re-used re-used.

What is rearranged: one module for all clients, whose tensors are views of one flat buffer; one flat
gradient, or none where nobody corrects it; no optimiser, data loader or copy of a module. Convolutions of
images run with the channels innermost (weights and inputs), which is faster; the flat vector keeps the
order of the layout, so nothing outside can tell. Rounding differs from `loop` by that order alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from disue.core.checks import Array, IntVector
from disue.core.clients import Batch, Local, Phase, Sgd, Walking
from disue.engine.batches import Draws, kept_generators
from disue.engine.interface import Job, Trained, Work, one_by_one
from disue.engine.moves import Moves, corrects, moves, normalised, prepare, tensors
from disue.engine.passes import passes
from disue.engine.walking import Walk, WalkingPhase
from disue.models.flat import FlatModule, bind
from disue.models.innermost import innermost


class Lean:
    """Keeps its modules from call to call; what they hold in between has no meaning."""

    def __init__(self, *, channels_last: bool | None = None) -> None:
        self._channels_last = channels_last
        self._seat: _Seat | None = None

    def refuses(self, work: Work, local: Local) -> str:
        return ""

    def cut(self, local: Local, sizes: Mapping[int, int]) -> list[list[int]]:
        return one_by_one(local, sizes)

    def train(self, work: Work, jobs: Iterable[Job]) -> Iterator[Trained]:
        if self._seat is None or not self._seat.fits(work):
            self._seat = _Seat(work, self._channels_last)
        for job in jobs:
            begun = time.perf_counter()
            with kept_generators(work.device):
                ends, steps, loss = self._seat.client(work, job)
            yield Trained(job.id, ends, steps, loss, time.perf_counter() - begun)


class _Seat:
    """The module in training, and one more for each named vector that a loss looks at."""

    def __init__(self, work: Work, channels_last: bool | None) -> None:
        self.network, self.dtype, self.device = work.network, work.dtype, work.device
        self.last = channels_last
        if channels_last is None:
            self.last = work.device == "cpu" and work.network.input_kind == "image"
        self.model = _Bound(self._fresh(), bool(self.last))
        self.others: list[_Bound] = []
        self.gradient, self.velocity = torch.zeros_like(self.model.flat), torch.zeros_like(self.model.flat)
        self.least = 2 if normalised(self.model.module) else 1
        self.moves: dict[object, Moves] = {}

    def fits(self, work: Work) -> bool:
        return self.network is work.network and (self.dtype, self.device) == (work.dtype, work.device)

    def _fresh(self) -> FlatModule:
        zeros = torch.zeros(self.network.layout.d).numpy()
        return bind(self.network.module(zeros).to(self.device), self.dtype)

    def client(self, work: Work, job: Job) -> tuple[dict[str, Array], int, float]:
        """(ends by name, steps of "model", mean loss of "model")."""
        fixed = tensors(job.context.fixed, self.dtype, self.device)
        vectors = tensors(job.context.trained, self.dtype, self.device)
        inputs = innermost(job.inputs) if self.last and job.inputs.ndim == 4 else job.inputs
        draws, steps, seen = Draws(work, job.id), 0, 0
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for phase in job.local.phases:
            self.model.set(vectors[phase.vector])
            context = {**fixed, **vectors}
            if isinstance(phase, Walking):
                made, samples, losses = self._walk(phase, context, draws, inputs, job.labels)
                vectors = {name: context[name] for name in vectors}
            else:
                made, samples, losses = self._phase(phase, context, draws, inputs, job.labels)
                vectors[phase.vector] = self.model.flat.clone()
            if phase.vector == "model":
                steps, seen, total = steps + made, seen + samples, total + losses
        ends = {name: vector.cpu().numpy() for name, vector in vectors.items()}
        return ends, steps, float(total) / seen if seen else float("nan")

    def _phase(
        self, phase: Phase, context: Mapping[str, Tensor], draws: Draws, data: Tensor, labels: Tensor
    ) -> tuple[int, int, Tensor]:
        """(steps, samples seen, sum of their losses). The model's flat buffer is moved."""
        sgd, model = phase.sgd, self.model
        found, trained = self._prepared(phase, len(labels))
        named: dict[str, _Bound] = {}

        def run(inputs: Tensor, name: str | None = None) -> tuple[Tensor, Tensor]:
            if name is None:
                return model.bound.both(inputs)
            if name not in named:
                named[name] = self._other(len(named), context[name])
            with torch.no_grad():
                return named[name].bound.both(inputs)

        forward = passes(run, model.module, self.network.layout)
        draws.begin(phase.vector)
        step = self._stepper(phase, found, trained, context)
        steps = samples = 0
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for order, cuts in draws.passes(phase.vector, len(labels), sgd, self.least):
            rows = torch.from_numpy(order[: cuts[-1].stop]).to(self.device)
            pass_labels = labels.index_select(0, rows)
            for cut in cuts:  # gathered batch by batch: a pass at once is fresh memory from the system each time
                batch = Batch(self._gather(data, rows[cut], draws, phase.vector), pass_labels[cut])
                with draws.work.cast():
                    loss = phase.loss(forward, batch, context)
                slopes = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
                step(slopes)
                size = cut.stop - cut.start
                total += loss.detach() * size
                steps, samples = steps + 1, samples + size
        model.gather()
        return steps, samples, total

    def _walk(
        self, phase: WalkingPhase, context: dict[str, Tensor], draws: Draws, data: Tensor, labels: Tensor
    ) -> tuple[int, int, Tensor]:
        """(steps, samples seen, sum of their losses); `context` holds the vectors as they then stand."""
        model, (found, trained) = self.model, self._prepared(phase, len(labels))
        mask = torch.zeros_like(model.flat, dtype=torch.bool)
        for start, stop in found.runs:
            mask[start:stop] = True

        forward = passes(lambda inputs, name=None: model.bound.both(inputs), model.module, self.network.layout)

        def gradient(at: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            model.set(at)
            with torch.enable_grad(), draws.work.cast():
                loss = phase.loss(forward, batch, context)
            slopes = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
            return loss.detach(), self._flat(found, slopes, torch.zeros_like(model.flat)), model.flat

        def gather(some: IntVector) -> Batch:
            rows = torch.from_numpy(some).to(self.device)
            return Batch(self._gather(data, rows, draws, phase.vector), labels.index_select(0, rows))

        draws.begin(phase.vector)
        return Walk(phase, context, mask, gather, gradient, self.least).run(draws, len(labels))

    def _prepared(self, phase: Phase, size: int) -> tuple[Moves, list[nn.Parameter]]:
        """What the phase moves, and the weights that it trains; the model is ready for it."""
        layout = self.network.layout
        if phase.trains not in self.moves:
            self.moves[phase.trains] = moves(layout, phase.trains)
        found = self.moves[phase.trains]
        prepare(self.model.module, layout, found, size)
        return found, [weight for weight in self.model.bound.parameters if weight.requires_grad]

    @staticmethod
    def _flat(found: Moves, slopes: tuple[Tensor, ...], out: Tensor) -> Tensor:
        """Gradients of the trained weights as one vector; `out` is written where something moves."""
        at = 0
        for start, stop in found.runs:
            size, first = 0, at
            while size < stop - start:
                size, at = size + slopes[at].numel(), at + 1
            torch.cat([slope.reshape(-1) for slope in slopes[first:at]], out=out[start:stop])
        return out

    def _gather(self, data: Tensor, rows: Tensor, draws: Draws, vector: str) -> Tensor:
        """Rows of the data as they are trained on, in the data's memory format."""
        if not (self.last and data.ndim == 4):
            return draws.augment(vector, data.index_select(0, rows))
        taken = data.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
        return innermost(draws.augment(vector, taken))

    def _stepper(
        self, phase: Phase, found: Moves, trained: list[nn.Parameter], context: Mapping[str, Tensor]
    ) -> Callable[[tuple[Tensor, ...]], None]:
        """What moves the weights, given the gradient of each trained one."""
        if phase.sgd.clip > 0 or corrects(phase, context):
            self.gradient.zero_()
            self.velocity.zero_()
            return lambda slopes: self._step(phase, found, slopes, context)
        return _Straight(phase.sgd, trained)

    @torch.no_grad()
    def _step(self, phase: Phase, found: Moves, slopes: tuple[Tensor, ...], context: Mapping[str, Tensor]) -> None:
        """One step on the flat vector, for what needs the gradient as one."""
        sgd, flat = phase.sgd, self.model.flat
        gradient = self._flat(found, slopes, self.gradient)
        if sgd.clip > 0:
            gradient.mul_((sgd.clip / gradient.norm()).clamp(max=1.0))
        corrected = phase.correct(gradient, flat, context)
        way = gradient if corrected is None else corrected
        if sgd.weight_decay > 0:
            way = way + sgd.weight_decay * flat
        if sgd.momentum > 0:
            way = self.velocity.mul_(sgd.momentum).add_(way)
        for start, stop in found.runs:
            flat[start:stop].sub_(way[start:stop], alpha=sgd.lr)
        self.model.refresh()

    def _other(self, index: int, vector: Tensor) -> _Bound:
        if index == len(self.others):
            self.others.append(_Bound(self._fresh(), bool(self.last)))
        other = self.others[index]
        other.set(vector)
        other.module.eval()
        return other


class _Straight:
    """One step on the weights as they lie: a gradient that nobody corrects need not be put together."""

    def __init__(self, sgd: Sgd, trained: list[nn.Parameter]) -> None:
        self.sgd = sgd
        self.weights: list[Tensor] = [weight.data for weight in trained]
        self.velocity = [torch.zeros_like(weight) for weight in self.weights] if sgd.momentum > 0 else []

    def __call__(self, slopes: tuple[Tensor, ...]) -> None:
        way = list(slopes)
        if self.sgd.weight_decay > 0:
            way = list(torch._foreach_add(way, self.weights, alpha=self.sgd.weight_decay))
        if self.sgd.momentum > 0:
            torch._foreach_mul_(self.velocity, self.sgd.momentum)
            torch._foreach_add_(self.velocity, way)
            way = self.velocity
        torch._foreach_add_(self.weights, way, alpha=-self.sgd.lr)


class _Bound:
    """A flat module, of which the convolutions may lie with the channels innermost.

    Their weights are then no views of the flat buffer but copies: `refresh` carries the buffer into them,
    `gather` carries them into the buffer.
    """

    def __init__(self, bound: FlatModule, channels_last: bool) -> None:
        self.bound, self.module, self.flat = bound, bound.module, bound.flat
        self._turned: list[tuple[Tensor, Tensor]] = []
        for layer in bound.module.modules() if channels_last else ():
            if isinstance(layer, nn.Conv2d):
                weight, view = layer.weight, layer.weight.data
                weight.data = view.clone(memory_format=torch.channels_last)
                self._turned.append((weight, view))
        layout = bound.layout
        self._counters = [
            (buffer, buffer.clone()) for name, buffer in bound.module.named_buffers() if name not in layout.slices
        ]

    def set(self, vector: Tensor) -> None:
        """Copies a vector (d,) in, and sets counters back."""
        with torch.no_grad():
            self.flat.copy_(vector)
            for buffer, first in self._counters:
                buffer.copy_(first)
            self.refresh()

    def refresh(self) -> None:
        for weight, view in self._turned:
            weight.data.copy_(view)

    def gather(self) -> None:
        for weight, view in self._turned:
            view.copy_(weight.data)
