"""FedRep and FedPer against the training of FedRep's authors, whose repository has both."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from bed import LOCAL, Absent, Apart, Bed, Reference, main, source

from disue.core.layout import HEAD

OURS = {**LOCAL, "epochs": 3, "momentum": 0.5, "weight_decay": 1e-4}  # the last two stand in their code


def authors(name: str) -> Any:
    def run(root: Path) -> Apart:
        """`LocalUpdate.train` from what ours were sent, with heads of its own; it decays no bias: then we let it."""
        bed, out = Bed(), Apart()
        sys.modules["models.test"] = Absent("models.test")  # Python 3 cannot read it: tabs and spaces
        code, head = source(root, "models.Update"), bed.network.layout.mask(HEAD)
        layout = bed.network.layout
        body = [entry.name for entry in layout.entries if not head[layout.slices[entry.name]].any()]
        args = SimpleNamespace(alg=name, dataset="bed", local_ep=3, local_rep_ep=1, local_updates=10**9, device="cpu")
        for mended, note in ((False, ""), (True, " (biases decayed too)")):
            code.torch = SimpleNamespace(optim=SimpleNamespace(SGD=_decaying)) if mended else torch
            heads = dict.fromkeys(bed.held.data, bed.start[head])
            for found in bed.play(bed.method(name, OURS)):
                for client, end in found.ends.items():
                    received = found.start.copy()
                    received[head] = heads[client]
                    net, loss = bed.module(received), torch.nn.CrossEntropyLoss()
                    me = SimpleNamespace(args=args, loss_func=loss, ldr_train=bed.passes(client, found.index, OURS))
                    me.indd = None
                    code.LocalUpdate.train(me, net, body, lr=LOCAL["lr"])
                    theirs = bed.vector(net)
                    heads[client] = theirs[head]
                    out.add(f"bodies{note}", end[~head], theirs[~head])
                    out.add(f"clients' heads{note}", found.memory[client]["own"], theirs[head])
        return out

    return run


def _decaying(groups: list[dict[str, Any]], **given: Any) -> torch.optim.SGD:
    return torch.optim.SGD([{**group, "weight_decay": 1e-4} for group in groups], **given)


if __name__ == "__main__":
    sys.exit(
        max(
            main(name, Reference("lgcollins/FedRep", "models/Update.py", "LocalUpdate.train", authors(name)))
            for name in ("fedrep", "fedper")
        )
    )
