"""FedAvg's fine-tuning against FL-bench's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, source

from disue.core.clients import personal_of
from disue.core.orders import Report
from disue.engine import Engine
from disue.engine.staff import PERSONAL

TUNING = 2


def fl_bench(root: Path) -> Apart:
    """`FedAvgClient.finetune` of every client, from the model of our third round."""
    bed, out = Bed(), Apart()
    kind = source(root, "src.client.fedavg").FedAvgClient
    method = bed.method("fedavg-ft", {**LOCAL, "tuning": TUNING})
    state = bed.play(method)[-1].state
    orders = method.ask(bed.world, state, np.array(list(bed.held.data)))
    trial = dataclasses.replace(orders, local=personal_of(method.local), report=Report(), stream=PERSONAL)
    with Engine(bed.held, double=True) as engine:
        own = engine.answer(bed.world, trial).ends
    for client, mine in own.items():
        net = bed.module(state.average)
        test = SimpleNamespace(client=SimpleNamespace(finetune_epoch=TUNING))
        me = SimpleNamespace(
            model=net, dataset=SimpleNamespace(train=lambda: None), device="cpu",
            criterion=torch.nn.CrossEntropyLoss(), args=SimpleNamespace(common=SimpleNamespace(test=test)),
            optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]),
            trainloader=bed.passes(client, orders.round, {**LOCAL, "epochs": TUNING}, stream=PERSONAL),
        )  # fmt: skip
        kind.finetune(me)
        out.add("clients' models", mine, flat(net))
    return out


if __name__ == "__main__":
    file, what = "src/client/fedavg.py", "FedAvgClient.finetune"
    raise SystemExit(main("fedavg-ft", Reference("KarhouTam/FL-bench", file, what, fl_bench)))
