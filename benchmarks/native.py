"""CPU time of the native backend beside the naive loop, the centralised loop and lean, paired in one process.

`python benchmarks/native.py [--quick] [--json PATH]`. One thread; all variants in turn, in reverse order on every
second repetition; the figures are medians with quartiles of the ratio of CPU seconds, variant against native, on the
same work: the model definition is the same, pooling before ReLU included.

naive        a deepcopy of the model, a DataLoader and torch.optim.SGD for every client
centralised  one model on the same samples and batches, DataLoader and torch.optim.SGD; "inner" with channels innermost
lean, stacked  this package's backends on torch operators, where they apply
GFLOP/s      operations of a dense pass; native leaves out what is zero behind a pool, so it may exceed the core's peak
corrected    a part that corrects every gradient (control variates)
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from disue.core.clients import Context, Local
from disue.core.streams import Streams
from disue.engine.cost import flops
from disue.engine.interface import Backend, Job, Work
from disue.engine.registry import make
from disue.models.build import build
from disue.models.flat import flatten
from disue.models.network import TorchNetwork
from disue.parts.local import Controlled, Erm


@dataclass(frozen=True)
class Load:
    """Some clients' work: model, its inputs, clients, samples of each, epochs, batch."""

    model: str
    shape: tuple[int, ...]
    clients: int
    samples: int
    epochs: int
    batch: int
    kind: str = "image"


LOADS = {
    "W2 LeNet": Load("lenet", (3, 32, 32), 1, 500, 2, 50),
    "W3 FedAvg CNN": Load("fedavg-cnn", (1, 28, 28), 1, 200, 1, 50),
    "W1 tiny CNN": Load("tiny", (1, 8, 8), 50, 18, 5, 18),
    "MLP": Load("mlp", (64,), 50, 40, 5, 20, "vector"),
}
LR = 0.05


def variants(load: Load) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn((load.clients, load.samples, *load.shape), generator=g)
    y = torch.randint(0, 10, (load.clients, load.samples), generator=g)
    module = build(load.model, load.shape, 10, 0).train()
    network = TorchNetwork(module, load.shape, load.kind)
    start = flatten(module)
    work = Work(network, Streams(0), "batches", 0)
    plain, corrected = (kind(epochs=load.epochs, batch=load.batch, lr=LR) for kind in (Erm, Controlled))
    no_control = {"control_shift": np.zeros_like(start)}

    def loop(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, inner: bool = False) -> None:
        optimiser = torch.optim.SGD(model.parameters(), lr=LR)
        loader = DataLoader(TensorDataset(inputs, labels), batch_size=load.batch, shuffle=True)
        for _ in range(load.epochs):
            for a, b in loader:
                optimiser.zero_grad()
                given = a.contiguous(memory_format=torch.channels_last) if inner else a
                nn.functional.cross_entropy(model(given), b).backward()
                optimiser.step()

    def naive() -> None:
        for client in range(load.clients):
            loop(copy.deepcopy(module), x[client], y[client])

    def backend(name: str, local: Local = plain) -> Callable[[], object]:
        made: Backend = make(name)
        jobs = [Job(i, local, Context({"model": start}, no_control), x[i], y[i]) for i in range(load.clients)]
        return lambda: list(made.train(work, jobs))

    central, together, labels = copy.deepcopy(module), x.flatten(0, 1), y.flatten()
    out: dict[str, Callable[[], object]] = {
        "native": backend("native"),
        "native, corrected": backend("native", corrected),
        "naive": naive,
        "centralised": lambda: loop(central, together, labels),
    }
    if load.kind == "image":
        last = copy.deepcopy(module).to(memory_format=torch.channels_last)
        out["centralised, inner"] = lambda: loop(last, together, labels, inner=True)
    out["lean"] = backend("lean")
    if load.clients > 1:
        out["stacked"] = backend("stacked")
    return out


def measure(load: Load, turns: int) -> dict[str, list[float]]:
    """CPU seconds of each variant in each repetition, after one that is not counted."""
    made = variants(load)
    spent: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(turns + 1):
        for name in list(made) if turn % 2 else list(made)[::-1]:
            began = time.process_time()
            made[name]()
            if turn:
                spent[name].append(time.process_time() - began)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 repetitions instead of 15")
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    tables = {}
    print(f"{'work':16} {'variant':20} {'ms':>9} {'of native':>10}  {'quartiles':>13} {'minima':>7}")
    for name, load in LOADS.items():
        spent = measure(load, 5 if given.quick else 15)
        own = np.array(spent["native"])
        rows = {}
        for variant, seconds in spent.items():
            ratio = np.array(seconds) / own
            low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
            rows[variant] = {
                "ms": 1e3 * float(np.median(seconds)),
                "ratio": float(middle),
                "quartiles": [float(low), float(high)],
                "minima": float(min(seconds) / own.min()),
            }
            print(
                f"{name:16} {variant:20} {rows[variant]['ms']:9.1f} {middle:10.2f}  [{low:5.2f}, {high:5.2f}] "
                f"{rows[variant]['minima']:7.2f}"
            )
        network = TorchNetwork(build(load.model, load.shape, 10, 0), load.shape, load.kind)
        rate = flops(network) * load.clients * load.samples * load.epochs / min(spent["native"]) / 1e9
        print(f"{name:16} native at best {rate:.0f} GFLOP/s")
        tables[name] = {"variants": rows, "gflops": rate}
    if given.json:
        machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
        given.json.write_text(json.dumps({"machine": machine, "work": tables}, indent=1))


if __name__ == "__main__":
    main()
