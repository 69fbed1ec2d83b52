"""Ditto against two copies; the authors' own needs TensorFlow 1."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from bed import COHORTS, LOCAL, Apart, Bed, Passes, Reference, flat, main, source

LAMBDA = 0.7
OURS = {**LOCAL, "tether": LAMBDA}


def twice(bed: Bed, client: int, round: int) -> Passes:
    """The batches of a round, and then the same again for the personal model."""
    passes = bed.passes(client, round)
    passes.passes = [*passes.passes, *passes.passes]
    return passes


def fl_bench(root: Path) -> Apart:
    """`DittoClient.fit`, from what ours were sent; every personal model of its begins at the initial weights."""
    bed, out = Bed(), Apart()
    kind = source(root, "src.client.ditto").DittoClient
    late = [(17, 4001), *COHORTS]
    for cohorts, note in ((COHORTS, ""), (late, " (one client comes a round late)")):
        own = {i: bed.module() for i in bed.held.data}
        for found in bed.play(bed.method("ditto", OURS), cohorts):
            for client, end in found.ends.items():
                net, mine = bed.module(found.start), own[client]
                step = torch.optim.SGD(net.parameters(), lr=LOCAL["lr"])
                step.add_param_group({"params": mine.parameters()})
                ditto = SimpleNamespace(pers_epoch=LOCAL["epochs"], lamda=LAMBDA)
                me = SimpleNamespace(
                    model=net, pers_model=mine, dataset=SimpleNamespace(train=lambda: None), lr_scheduler=None,
                    local_epoch=LOCAL["epochs"], trainloader=twice(bed, client, found.index), device="cpu",
                    criterion=torch.nn.CrossEntropyLoss(), optimizer=step, args=SimpleNamespace(ditto=ditto),
                    global_params=bed.module(found.start).state_dict(),
                )  # fmt: skip
                kind.fit(me)
                out.add(f"client ends{note}", end, flat(net))
                out.add(f"personal models{note}", found.memory[client]["personal"], flat(mine))
    return out


def pfllib(root: Path) -> Apart:
    """`clientDitto.ptrain`, then `train`, as its server calls them."""
    bed, out = Bed(), Apart()
    kind = source(root, "flcore.clients.clientditto").clientDitto
    pull = source(root, "flcore.optimizers.fedoptimizer").PerturbedGradientDescent
    own = {i: bed.module() for i in bed.held.data}
    for found in bed.play(bed.method("ditto", OURS)):
        for client, end in found.ends.items():
            net, mine, loader = bed.module(found.start), own[client], twice(bed, client, found.index)
            me = SimpleNamespace(
                load_train_data=lambda loader=loader: loader, model=net, model_per=mine, train_slow=False,
                local_epochs=LOCAL["epochs"], plocal_epochs=LOCAL["epochs"], device="cpu",
                loss=torch.nn.CrossEntropyLoss(), optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]),
                optimizer_per=pull(mine.parameters(), lr=LOCAL["lr"], mu=LAMBDA), learning_rate_decay=False,
                train_time_cost={"num_rounds": 0, "total_cost": 0.0},
            )  # fmt: skip
            kind.ptrain(me)
            kind.train(me)
            out.add("client ends", end, flat(net))
            out.add("personal models", found.memory[client]["personal"], flat(mine))
    return out


if __name__ == "__main__":
    raise SystemExit(
        main(
            "ditto",
            Reference("KarhouTam/FL-bench", "src/client/ditto.py", "DittoClient.fit", fl_bench),
            Reference(
                "TsingZ0/PFLlib", "system/flcore/clients/clientditto.py", "clientDitto.ptrain, train", pfllib,
                under="system",
            ),
        )
    )  # fmt: skip
