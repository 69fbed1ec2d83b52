"""The stacked backend: a block of clients takes each step together.

Clients are sorted by their number of steps, so those that still train are a prefix of the block: who has
finished is out of every tensor, and neither momentum nor weight decay moves it. A short last batch is
padded; padded samples have weight zero and the mean is over the true ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from disue.core.clients import Local, Phase, Walking
from disue.core.errors import UserError
from disue.core.world import Network
from disue.engine.batches import Draws
from disue.engine.interface import Job, Trained, Work
from disue.engine.moves import Moves, corrects, moves
from disue.engine.stacked.forms import Form, form_of
from disue.engine.stacked.losses import loss_of
from disue.engine.stacked.plan import Schedule, cut, schedule

BLOCK = 50  # clients at once: twice as many gain a few percent more, at twice the memory


class Stacked:
    """`block` clients at once. Keeps the stacked form of the network from call to call."""

    def __init__(self, block: int = BLOCK) -> None:
        self.block = block
        self._network: Network | None = None
        self._form: Form | str = ""

    def refuses(self, work: Work, local: Local) -> str:
        """Why this work cannot be stacked, as the end of a sentence; "" where it can."""
        form = self._of(work)
        if isinstance(form, str):
            return f"the model cannot be stacked: {form}"
        for phase in local.phases:
            if isinstance(phase, Walking):
                return f"a step of {type(phase).__name__} takes more than one gradient"
            if not getattr(phase, "separable", False):
                return f"the loss of {type(phase).__name__} is not declared to be a mean over samples"
        return ""

    def cut(self, local: Local, sizes: Mapping[int, int]) -> list[list[int]]:
        return cut(local, sizes, self.block)

    def train(self, work: Work, jobs: Iterable[Job]) -> Iterator[Trained]:
        held = {job.id: job for job in jobs}
        if not held:
            return
        local = next(iter(held.values())).local
        why = self.refuses(work, local)
        form = self._of(work)
        if why or isinstance(form, str):
            raise UserError(f'engine.backend = "stacked": {why}; use "lean" or "auto"', key="engine.backend")
        sizes = {i: len(job.labels) for i, job in held.items()}
        for block in cut(local, sizes, self.block):
            yield from _Block(work, form, [held[i] for i in block]).train()

    def _of(self, work: Work) -> Form | str:
        if self._network is not work.network:
            self._network, self._form = work.network, form_of(work.network, work.device)
        return self._form


class _Block:
    def __init__(self, work: Work, form: Form, jobs: Sequence[Job]) -> None:
        self.work, self.form, self.jobs = work, form, jobs
        self.began = time.perf_counter()
        self.draws = [Draws(work, job.id) for job in jobs]
        self.inputs = torch.cat([job.inputs for job in jobs])
        self.labels = torch.cat([job.labels for job in jobs])
        self.sizes = [len(job.labels) for job in jobs]
        self.firsts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).tolist()

    def train(self) -> list[Trained]:
        """How each client ended, in the order of the block."""
        local = self.jobs[0].local
        fixed = self._all([job.context.fixed for job in self.jobs])
        vectors = self._all([job.context.trained for job in self.jobs])
        count = len(self.jobs)
        steps, seen, total = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count)
        for phase in local.phases:
            plan = schedule(self.draws, phase.vector, phase.sgd, self.sizes, self.firsts)
            end, losses = self._phase(phase, plan, {**fixed, **vectors})
            vectors[phase.vector] = end
            if phase.vector == "model":
                steps += (plan.sizes > 0).sum(axis=0)
                seen += plan.sizes.sum(axis=0)
                total += losses
        ends = {name: vector.cpu().numpy() for name, vector in vectors.items()}
        seconds = (time.perf_counter() - self.began) / count
        return [
            Trained(
                job.id,
                {name: values[at] for name, values in ends.items()},
                int(steps[at]),
                float(total[at] / seen[at]) if seen[at] else float("nan"),
                seconds,
            )
            for at, job in enumerate(self.jobs)
        ]

    def _all(self, given: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Tensor]:
        """Each client's arrays as one tensor, clients first."""
        out = {}
        for name in given[0]:
            rows = torch.from_numpy(np.stack([np.asarray(one[name]) for one in given]))
            out[name] = rows.to(self.work.device, self.work.dtype if rows.is_floating_point() else None)
        return out

    def _phase(self, phase: Phase, plan: Schedule, context: Mapping[str, Tensor]) -> tuple[Tensor, np.ndarray]:
        """(ends (clients, d), sums of the losses of the samples seen (clients,))."""
        work, form, layout = self.work, self.form, self.work.network.layout
        found = moves(layout, phase.trains)
        whole = form.leaves(context[phase.vector])
        at = form.trained(found.weights)
        loss = loss_of(work, form, phase, self.jobs[0], context)
        step = _Step(form, phase, found, at, whole, context)
        rows, counts = torch.from_numpy(plan.rows).to(work.device), torch.from_numpy(plan.sizes).to(work.device)
        total = torch.zeros(len(self.jobs), dtype=torch.float64, device=work.device)
        active, leaves = 0, whole
        for t in range(len(plan.active)):
            if int(plan.active[t]) != active:
                active = int(plan.active[t])
                leaves = [one[:active].detach() for one in whole]
                for index in at:
                    leaves[index].requires_grad_()
                loss.only(active)
            width = int(plan.width[t])
            chosen = rows[t, :active, :width].T.reshape(-1)
            inputs = self._augmented(phase, self.inputs.index_select(0, chosen), plan.sizes[t, :active])
            labels = self.labels.index_select(0, chosen).view(width, active).T
            size = counts[t, :active]
            mask = (torch.arange(width, device=work.device)[None, :] < size[:, None]).to(work.dtype)
            with work.cast():
                each = loss.each(leaves, form.batch(inputs, active), labels)  # (clients, batch)
            means = (each * mask).sum(1) / size
            slopes = torch.autograd.grad(
                means.sum(), [leaves[i] for i in at], allow_unused=True, materialize_grads=True
            )
            step(leaves, slopes, active)
            total[:active] += means.detach() * size
        return form.flat(whole), total.cpu().numpy()

    def _augmented(self, phase: Phase, inputs: Tensor, sizes: np.ndarray) -> Tensor:
        """Each client's samples, changed as that client alone would change them; padding stays as it is."""
        if not self.work.augment:
            return inputs
        each = inputs.view(-1, len(sizes), *inputs.shape[1:]).clone()
        for client, size in enumerate(sizes.tolist()):
            each[:size, client] = self.draws[client].augment(phase.vector, each[:size, client].contiguous())
        return each.view_as(inputs)


class _Step:
    """clip → correct → weight decay → momentum → step, for the clients that are active."""

    def __init__(
        self,
        form: Form,
        phase: Phase,
        found: Moves,
        at: list[int],
        whole: list[Tensor],
        context: Mapping[str, Tensor],
    ) -> None:
        self.form, self.phase, self.at, self.whole, self.context = form, phase, at, whole, context
        sgd = phase.sgd
        self.velocity = [torch.zeros_like(whole[i]) for i in at] if sgd.momentum > 0 else []
        d = context[phase.vector].shape[1]
        mask = torch.zeros(d, dtype=torch.bool, device=whole[0].device)
        for start, stop in found.runs:
            mask[start:stop] = True
        self.mask = None if bool(mask.all()) or len(whole) > 1 else mask
        self.corrects = corrects(phase, {name: value[0] for name, value in context.items()})

    @torch.no_grad()
    def __call__(self, leaves: Sequence[Tensor], slopes: Sequence[Tensor], active: int) -> None:
        sgd = self.phase.sgd
        moved = [leaves[i].detach() for i in self.at]
        way = list(slopes)
        if self.mask is not None:
            way = [one * self.mask for one in way]
        if sgd.clip > 0:
            squares = sum(one.reshape(active, -1).square().sum(1) for one in way)
            assert isinstance(squares, Tensor)
            factor = (sgd.clip / squares.sqrt()).clamp(max=1.0)
            way = [one * factor.view(-1, *[1] * (one.ndim - 1)) for one in way]
        if self.corrects:
            way = self._corrected(leaves, way, active)
        if sgd.weight_decay > 0:
            torch._foreach_add_(way := [w.clone() for w in way], moved, alpha=sgd.weight_decay)
        if sgd.momentum > 0:
            velocity = [one[:active] for one in self.velocity]
            torch._foreach_mul_(velocity, sgd.momentum)
            torch._foreach_add_(velocity, way)
            way = velocity
        if self.mask is not None:
            way = [one * self.mask for one in way]
        torch._foreach_add_(moved, way, alpha=-sgd.lr)

    def _corrected(self, leaves: Sequence[Tensor], way: list[Tensor], active: int) -> list[Tensor]:
        """The part's own correction: client by client on flat vectors, as it is written."""
        full = [torch.zeros_like(leaf) for leaf in leaves]
        for index, slope in zip(self.at, way, strict=True):
            full[index] = slope
        gradient, now = self.form.flat(full), self.form.flat([leaf.detach() for leaf in leaves])
        context = {name: value[:active] for name, value in self.context.items()}
        changed = torch.func.vmap(self.phase.correct)(gradient, now, context)
        assert changed is not None
        spread = self.form.spread(changed)
        return [spread[i].contiguous() for i in self.at]
