"""What the naive loop spends around the arithmetic: python benchmarks/overhead.py [--quick] [--json PATH].

CPU microseconds of one client's parts, medians: copying the model, making the optimiser, a pass of the data loader
against a gather of the same samples, a step of the optimiser against one foreach addition, and the forward and
backward pass of one batch, for scale.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import asked
import timing
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from work import ALL, LR, Work

PARTS = ("deepcopy", "optimiser", "loader pass", "gather pass", "opt.step", "foreach step", "forward + backward")


def parts(work: Work) -> dict[str, Callable[[], object]]:
    """One call of each."""
    module = work.module().train()
    inputs, labels = (tensor[0] for tensor in work.chunk(1, work.samples, 1).data())
    batch, wanted = inputs[: work.batch], labels[: work.batch]
    weights = list(module.parameters())
    optimiser = torch.optim.SGD(weights, lr=LR)

    def learn() -> None:
        optimiser.zero_grad()
        F.cross_entropy(module(batch), wanted).backward()

    def load() -> None:
        for _ in DataLoader(TensorDataset(inputs, labels), batch_size=work.batch, shuffle=True):
            pass

    def gather() -> None:
        rows = torch.randperm(len(labels))
        inputs.index_select(0, rows), labels.index_select(0, rows)

    learn()
    slopes = [weight.grad.clone() for weight in weights if weight.grad is not None]

    def add() -> None:
        with torch.no_grad():
            torch._foreach_add_(weights, slopes, alpha=-1e-9)

    calls = (
        lambda: copy.deepcopy(module),
        lambda: torch.optim.SGD(weights, lr=LR),
        load,
        gather,
        optimiser.step,
        add,
        learn,
    )
    return dict(zip(PARTS, calls, strict=True))


def main() -> None:
    given = asked.parse(__doc__)
    timing.one_thread()
    print(f"{'µs':6} " + " ".join(f"{name:>18}" for name in PARTS))
    found = {}
    for name in ("w1b18", "w2", "w3"):
        calls = parts(ALL[name])
        found[name] = {part: 1e6 * timing.quiet(calls[part], 5 if given.quick else 25) for part in PARTS}
        print(f"{name:6} " + " ".join(f"{found[name][part]:18,.0f}" for part in PARTS), flush=True)
    asked.write(given, found)


if __name__ == "__main__":
    main()
