"""FedAvgM, FedAdam and FedYogi against Flower's strategies: the same clients' ends go in, a model comes out."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bed import Apart, Bed, Reference, flat, main, shaped, source

SERVER = {"server_lr": 0.05, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3}


def served(bed: Bed, strategy: Any, method: Any, apart: Apart, name: str, prepare: Any = None) -> None:
    """Adds the largest difference of the server's model over the rounds."""
    common = source(Path(), "flwr.common")
    module = bed.module()
    for found in bed.play(method):
        results = []
        for client, end in found.ends.items():
            given = common.ndarrays_to_parameters(shaped(end, module))
            ok = common.Status(common.Code.OK, "")
            results.append((None, common.FitRes(ok, given, bed.held.size(client), {})))
        if prepare is not None:
            prepare(strategy, found.index)
        made, _ = strategy.aggregate_fit(found.index + 1, results, [])
        apart.add(name, found.state.average, flat(common.parameters_to_ndarrays(made)))


def start(bed: Bed) -> Any:
    return source(Path(), "flwr.common").ndarrays_to_parameters(shaped(bed.start, bed.module()))


def fedavgm(root: Path) -> Apart:
    bed, out = Bed(), Apart()
    for nesterov, name in ((False, "server"), (True, "server (ours in Nesterov's form)")):
        strategy = source(root, "flwr.server.strategy").FedAvgM(initial_parameters=start(bed), server_momentum=0.6)
        served(bed, strategy, bed.method("fedavgm", momentum=0.6, nesterov=nesterov), out, name)
    return out


def nesterov(root: Path) -> Apart:
    """Flower's own reproduction of the paper's figures, in Nesterov's form."""
    bed, out = Bed(), Apart()
    sys.path.insert(0, str(root / "framework" / "py"))
    kind = source(root, "fedavgm.strategy").CustomFedAvgM
    strategy = kind(initial_parameters=start(bed), server_learning_rate=1.0, server_momentum=0.6, evaluate_fn=None)
    served(bed, strategy, bed.method("fedavgm", momentum=0.6), out, "server")
    return out


def fl_bench(rule: str) -> Any:
    """`FedOptServer`'s optimiser, or torch's as `FedAvgMServer` sets it up, on our clients' ends."""

    def run(root: Path) -> Mapping[str, float]:
        bed, out = Bed(), Apart()
        code = source(root, "src.server.fedopt" if rule != "fedavgm" else "src.server.fedavgm")
        for mended in (False, True) if rule != "fedavgm" else (False,):
            net = bed.module()
            names = dict(net.named_parameters())
            if rule == "fedavgm":
                itself = SimpleNamespace(
                    public_model_params=names,
                    global_optmizer=torch.optim.SGD(list(names.values()), lr=1.0, momentum=0.6, nesterov=True),
                )
                method = bed.method(rule, momentum=0.6)
            else:
                step = code.AdaptiveOptimizer(rule[3:], names, 0.9, 0.99, SERVER["server_lr"], SERVER["tau"])
                method = bed.method(rule, **SERVER)
                if mended:
                    for v in step.velocities:
                        v += SERVER["tau"] ** 2
            for found in bed.play(method):
                moved = [
                    dict(zip(names, [torch.from_numpy(v) for v in shaped(found.start - end, net)], strict=True))
                    for end in found.ends.values()
                ]
                weights = [bed.held.size(client) for client in found.ends]
                if rule == "fedavgm":
                    packages = {
                        i: {"weight": w, "model_params_diff": d}
                        for i, (w, d) in enumerate(zip(weights, moved, strict=True))
                    }
                    code.FedAvgMServer.aggregate_client_updates(itself, packages)
                else:
                    step.step(moved, torch.tensor(weights) / sum(weights))
                out.add("server (v₀ = τ²)" if mended else "server", found.state.average, flat(names))
        return out

    return run


def adaptive(rule: str) -> Any:
    def run(root: Path) -> Mapping[str, float]:
        bed, out = Bed(), Apart()
        kind = getattr(source(root, "flwr.server.strategy"), {"fedadam": "FedAdam", "fedyogi": "FedYogi"}[rule])
        given = {"eta": SERVER["server_lr"], "beta_1": 0.9, "beta_2": 0.99, "tau": SERVER["tau"]}

        def fresh() -> Any:
            return kind(initial_parameters=start(bed), **given)

        def second(strategy: Any, round: int) -> None:
            """v₀ = τ², as in the paper."""
            if round == 0:
                strategy.v_t = [np.full_like(x, SERVER["tau"] ** 2) for x in shaped(bed.start, bed.module())]

        def unbiased(strategy: Any, round: int) -> None:
            """As `second`, and the rate such that the correction of the bias is taken back."""
            second(strategy, round)
            t = round + 2
            strategy.eta = SERVER["server_lr"] * (1 - 0.9**t) / math.sqrt(1 - 0.99**t)

        served(bed, fresh(), bed.method(rule, **SERVER), out, "server (as it is)")
        served(bed, fresh(), bed.method(rule, **SERVER), out, "server (v₀ = τ²)", second)
        if rule == "fedadam":
            served(bed, fresh(), bed.method(rule, **SERVER), out, "server (v₀ = τ², no bias correction)", unbiased)
        return out

    return run


STRATEGY = "framework/py/flwr/server/strategy/"


def flower(name: str, run: Any) -> Reference:
    where = {"file": f"{STRATEGY}{name}.py", "what": "aggregate_fit", "under": "framework/py"}
    return Reference("adap/flower", run=run, **where)


def bench(name: str) -> Reference:
    file, what = (
        ("fedavgm", "FedAvgMServer.aggregate_client_updates")
        if name == "fedavgm"
        else ("fedopt", "AdaptiveOptimizer.step")
    )
    return Reference("KarhouTam/FL-bench", f"src/server/{file}.py", what, fl_bench(name))


if __name__ == "__main__":
    baseline = Reference(
        "adap/flower", "baselines/fedavgm/fedavgm/strategy.py", "CustomFedAvgM.aggregate_fit", nesterov,
        under="baselines/fedavgm",
    )  # fmt: skip
    codes = [
        main("fedavgm", baseline, flower("fedavgm", fedavgm), bench("fedavgm")),
        main("fedadam", flower("fedadam", adaptive("fedadam")), bench("fedadam")),
        main("fedyogi", flower("fedyogi", adaptive("fedyogi")), bench("fedyogi")),
    ]
    raise SystemExit(max(codes))
