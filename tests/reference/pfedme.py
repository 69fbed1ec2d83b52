"""pFedMe and Per-FedAvg against the repository of pFedMe's authors, which has both."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from bed import Apart, Bed, Reference, flat, main, source

STEPS, BATCH = 6, 8
TETHER, INNER, OWN, LR = 2.0, 4, 0.1, 0.2
ALPHA, BETA = 0.1, 0.05


def drawn(bed: Bed, client: int, round: int, epochs: int, together: int) -> Any:
    """Batches one after the other, of each pass as many as make whole steps."""
    passes = bed.passes(client, round, {"epochs": epochs, "batch": BATCH})
    return iter([batch for one in passes.passes for batch in one[: len(one) // together * together]])


def pfedme(root: Path) -> Apart:
    """`UserpFedMe.train`, and what its test of a client's own model would use."""
    bed, out = Bed(), Apart()
    kind = source(root, "FLAlgorithms.users.userpFedMe").UserpFedMe
    local = {"steps": STEPS, "batch": BATCH, "lr": LR, "tether": TETHER, "inner": INNER, "own_lr": OWN}
    for mu, note in ((0.001, ""), (0.0, " (without its weight decay)")):
        for found in bed.play(bed.method("pfedme", local, beta=1.5)):
            for client, end in found.ends.items():
                me: Any = kind.__new__(kind)
                batches = drawn(bed, client, found.index, STEPS, 1)
                me.model, me.local_epochs, me.K, me.lamda, me.learning_rate = (
                    bed.module(found.start), STEPS, INNER, TETHER, LR
                )  # fmt: skip
                me.local_model = list(bed.module(found.start).parameters())
                me.loss, me.get_next_train_batch = torch.nn.CrossEntropyLoss(), lambda batches=batches: next(batches)
                optimizer = source(root, "FLAlgorithms.optimizers.fedoptimizer").pFedMeOptimizer
                me.optimizer = optimizer(me.model.parameters(), lr=OWN, lamda=TETHER, mu=mu)
                thetas: list[Any] = []

                def update(new: Any, me: Any = me, thetas: list[Any] = thetas) -> None:
                    thetas.append(flat(me.model))
                    kind.update_parameters(me, new)

                me.update_parameters = update
                me.train(STEPS)
                out.add(f"client ends{note}", end, flat(me.local_model))
                out.add(f"clients' own models{note}", found.memory[client]["theta"], thetas[0])
                if mu == 0:
                    out.add("own model that it tests against its θ", flat(me.persionalized_model_bar), thetas[0])
                    out.add("… and against its w", flat(me.persionalized_model_bar), flat(me.local_model))
    return out


def pfedme_server(root: Path) -> Apart:
    """`persionalized_aggregate_parameters` on the ends of our clients."""
    bed, out = Bed(), Apart()
    kind = source(root, "FLAlgorithms.servers.serverbase").Server
    local = {"steps": STEPS, "batch": BATCH, "lr": LR, "tether": TETHER, "inner": INNER, "own_lr": OWN}
    for found in bed.play(bed.method("pfedme", local, beta=1.5)):
        me: Any = SimpleNamespace(model=bed.module(found.start), users=[0], beta=1.5)
        me.selected_users = [
            SimpleNamespace(
                train_samples=bed.held.size(i), get_parameters=lambda end=end: list(bed.module(end).parameters())
            )
            for i, end in found.ends.items()
        ]
        me.add_parameters = lambda user, ratio, me=me: kind.add_parameters(me, user, ratio)
        kind.persionalized_aggregate_parameters(me)
        out.add("server", found.state.average, flat(me.model))
    return out


def per_fedavg(root: Path) -> Apart:
    """`UserPerAvg.train`, first order, as many steps as ours."""
    bed, out = Bed(), Apart()
    kind = source(root, "FLAlgorithms.users.userperavg").UserPerAvg
    step = source(root, "FLAlgorithms.optimizers.fedoptimizer").MySGD
    for found in bed.play(bed.method("per-fedavg", {"epochs": 2, "batch": BATCH, "lr": BETA, "alpha": ALPHA})):
        for client, end in found.ends.items():
            batches = list(drawn(bed, client, found.index, 2, 2))
            queue = iter(batches)
            me: Any = kind.__new__(kind)
            me.model, me.local_epochs, me.beta = bed.module(found.start), len(batches) // 2, BETA
            me.local_model = list(bed.module(found.start).parameters())
            me.loss, me.get_next_train_batch = torch.nn.CrossEntropyLoss(), lambda queue=queue: next(queue)
            me.optimizer = step(me.model.parameters(), lr=ALPHA)
            me.train(len(batches) // 2)
            out.add("client ends", end, flat(me.model))
    return out


if __name__ == "__main__":
    repository, users = "CharlieDinh/pFedMe", "FLAlgorithms/users"
    mine = Reference(repository, f"{users}/userpFedMe.py", "UserpFedMe.train", pfedme)
    server = Reference(
        repository, "FLAlgorithms/servers/serverbase.py", "persionalized_aggregate_parameters", pfedme_server
    )
    other = Reference(repository, f"{users}/userperavg.py", "UserPerAvg.train", per_fedavg)
    sys.exit(max(main("pfedme", mine, server), main("per-fedavg", other)))
