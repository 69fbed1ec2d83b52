"""The D-phase of both families: steps, generators, teachers, moments, and their share of a round of LeNet.

python benchmarks/dphase.py [--quick] [--json PATH]

CPU milliseconds of one thread, medians. Steps: LeNet at 3×32×32, batch 32, k teachers. `ours` is the generator of
the library at its defaults; `up64` is the 64-channel upsampling generator (z 100 + 10 → 128×8×8, norm, ×2, conv 128,
norm, LeakyReLU, ×2, conv 64, norm, LeakyReLU, conv 3, tanh). The round: 10 clients × 500 samples × 5 epochs, batch 50.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from disue.core.clients import Local
from disue.core.groups import Groups
from disue.core.method import Making, View
from disue.core.orders import Orders, Report, Sight
from disue.core.streams import Streams
from disue.core.world import Census, World
from disue.engine.engine import Engine
from disue.models.build import build
from disue.models.flat import flatten
from disue.models.generators import Generator
from disue.models.network import TorchNetwork
from disue.parts.expert.distil import Ensemble, Maker, Student
from disue.parts.expert.generator import GeneratorDistil
from disue.parts.expert.moments import MomentsDistil
from disue.parts.expert.phase import Block, Phase
from disue.parts.expert.teachers import Teachers
from disue.parts.local import Erm

SHAPE, CLASSES, CLIENTS, SAMPLES = (3, 32, 32), 10, 10, 500


def cpu(work: Callable[[], object], times: int) -> float:
    """Median milliseconds, after one call that is not counted."""
    work()
    out = []
    for _ in range(times):
        began = time.process_time()
        work()
        out.append(1000 * (time.process_time() - began))
    return median(out)


class Up(nn.Sequential):
    """The 64-channel upsampling generator's layers."""

    def __init__(self) -> None:
        def norm(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels, track_running_stats=False)

        super().__init__(
            nn.Linear(110, 128 * 64),
            nn.Unflatten(1, (128, 8, 8)),
            norm(128),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, padding=1),
            norm(128),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, padding=1),
            norm(64),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 3, 3, padding=1),
        )


class Held:
    """Clients with random data."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((CLIENTS, SAMPLES, *shape), np.float32)
        self.y = rng.integers(0, CLASSES, (CLIENTS, SAMPLES))
        self.ids = np.arange(CLIENTS)

    def size(self, client: int) -> int:
        return SAMPLES

    def train(self, client: int) -> tuple[Any, Any]:
        return self.x[client], self.y[client]

    def label_counts(self, client: int) -> Any:
        return np.bincount(self.y[client], minlength=CLASSES)


class Remembered:
    """A network that looks up features it has computed before, so that what is left of a phase is sums and solve."""

    def __init__(self, network: Any) -> None:
        self._network, self._seen = network, {}  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def features(self, vector: Any, inputs: Any) -> Any:
        key = vector[::97].tobytes(), id(inputs)
        if key not in self._seen:
            self._seen[key] = self._network.features(vector, inputs)
        return self._seen[key]


def world(name: str, shape: tuple[int, ...], kind: str = "image") -> tuple[World, Any]:
    """A world of one model, and its start."""
    module = build(name, shape, CLASSES, 0)
    network = TorchNetwork(module, shape, kind)
    census = Census(np.arange(CLIENTS), np.full(CLIENTS, SAMPLES), CLASSES)
    return World(network.layout, census, network, Streams(0), 100), flatten(module)


def apart(start: Any, k: int) -> Any:
    """k models near the start."""
    rng = np.random.default_rng(1)
    return np.stack([start + 0.02 * rng.standard_normal(start.size, np.float32) for _ in range(k)])


def phase(at: World, start: Any, k: int, module: nn.Module, rules: GeneratorDistil) -> tuple[Phase, Block]:
    """A D-phase past its warm-up, with every term on."""
    seen, alpha = np.ones((k, CLASSES), bool), np.full((k, CLASSES), 1.0 / k)
    seen[:, :3] = False  # so that the average is asked too, as under skew
    ensemble = Ensemble(
        at.network,
        Teachers(apart(start, k), seen, alpha),
        start,
        mask=rules.mask,
        mixture=rules.mixture,
        temperature=rules.temperature,
    )
    weights = torch.cat([w.detach().reshape(-1) for w in module.parameters()]).numpy()
    maker = Maker(module, weights, rate=rules.generator_lr, clip=rules.generator_clip)
    every = np.ones(at.layout.d, bool)
    student = Student(at.network, start, every, rate=rules.student_lr, clip=rules.student_clip)
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (rules.batch,), generator=rng)
    noise = torch.randn(rules.batch, rules.nz, generator=rng)
    return Phase(rules, 50, ensemble, student, maker, None), Block(labels, noise, None)


def steps(times: int) -> list[dict[str, Any]]:
    """A generator's own step, a generator step, a student step on a fresh and on a cached batch."""
    rules = GeneratorDistil(batch=32)
    at, start = world("lenet", SHAPE)
    out = []
    for k in (1, 4):
        for name in ("up64", "ours"):
            body = rules._module(at) if name == "ours" else Generator(SHAPE, CLASSES, rules.nz, "tanh", Up())
            found, block = phase(at, start, k, body, rules)
            maker, noise, labels = found.maker, block.noise, block.labels
            assert maker is not None and noise is not None
            lesson = found.lessons(block)
            made = lesson[0].x

            def alone(maker: Maker = maker, z: Any = noise, y: Any = labels, found: Phase = found) -> None:
                maker.step(lambda: maker(z, y).square().mean(), found.tally)

            row = {
                "generator": name,
                "k": k,
                "weights": sum(w.numel() for w in body.parameters()),
                "alone": cpu(alone, times),
                "g_step": cpu(lambda found=found, block=block: found.improve(block), times),  # type: ignore[misc]
                "s_fresh": cpu(
                    lambda found=found, block=block: found.learn(found.lessons(block), block.labels),  # type: ignore[misc]
                    times,
                ),
                "s_cached": cpu(lambda found=found, y=labels, lesson=lesson: found.learn(lesson, y), times),  # type: ignore[misc]
                "teachers": cpu(lambda found=found, x=made, y=labels: found.ensemble.teach(x, y), times),  # type: ignore[misc]
            }
            out.append(row)
    return out


def stacking(times: int) -> list[dict[str, Any]]:
    """k teachers one after the other and all at once (vmap), forward and back to the inputs."""
    out = []
    for name, shape, kind in (("lenet", SHAPE, "image"), ("tiny", (1, 8, 8), "image"), ("mlp", (64,), "vector")):
        at, start = world(name, shape, kind)
        for k in (4, 10):
            models = torch.from_numpy(apart(start, k))
            x = torch.randn(32, *shape, generator=torch.Generator().manual_seed(0)).requires_grad_()

            def one_by_one(at: World = at, models: Any = models, x: Any = x) -> Any:
                return torch.stack([at.network.forward(model, x)[0] for model in models])

            def at_once(at: World = at, models: Any = models, x: Any = x) -> Any:
                return torch.vmap(lambda model: at.network.forward(model, x)[0])(models)

            def back(made: Callable[[], Any], x: Any = x) -> None:
                torch.autograd.grad(made().square().mean(), x)

            apart_by = float((one_by_one() - at_once()).detach().abs().max())
            out.append(
                {
                    "model": name,
                    "k": k,
                    "loop": cpu(lambda: back(one_by_one), 3 * times),
                    "stacked": cpu(lambda: back(at_once), 3 * times),
                    "difference": apart_by,
                }
            )
    return out


def round_of(expert: Any, times: int) -> dict[str, Any]:
    """The D-phase at default settings after a round of the clients' training: milliseconds and shares."""
    at, start = world("lenet", SHAPE)
    held: Any = Held(SHAPE)
    local: Local = Erm(lr=0.05, batch=50, epochs=5)
    sight = frozenset({Sight.SUMS, Sight.LABELS, Sight.MOMENTS})
    orders = Orders(
        50,
        held.ids,
        start[None],
        np.zeros((CLIENTS, 1), np.int64),
        origin=start,
        local=local,
        report=Report(sight=sight),
    )
    engine, began = Engine(held), time.process_time()
    uploads = engine.answer(at, orders)
    clients = 1000 * (time.process_time() - began)
    groups = Groups.make({i: i % 4 for i in range(CLIENTS)})
    sums = uploads.sums(groups)
    models = np.stack([start + sums.mean(g) for g in range(4)]).astype(np.float32)
    average = (start + sums.whole_mean()).astype(np.float32)
    making = Making(50, start, View(50, groups, models, average, start), groups, models, average, uploads)
    memory = expert.init(at, start)
    if isinstance(expert, MomentsDistil):
        memory = expert.make(at, memory, dataclasses.replace(making, round=49)).memory  # so that it is transported
        network: Any = at.network
        passes = cpu(lambda: [network.features(average, x) for x in held.x], times)
        whole = cpu(lambda: expert.make(at, memory, making), times)
        known = dataclasses.replace(at, network=Remembered(network))  # the door measures by its own world
        uploads._world = known
        rest = cpu(lambda: expert.make(known, memory, making), times)
        parts = {"one_pass": passes, "passes": whole - rest, "sums_and_solve": rest}
        return {"clients": clients, "phase": whole, **parts}
    return {"clients": clients, "phase": cpu(lambda: expert.make(at, memory, making), times)}


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--quick", action="store_true", help="three repeats")
    ask.add_argument("--json", type=Path)
    asked = ask.parse_args()
    torch.set_num_threads(1)
    times = 3 if asked.quick else 7
    found: dict[str, Any] = {"steps": steps(times), "teachers": stacking(times)}
    print(f"{'generator':9} {'k':>2} {'alone':>7} {'G-step':>7} {'S fresh':>8} {'S cached':>8} {'teachers':>8}")
    for row in found["steps"]:
        print(
            f"{row['generator']:9} {row['k']:2} {row['alone']:7.1f} {row['g_step']:7.1f} {row['s_fresh']:8.1f} "
            f"{row['s_cached']:8.1f} {row['teachers']:8.1f}"
        )
    for k in (1, 4):
        up, ours = (next(r for r in found["steps"] if (r["generator"], r["k"]) == (n, k)) for n in ("up64", "ours"))
        print(f"G-step, k = {k}: 1/{up['g_step'] / ours['g_step']:.1f}; alone 1/{up['alone'] / ours['alone']:.1f}")
    print(f"\n{'teachers':9} {'k':>2} {'loop':>7} {'stacked':>8} {'ratio':>6}")
    for row in found["teachers"]:
        print(
            f"{row['model']:9} {row['k']:2} {row['loop']:7.2f} {row['stacked']:8.2f} "
            f"{row['loop'] / row['stacked']:6.2f}"
        )
    found["round"] = {
        "disue": round_of(MomentsDistil(), times),
        "disue-generator": round_of(GeneratorDistil(), times),
    }
    print(f"\n{'a round':16} {'clients':>8} {'D-phase':>8} {'share':>6}")
    for name, row in found["round"].items():
        print(f"{name:16} {row['clients']:8.0f} {row['phase']:8.1f} {row['phase'] / row['clients']:6.1%}")
    row = found["round"]["disue"]
    print(
        f"moments: passes {row['passes'] / row['clients']:.1%} of the clients' training (one: "
        f"{row['one_pass'] / row['clients']:.1%}), sums and solve {row['sums_and_solve'] / row['clients']:.2%}"
    )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
