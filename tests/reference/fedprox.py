"""FedProx against three copies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, source
from feddyn_authors import compare

MU = 0.5


def niid_bench(root: Path) -> Apart:
    """`train_net_fedprox` of every client and round, from the weights that ours were sent."""
    bed, out, quiet = Bed(), Apart(), SimpleNamespace(info=lambda text: None)
    code = source(root, "experiments", logger=quiet, args=SimpleNamespace(rho=0.9, reg=1e-2))
    local = {**LOCAL, "mu": MU, "momentum": 0.9, "weight_decay": 1e-2}
    for found in bed.play(bed.method("fedprox", local)):
        for client, end in found.ends.items():
            net, received = bed.module(found.start), bed.module(found.start)
            loader = bed.passes(client, found.index)
            code.train_net_fedprox(client, net, received, loader, loader, LOCAL["epochs"], LOCAL["lr"], "sgd", MU)
            out.add("client ends", end, flat(net))
    return out


def feddyn_authors(root: Path) -> Apart:
    """Three rounds of `train_FedProx`, training and weighted mean its own."""
    bed, local = Bed(), {**LOCAL, "mu": MU, "weight_decay": 1e-2}
    return compare(
        root, bed, "train_FedProx", "train_fedprox_mdl", bed.play(bed.method("fedprox", local)), None, local,
        epoch=LOCAL["epochs"], mu=MU,
    )  # fmt: skip


def fednova_authors(root: Path) -> Apart:
    """The optimiser `FedProx` of distoptim; with momentum its proximal term goes into the momentum's buffer."""
    bed, out = Bed(), Apart()
    kind = source(root, "distoptim.FedProx").FedProx
    for momentum, name in ((0.0, "client ends"), (0.9, "client ends (momentum 0.9)")):
        for found in bed.play(bed.method("fedprox", {**LOCAL, "mu": MU, "momentum": momentum})):
            for client, end in found.ends.items():
                net, loader = bed.module(found.start), bed.passes(client, found.index)
                step = kind(net.parameters(), ratio=1.0, gmf=0, mu=MU, lr=LOCAL["lr"], momentum=momentum)
                for _ in range(LOCAL["epochs"]):
                    for x, y in loader:
                        step.zero_grad()
                        torch.nn.functional.cross_entropy(net(x), y).backward()
                        step.step()
                out.add(name, end, flat(net))
    return out


if __name__ == "__main__":
    raise SystemExit(
        main(
            "fedprox",
            Reference("Xtra-Computing/NIID-Bench", "experiments.py", "train_net_fedprox", niid_bench),
            Reference("alpemreacar/FedDyn", "utils_methods.py", "train_FedProx", feddyn_authors),
            Reference("JYWa/FedNova", "distoptim/FedProx.py", "FedProx.step", fednova_authors),
        )
    )
