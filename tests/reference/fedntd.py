"""FedNTD against its authors' client and server."""

from __future__ import annotations

from pathlib import Path

import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, source

BETA, TAU = 1.5, 2.0


def authors(root: Path) -> Apart:
    """`ClientTrainer.train` with `NTD_Loss`, and `BaseServer._aggregation`."""
    bed, out = Bed(), Apart()
    trainer = source(root, "algorithms.fedntd.ClientTrainer").ClientTrainer
    criterion = source(root, "algorithms.fedntd.criterion").NTD_Loss(bed.held.classes, TAU, BETA)
    server = source(root, "algorithms.BaseServer").BaseServer
    local = {**LOCAL, "beta": BETA, "temperature": TAU, "momentum": 0.9, "weight_decay": 1e-2}
    for found in bed.play(bed.method("fedntd", local)):
        ends, sizes = [], []
        for client, end in found.ends.items():
            me = trainer(
                criterion, algo_params={}, model=bed.module(found.start), local_epochs=LOCAL["epochs"], device="cpu",
                num_classes=bed.held.classes,
            )  # fmt: skip
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
    file, what = "algorithms/fedntd/criterion.py", "ClientTrainer.train with NTD_Loss, _aggregation"
    raise SystemExit(main("fedntd", Reference("Lee-Gihun/FedNTD", file, what, authors)))
