"""CFLA's FedAvg: python cfla_fedavg.py WORKLOAD ROUNDS. One process, one thread.

Its client steps with Adam, whatever is asked for, and measures itself after every pass on what it keeps apart for a
test; here that is nothing, so the measuring is cut out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import mark
import torch
from cfla.framework.client.clientbase import Client
from cfla.framework.server.server_fedavg import ServerFedAvg
from torch.utils.data import TensorDataset
from work import LR


class Untested(Client):
    def test(self) -> Any:
        self.local_model.train()
        return 0.0, []


def main() -> None:
    torch.set_num_threads(1)
    work, rounds, _ = mark.asked()
    inputs, labels = work.data()

    def build() -> Any:
        """CFLA makes a client's model as type(model)(), without arguments."""
        model: Any = type(work.module())
        return type("Whole", (model,), {"__init__": lambda self: model.__init__(self, work.shape, 10)})()

    args = {
        "device": "cpu",
        "criterion": None,
        "optimizer": None,
        "local_epochs": work.epochs,
        "nb_epochs": rounds,
        "learning_rate": LR,
        "fraction": 1.0,
        "batch_size": work.batch,
        "train_fraction": 1.0,
    }
    # a dataset of no samples cannot be shuffled, so one stays apart
    clients = []
    for i, (x, y) in enumerate(zip(inputs, labels, strict=True)):
        more = TensorDataset(torch.cat([x, x[:1]]), torch.cat([y, y[:1]]))
        clients.append(Untested(i, more, {**args, "train_fraction": len(y) / (len(y) + 1) + 1e-9}))
    server = ServerFedAvg(build(), None, args)
    server.set_clients(clients)
    for _ in range(rounds):
        server.global_model, _ = server.federated_learning(server.global_model, server.clients)
        mark.mark()


if __name__ == "__main__":
    main()
