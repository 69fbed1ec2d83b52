"""APFL against three copies, on a linear model: there a mixture of logits is a mixture of weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, source

from disue.models.build import build

SHARE = 0.4
OURS = {**LOCAL, "alpha": SHARE, "adaptive": False}


def bed() -> Bed:
    return Bed(module=build("mlp", (5,), 4, 3, hidden=()))


class Emptying:
    """A criterion that forgets gradients before the loss of the mixture, as the authors' own loop does."""

    def __init__(self, modules: list[torch.nn.Module]) -> None:
        self.modules, self.plain = modules, torch.nn.CrossEntropyLoss()

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        for module in self.modules:
            module.zero_grad()
        return self.plain(logits, labels)


def fl_bench(root: Path) -> Apart:
    """`APFLClient.fit`: as it is; without the second step of w; and with v's rate divided by α."""
    made, out = bed(), Apart()
    kind = source(root, "src.client.apfl").APFLClient
    for mended, rate, note in (
        (False, 1.0, ""),
        (True, 1.0, " (gradients emptied between its two steps)"),
        (True, 1 / SHARE, " (and v's rate divided by α)"),
    ):
        own = {i: made.module() for i in made.held.data}
        for found in made.play(made.method("apfl", OURS)):
            for client, end in found.ends.items():
                net, mine = made.module(found.start), own[client]
                step = torch.optim.SGD(net.parameters(), lr=LOCAL["lr"])
                step.add_param_group({"params": mine.parameters(), "lr": LOCAL["lr"] * rate})
                me = SimpleNamespace(
                    model=net, local_model=mine, dataset=SimpleNamespace(train=lambda: None), device="cpu",
                    local_epoch=LOCAL["epochs"], trainloader=made.passes(client, found.index), optimizer=step,
                    criterion=Emptying([net, mine]) if mended else torch.nn.CrossEntropyLoss(), lr_scheduler=None,
                    alpha=SHARE, args=SimpleNamespace(apfl=SimpleNamespace(adaptive_alpha=False)),
                )  # fmt: skip
                kind.fit(me)
                out.add(f"client ends{note}", end, flat(net))
                out.add(f"own models{note}", found.memory[client]["own"], flat(mine))
    return out


def pfllib(root: Path) -> Apart:
    """`clientAPFL.train`, one round; α stands still."""
    made, out = bed(), Apart()
    kind = source(root, "flcore.clients.clientapfl").clientAPFL
    found = made.play(made.method("apfl", OURS))[0]
    for client, end in found.ends.items():
        net, mine, loader = made.module(found.start), made.module(found.start), made.passes(client, 0)
        me = SimpleNamespace(
            load_train_data=lambda loader=loader: loader, model=net, model_per=mine, train_slow=False, alpha=SHARE,
            local_epochs=LOCAL["epochs"], device="cpu", loss=torch.nn.CrossEntropyLoss(), alpha_update=lambda: None,
            optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]), learning_rate_decay=False,
            optimizer_per=torch.optim.SGD(mine.parameters(), lr=LOCAL["lr"]),
            train_time_cost={"num_rounds": 0, "total_cost": 0.0},
        )  # fmt: skip
        kind.train(me)
        out.add("client ends", end, flat(net))
        out.add("own models", found.memory[client]["own"], flat(mine))
    return out


def fluke(root: Path) -> Apart:
    """`APFLClient.fit`, one round: how far v moves in ours and in theirs, before v becomes the mixture."""
    made, out = bed(), Apart()
    code = source(root, "fluke.algorithms.apfl")
    plain = code.merge_models
    found = made.play(made.method("apfl", OURS))[0]
    for client, end in found.ends.items():
        net, mine = made.module(found.start), made.module(found.start)
        last: dict[str, Any] = {}

        def merged(model: Any, own: Any, share: float, last: dict[str, Any] = last) -> Any:
            last["own"] = flat(own)
            return plain(model, own, share)

        code.merge_models = merged
        still = SimpleNamespace(step=lambda: None)
        me = SimpleNamespace(
            hyper_params=SimpleNamespace(local_epochs=LOCAL["epochs"], lam=SHARE, loss_fn=torch.nn.CrossEntropyLoss()),
            model=net, personalized_model=mine, device="cpu", scheduler=still, pers_scheduler=still,
            optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]), train_set=made.passes(client, 0),
            pers_optimizer=torch.optim.SGD(mine.parameters(), lr=LOCAL["lr"]), _clip_grads=lambda model: None,
        )  # fmt: skip
        code.APFLClient.fit(me)
        out.add("client ends", end, flat(net))
        out.add("own models", found.memory[client]["own"], last["own"])
        out.add("how far theirs moved", found.start, last["own"])
    code.merge_models = plain
    return out


if __name__ == "__main__":
    raise SystemExit(
        main(
            "apfl",
            Reference("KarhouTam/FL-bench", "src/client/apfl.py", "APFLClient.fit", fl_bench),
            Reference(
                "TsingZ0/PFLlib", "system/flcore/clients/clientapfl.py", "clientAPFL.train", pfllib, under="system"
            ),
            Reference("makgyver/fluke", "fluke/algorithms/apfl.py", "APFLClient.fit", fluke),
        )
    )
