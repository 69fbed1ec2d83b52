"""Local training against NIID-Bench's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from bed import LOCAL, Apart, Bed, Reference, flat, main, source


def niid_bench(root: Path) -> Apart:
    """`train_net` of every client, each going on from its own last end; a client is absent once."""
    bed, out, quiet = Bed(), Apart(), SimpleNamespace(info=lambda text: None)
    code = source(root, "experiments", logger=quiet, args=SimpleNamespace(rho=0.9, reg=1e-2))
    nets = {i: bed.module() for i in bed.held.data}
    for found in bed.play(bed.method("local", {**LOCAL, "momentum": 0.9, "weight_decay": 1e-2})):
        for client, end in found.ends.items():
            loader = bed.passes(client, found.index)
            code.train_net(client, nets[client], loader, loader, LOCAL["epochs"], LOCAL["lr"], "sgd")
            out.add("client ends", end, flat(nets[client]))
    return out


if __name__ == "__main__":
    raise SystemExit(main("local", Reference("Xtra-Computing/NIID-Bench", "experiments.py", "train_net", niid_bench)))
