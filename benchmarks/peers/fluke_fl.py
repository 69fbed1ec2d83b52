"""fluke: python fluke_fl.py WORKLOAD ROUNDS. One process, one thread, FedAvg, no evaluation."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import mark
import torch
from work import CLASSES, LR


def main() -> None:
    # torchvision's wheel wants CUDA for its own operators, and beside a CPU build of torch it stops at import for want
    # of two names. fluke's FedAvg uses none of them, so the names alone are given before fluke is imported.
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from fluke import DDict, FlukeENV
    from fluke.algorithms import CentralizedFL
    from fluke.client import Client
    from fluke.config import OptimizerConfigurator
    from fluke.data import FastDataLoader
    from fluke.server import Server
    from fluke.utils import FederationObserver

    class Marked(FederationObserver):
        def end_round(self, round: int) -> None:
            mark.mark()

    torch.set_num_threads(1)
    work, rounds, _ = mark.asked()
    env = FlukeENV()
    env.set_seed(0)
    env.set_device("cpu")
    env.set_eval_cfg(pre_fit=False, post_fit=False, locals=False, server=False)
    inputs, labels = work.data()
    clients = [
        Client(
            index=i,
            train_set=FastDataLoader(x, y, num_labels=CLASSES, batch_size=work.batch, shuffle=True),
            test_set=None,
            optimizer_cfg=OptimizerConfigurator(DDict(name="SGD", lr=LR)),
            loss_fn=torch.nn.CrossEntropyLoss(),
            local_epochs=work.epochs,
        )
        for i, (x, y) in enumerate(zip(inputs, labels, strict=True))
    ]
    server = Server(work.module(), None, clients)
    federation = CentralizedFL(work.clients, None, {}, clients=clients, server=server)
    federation.set_callbacks([Marked()])
    federation.run(rounds, 1.0)


if __name__ == "__main__":
    main()
