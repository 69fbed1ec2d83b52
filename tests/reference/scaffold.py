"""SCAFFOLD against six copies: clients' ends and variates over three rounds, one client absent once."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bed import ALIKE, LOCAL, Apart, Bed, Reference, Round, flat, main, shaped, source
from feddyn_authors import compare

STEPS = 5


def rounds(bed: Bed, local: dict[str, Any] = LOCAL) -> list[Round]:
    return bed.play(bed.method("scaffold", local))


def variates(bed: Bed, found: list[Round], index: int) -> np.ndarray:
    """The server's variate that ours sent in a round."""
    return np.zeros(bed.start.size) if not index else found[index - 1].state.aggregate.control.astype(np.float64)


def authors(root: Path) -> Apart:
    """Three rounds of `train_SCAFFOLD`, which takes the same number of steps at every client."""
    bed, ours = Bed(ALIKE), {"steps": STEPS, "batch": 8, "lr": LOCAL["lr"], "weight_decay": 1e-2}
    return compare(
        root, bed, "train_SCAFFOLD", "train_scaffold_mdl", bed.play(bed.method("scaffold", ours)), None, ours,
        n_minibatch=STEPS,
    )  # fmt: skip


def niid_bench(root: Path) -> Apart:
    """`local_train_net_scaffold`: clients and variates are its own; the server's mean is a line of its script."""
    bed, out = Bed(), Apart()
    code, zero = source(root, "experiments"), np.zeros(bed.start.size)
    ids = list(bed.held.data)
    own, server = {i: bed.module(zero) for i in range(len(ids))}, bed.module(zero)
    args = SimpleNamespace(
        noise=0, noise_type="level", n_parties=len(ids), dataset="", datadir="", batch_size=LOCAL["batch"],
        epochs=LOCAL["epochs"], lr=LOCAL["lr"], optimizer="sgd", alg="scaffold", rho=0.0, reg=0.0,
    )  # fmt: skip
    code.args, code.logger = args, SimpleNamespace(info=lambda text: None)
    for found in rounds(bed):

        def loaders(*given: Any, index: int = found.index) -> tuple[Any, ...]:
            """The client's own; asked for all data it gives those of the first, which nobody goes through."""
            loader = bed.passes(ids[given[4]] if len(given) > 4 else ids[0], index)
            return loader, loader, None, None

        code.get_dataloader = loaders
        nets = {i: bed.module(found.start) for i in range(len(ids))}
        chosen = [ids.index(client) for client in found.cohort]
        test = bed.passes(ids[0], found.index)
        which = {i: _Index(i) for i in range(len(ids))}
        code.local_train_net_scaffold(nets, chosen, bed.module(found.start), own, server, args, which, test)
        for at in chosen:
            out.add("client ends", found.ends[ids[at]], flat(nets[at]))
            out.add("clients' variates", found.memory[ids[at]]["control"], flat(own[at]))
        out.add("server's variate", found.state.aggregate.control, flat(server))
    return out


class _Index(int):
    """A client's number where a list of its samples is expected."""

    def __len__(self) -> int:
        return 1


def fl_bench(root: Path) -> Apart:
    """`SCAFFOLDClient.train`: as it is; ours with as many steps as it takes; and c_i kept for it by us."""
    bed, out = Bed(), Apart()
    kind = source(root, "src.client.scaffold").SCAFFOLDClient
    few = {"steps": LOCAL["epochs"], "batch": LOCAL["batch"], "lr": LOCAL["lr"]}
    for local, kept, name in (
        (LOCAL, False, "client ends"),
        (few, False, "client ends (ours with one batch an epoch)"),
        (few, True, "client ends (and its c_i kept)"),
    ):
        ours = rounds(bed, local)
        own = {i: np.zeros(bed.start.size) for i in bed.held.data}
        for found in ours:
            server = variates(bed, ours, found.index)
            for client, end in found.ends.items():
                net = bed.module(found.start)
                itself = SimpleNamespace(
                    model=net, dataset=SimpleNamespace(train=lambda: None), local_epoch=LOCAL["epochs"], device="cpu",
                    criterion=torch.nn.CrossEntropyLoss(), lr_scheduler=None,
                    optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]),
                    args=SimpleNamespace(
                        common=SimpleNamespace(local_epoch=LOCAL["epochs"]), optimizer=SimpleNamespace(lr=LOCAL["lr"])
                    ),
                    iter_trainloader=iter(bed.passes(client, found.index)), set_parameters=lambda package: None,
                    c_global=[torch.from_numpy(v) for v in shaped(server, net)],
                    c_local=[torch.from_numpy(v) for v in shaped(own[client], net)], package=lambda: None,
                )  # fmt: skip
                itself.get_data_batch = lambda me=itself: kind.get_data_batch(me)
                itself.train_with_eval = lambda me=itself: kind.fit(me)
                start = {k: v.clone() for k, v in bed.module(found.start).state_dict().items()}
                kind.train(itself, {"regular_model_params": start})
                out.add(name, end, flat(net))
                if kept:
                    own[client] = flat(itself.c_local)
                    out.add("clients' variates", found.memory[client]["control"], own[client])
    return out


def pfllib(root: Path) -> Apart:
    """`clientSCAFFOLD.train`."""
    bed, out = Bed(), Apart()
    kind = source(root, "flcore.clients.clientscaffold").clientSCAFFOLD
    step = source(root, "flcore.optimizers.fedoptimizer").SCAFFOLDOptimizer
    ours, own = rounds(bed), {i: np.zeros(bed.start.size) for i in bed.held.data}
    for found in ours:
        server = variates(bed, ours, found.index)
        for client, end in found.ends.items():
            net, loader = bed.module(found.start), bed.passes(client, found.index)
            itself = SimpleNamespace(
                load_train_data=lambda loader=loader: loader, model=net, local_epochs=LOCAL["epochs"], device="cpu",
                train_slow=False, loss=torch.nn.CrossEntropyLoss(), learning_rate=LOCAL["lr"],
                optimizer=step(net.parameters(), lr=LOCAL["lr"]), learning_rate_decay=False,
                train_time_cost={"num_rounds": 0, "total_cost": 0.0}, global_model=bed.module(found.start),
                global_c=[torch.from_numpy(v) for v in shaped(server, net)],
                client_c=[torch.from_numpy(v) for v in shaped(own[client], net)],
            )  # fmt: skip
            itself.update_yc = lambda epochs, me=itself: kind.update_yc(me, epochs)
            kind.train(itself)
            own[client] = flat(itself.client_c)
            out.add("client ends", end, flat(net))
            out.add("clients' variates", found.memory[client]["control"], own[client])
    return out


def fluke(root: Path) -> Apart:
    """`SCAFFOLDClient.fit`."""
    bed, out = Bed(), Apart()
    kind = source(root, "fluke.algorithms.scaffold").SCAFFOLDClient
    ours, own = rounds(bed), {i: bed.module(np.zeros(bed.start.size)).state_dict() for i in bed.held.data}
    for found in ours:
        server = bed.module(variates(bed, ours, found.index)).state_dict()
        for client, end in found.ends.items():
            net = bed.module(found.start)
            itself = SimpleNamespace(
                hyper_params=SimpleNamespace(local_epochs=LOCAL["epochs"], loss_fn=torch.nn.CrossEntropyLoss()),
                model=net, device="cpu", optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]),
                scheduler=SimpleNamespace(step=lambda: None, get_last_lr=lambda: [LOCAL["lr"]]),
                train_set=bed.passes(client, found.index), server_control=server, control=own[client],
                server_model=bed.module(found.start).state_dict(), _clip_grads=lambda model: None,
            )  # fmt: skip
            kind.fit(itself)
            own[client] = itself.control
            out.add("client ends", end, flat(net))
            out.add("clients' variates", found.memory[client]["control"], flat(own[client]))
    return out


def flower(root: Path) -> Apart:
    """`FlowerClientScaffold.fit`: as it is, and with a zero c_i laid where it looks for one."""
    bed, out = Bed(), Apart()
    sys.path.insert(0, str(root / "framework" / "py"))
    kind = source(root, "niid_bench.client_scaffold").FlowerClientScaffold
    for zero, name in ((False, "client ends"), (True, "client ends (its c_i starting at zero)")):
        folder = f"variates{int(zero)}"
        ours = rounds(bed)
        for found in ours:
            server = shaped(variates(bed, ours, found.index), bed.module())
            for client, end in found.ends.items():
                net = bed.module(found.start)
                loader = bed.passes(client, found.index)
                me = kind(client, net, loader, None, "cpu", LOCAL["epochs"], LOCAL["lr"], 0.0, 0.0, folder)
                if zero and not any(client in r.cohort for r in ours[: found.index]):
                    torch.save([torch.zeros_like(p) for p in net.parameters()], f"{folder}/client_cv_{client}.pt")
                me.fit([*shaped(found.start, net), *server], {})
                out.add(name, end, flat(net))
    return out


if __name__ == "__main__":
    raise SystemExit(
        main(
            "scaffold",
            Reference("alpemreacar/FedDyn", "utils_methods.py", "train_SCAFFOLD", authors),
            Reference("Xtra-Computing/NIID-Bench", "experiments.py", "local_train_net_scaffold", niid_bench),
            Reference(
                "TsingZ0/PFLlib", "system/flcore/clients/clientscaffold.py", "clientSCAFFOLD.train", pfllib,
                under="system",
            ),
            Reference("makgyver/fluke", "fluke/algorithms/scaffold.py", "SCAFFOLDClient.fit", fluke),
            Reference("KarhouTam/FL-bench", "src/client/scaffold.py", "SCAFFOLDClient.train", fl_bench),
            Reference(
                "adap/flower", "baselines/niid_bench/niid_bench/client_scaffold.py", "FlowerClientScaffold.fit",
                flower, under="baselines/niid_bench",
            ),
        )
    )  # fmt: skip
