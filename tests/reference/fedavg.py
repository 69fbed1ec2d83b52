"""FedAvg: clients' ends against NIID-Bench's and FedDyn's training, the mean against Flower's and FedNTD's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, shaped, source
from feddyn_authors import compare

MOMENTUM = {**LOCAL, "momentum": 0.9, "weight_decay": 1e-2}


def niid_bench(root: Path) -> Apart:
    """`train_net` of every client and round, from the weights that ours were sent."""
    bed, out, quiet = Bed(), Apart(), SimpleNamespace(info=lambda text: None)
    code = source(root, "experiments", logger=quiet, args=SimpleNamespace(rho=0.9, reg=1e-2))
    for found in bed.play(bed.method("fedavg", MOMENTUM)):
        for client, end in found.ends.items():
            net, loader = bed.module(found.start), bed.passes(client, found.index)
            code.train_net(client, net, loader, loader, LOCAL["epochs"], LOCAL["lr"], "sgd")
            out.add("client ends", end, flat(net))
    return out


def feddyn_authors(root: Path) -> Apart:
    """Three rounds of `train_FedAvg`, training and weighted mean its own."""
    bed, local = Bed(), {**LOCAL, "weight_decay": 1e-2}
    return compare(
        root, bed, "train_FedAvg", "train_model", bed.play(bed.method("fedavg", local)), None, local,
        epoch=LOCAL["epochs"],
    )  # fmt: skip


def flower(root: Path) -> Apart:
    """`FedAvg.aggregate_fit` on the ends of our clients, in both of its ways to sum."""
    bed, out = Bed(), Apart()
    common, kind = source(root, "flwr.common"), source(root, "flwr.server.strategy").FedAvg
    for inplace in (False, True):
        for found in bed.play(bed.method("fedavg")):
            results = []
            for client, end in found.ends.items():
                given = common.ndarrays_to_parameters(shaped(end, bed.module()))
                ok = common.Status(common.Code.OK, "")
                results.append((None, common.FitRes(ok, given, bed.held.size(client), {})))
            made, _ = kind(inplace=inplace).aggregate_fit(found.index + 1, results, [])
            out.add("server", found.state.average, flat(common.parameters_to_ndarrays(made)))
    return out


def fedntd_authors(root: Path) -> Apart:
    """`ClientTrainer.train` of FedAvg and `BaseServer._aggregation`."""
    bed, out = Bed(), Apart()
    trainer, server = source(root, "algorithms.BaseClientTrainer"), source(root, "algorithms.BaseServer").BaseServer
    for found in bed.play(bed.method("fedavg", MOMENTUM)):
        ends, sizes = [], []
        for client, end in found.ends.items():
            me = trainer.BaseClientTrainer({}, bed.module(found.start), LOCAL["epochs"], "cpu", bed.held.classes)
            me.optimizer = torch.optim.SGD(me.model.parameters(), lr=LOCAL["lr"], momentum=0.9, weight_decay=1e-2)
            me.trainloader = me.testloader = bed.passes(client, found.index)
            me.datasize = bed.held.size(client)
            _, size = me.train()
            ends.append(me.upload_local())
            sizes.append(size)
            out.add("client ends", end, flat(ends[-1]))
        out.add("server", found.state.average, flat(server._aggregation(None, ends, sizes)))
    return out


if __name__ == "__main__":
    file = "framework/py/flwr/server/strategy/fedavg.py"
    raise SystemExit(
        main(
            "fedavg",
            Reference("alpemreacar/FedDyn", "utils_methods.py", "train_FedAvg", feddyn_authors),
            Reference("adap/flower", file, "FedAvg.aggregate_fit", flower, under="framework/py"),
            Reference("Lee-Gihun/FedNTD", "algorithms/BaseServer.py", "train, _aggregation", fedntd_authors),
            Reference("Xtra-Computing/NIID-Bench", "experiments.py", "train_net", niid_bench),
        )
    )
