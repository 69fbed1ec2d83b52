"""CPU time of the native backend beside the naive loop, the centralised loop and lean, paired in one process.

`python benchmarks/native.py [--quick] [--json PATH]`. One thread; all variants in turn, in reverse order on every
second repetition; the figures are medians with quartiles of the ratio of CPU seconds, variant against native, on the
same work: the model definition is the same, pooling before ReLU included.

naive        a deepcopy of the model, a DataLoader and torch.optim.SGD for every client
centralised  one model on the same samples and batches, DataLoader and torch.optim.SGD; "inner" with channels innermost
lean         this package's fast loop on torch operators
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

from disue.core.clients import Context
from disue.core.streams import Streams
from disue.engine.cost import flops
from disue.engine.interface import Backend, Job, Work
from disue.engine.registry import make
from disue.models.build import build
from disue.models.flat import flatten
from disue.models.network import TorchNetwork
from disue.parts.local import Erm


@dataclass(frozen=True)
class Load:
    """One client's work: model, its inputs, samples, epochs, batch."""

    model: str
    shape: tuple[int, ...]
    samples: int
    epochs: int
    batch: int
    kind: str = "image"


LOADS = {
    "W2 LeNet": Load("lenet", (3, 32, 32), 500, 2, 50),
    "W3 FedAvg CNN": Load("fedavg-cnn", (1, 28, 28), 200, 1, 50),
    "W1 tiny CNN": Load("tiny", (1, 8, 8), 180, 5, 18),
    "MLP": Load("mlp", (64,), 200, 5, 20, "vector"),
}
LR = 0.05


def variants(load: Load) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn((load.samples, *load.shape), generator=g)
    y = torch.randint(0, 10, (load.samples,), generator=g)
    module = build(load.model, load.shape, 10, 0).train()
    network = TorchNetwork(module, load.shape, load.kind)
    start = flatten(module)
    work = Work(network, Streams(0), "batches", 0)
    job = Job(1, Erm(epochs=load.epochs, batch=load.batch, lr=LR), Context({"model": start}), x, y)
    inner = load.kind == "image"

    def loop(model: nn.Module, inputs: torch.Tensor) -> None:
        optimiser = torch.optim.SGD(model.parameters(), lr=LR)
        loader = DataLoader(TensorDataset(inputs, y), batch_size=load.batch, shuffle=True)
        for _ in range(load.epochs):
            for a, b in loader:
                optimiser.zero_grad()
                given = a.contiguous(memory_format=torch.channels_last) if inputs is not x else a
                nn.functional.cross_entropy(model(given), b).backward()
                optimiser.step()

    def backend(name: str) -> Callable[[], object]:
        made: Backend = make(name)
        return lambda: list(made.train(work, [job]))

    central = copy.deepcopy(module)
    out: dict[str, Callable[[], object]] = {
        "native": backend("native"),
        "naive": lambda: loop(copy.deepcopy(module), x),
        "centralised": lambda: loop(central, x),
    }
    if inner:
        last, turned = copy.deepcopy(module).to(memory_format=torch.channels_last), x.clone()
        out["centralised, inner"] = lambda: loop(last, turned)
    out["lean"] = backend("lean")
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
    parser = argparse.ArgumentParser()
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
        rate = flops(network) * load.samples * load.epochs / min(spent["native"]) / 1e9
        print(f"{name:16} native at best {rate:.0f} GFLOP/s")
        tables[name] = {"variants": rows, "gflops": rate}
    if given.json:
        machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
        given.json.write_text(json.dumps({"machine": machine, "work": tables}, indent=1))


if __name__ == "__main__":
    main()
