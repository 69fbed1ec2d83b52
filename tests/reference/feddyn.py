"""FedDyn against its authors' loop, and three copies against the algebra."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bed import ALIKE, LOCAL, SIZES, Apart, Bed, Reference, flat, main, source
from feddyn_authors import compare

ALPHA, DECAY = 0.3, 1e-2
OURS = {**LOCAL, "alpha": ALPHA, "weight_decay": DECAY}


def authors(root: Path) -> Apart:
    """Three rounds of `train_FedDyn`; with clients of unequal size it divides α by the relative size."""
    out = Apart()
    for sizes, note in ((ALIKE, ""), (SIZES, " (unequal sizes)")):
        bed = Bed(sizes)
        found = compare(
            root, bed, "train_FedDyn", "train_feddyn_mdl", bed.play(bed.method("feddyn", OURS)), 6, OURS,
            epoch=LOCAL["epochs"], alpha_coef=ALPHA,
        )  # fmt: skip
        out.update({name + note: value for name, value in found.items()})
    return out


def rounds(bed: Bed) -> Any:
    return bed.play(bed.method("feddyn", {**LOCAL, "alpha": ALPHA}))


def fl_bench(root: Path) -> Apart:
    """`FedDynClient.fit` from what ours were sent and with the drift that ours had."""
    bed, out = Bed(), Apart()
    kind = source(root, "src.client.feddyn").FedDynClient
    for decay, name in ((0.0, "client ends"), (ALPHA, "client ends (α as weight decay as well)")):
        drift = {i: np.zeros(bed.start.size) for i in bed.held.data}
        for found in rounds(bed):
            for client, end in found.ends.items():
                net = bed.module(found.start)
                itself = SimpleNamespace(
                    model=net, dataset=SimpleNamespace(train=lambda: None), local_epoch=LOCAL["epochs"], device="cpu",
                    trainloader=bed.passes(client, found.index), criterion=torch.nn.CrossEntropyLoss(),
                    optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"], weight_decay=decay), lr_scheduler=None,
                    delta=torch.from_numpy(drift[client] - found.start),
                    args=SimpleNamespace(feddyn=SimpleNamespace(alpha=ALPHA, max_grad_norm=10)),
                )  # fmt: skip
                kind.fit(itself)
                out.add(name, end, flat(net))
                drift[client] = found.memory[client]["drift"].astype(np.float64)
    return out


def pfllib(root: Path) -> Apart:
    """`clientDyn.train`; in the second form the norm of its penalty is squared by us."""
    bed, out = Bed(), Apart()
    code = source(root, "flcore.clients.clientdyn")
    plain = torch.norm
    for squared, name in ((False, "client ends"), (True, "client ends (norm squared)")):
        code.torch.norm = (lambda v, p: plain(v, p) ** 2) if squared else plain
        try:
            old = {i: torch.zeros(bed.start.size, dtype=torch.float64) for i in bed.held.data}
            for found in rounds(bed):
                for client, end in found.ends.items():
                    net, loader = bed.module(found.start), bed.passes(client, found.index)
                    itself = SimpleNamespace(
                        load_train_data=lambda loader=loader: loader, model=net, local_epochs=LOCAL["epochs"],
                        train_slow=False, device="cpu", loss=torch.nn.CrossEntropyLoss(), alpha=ALPHA,
                        global_model_vector=torch.from_numpy(found.start), old_grad=old[client],
                        optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]), learning_rate_decay=False,
                        train_time_cost={"num_rounds": 0, "total_cost": 0.0},
                    )  # fmt: skip
                    code.clientDyn.train(itself)
                    out.add(name, end, flat(net))
                    old[client] = itself.old_grad
        finally:
            code.torch.norm = plain
    return out


def fluke(root: Path) -> Apart:
    """`FedDynClient.fit` from what ours were sent; the second form gets q = −state / α, as its loss takes it."""
    bed, out = Bed(ALIKE), Apart()
    code = source(root, "fluke.algorithms.feddyn")
    for mended, name in ((False, "client ends"), (True, "client ends (sign and factor of its state mended)")):
        own = {i: torch.zeros(bed.start.size, dtype=torch.float64) for i in bed.held.data}
        for found in rounds(bed):
            for client, end in found.ends.items():
                net = bed.module(found.start)
                hyper = SimpleNamespace(local_epochs=LOCAL["epochs"], alpha=ALPHA, loss_fn=torch.nn.CrossEntropyLoss())
                given = -own[client] / ALPHA if mended else own[client]
                itself = SimpleNamespace(
                    hyper_params=hyper, model=net, device="cpu", weight=1.0, weight_decay=0.0, optimizer=None,
                    prev_grads=given.clone(), train_set=bed.passes(client, found.index), _clip_grads=lambda model: None,
                    _optimizer_cfg=lambda model, weight_decay: (
                        torch.optim.SGD(model.parameters(), lr=LOCAL["lr"], weight_decay=weight_decay),
                        SimpleNamespace(step=lambda: None),
                    ),
                )  # fmt: skip
                code.FedDynClient.fit(itself)
                out.add(name, end, flat(net))
                own[client] = own[client] + itself.prev_grads - given
    return out


if __name__ == "__main__":
    raise SystemExit(
        main(
            "feddyn",
            Reference("alpemreacar/FedDyn", "utils_methods.py", "train_FedDyn", authors),
            Reference(
                "KarhouTam/FL-bench", "src/client/feddyn.py", "FedDynClient.fit", fl_bench
            ),
            Reference(
                "TsingZ0/PFLlib", "system/flcore/clients/clientdyn.py", "clientDyn.train", pfllib, under="system"
            ),
            Reference("makgyver/fluke", "fluke/algorithms/feddyn.py", "FedDynClient.fit", fluke),
        )
    )  # fmt: skip
