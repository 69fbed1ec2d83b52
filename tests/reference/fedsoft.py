"""FedSoft against its authors' client and server, without selection of clients."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, source

from disue.parts.grouping import ByShares
from disue.parts.shares import floored

K, MU = 2, 0.5
SIZES = {17: 12, 902: 30, 4001: 21, 4002: 18, 5000: 25, 6003: 9}


def authors(root: Path) -> Apart:
    """`estimate_importance_weights`, `_local_train` and `_aggregate_fedsoft`, five rounds; shares hold for two."""
    out = Apart()
    rounds(root, Bed(SIZES), out, "")
    rounds(root, labelled_alike(), out, " (a share of none among them)")
    return out


def labelled_alike() -> Bed:
    """Clients of one class each, whose samples soon all agree on a centre."""
    made = Bed(SIZES)
    for at, (client, (x, y)) in enumerate(list(made.held.data.items())):
        made.held.data[client] = x, np.full(len(y), at % 2, np.int64)
    return made


def rounds(root: Path, bed: Bed, out: Apart, note: str) -> None:
    kind, server = source(root, "clients").Client, source(root, "servers").Server
    ids = list(bed.held.data)
    method = bed.method("fedsoft", {**LOCAL, "mu": MU}, k=K)
    method = dataclasses.replace(method, grouping=ByShares(K, every=2))
    starts = [bed.start, *[bed.fresh(row) for row in range(K - 1)]]
    found_shares: dict[int, np.ndarray] = {}
    for found in bed.play(method, [ids] * 5):
        centres = [bed.module(vector) for vector in starts]
        ends = {}
        for answer in found.uploads._answers:
            x, y = bed.held.train(answer.id)
            pairs = [(torch.from_numpy(row).double(), int(label)) for row, label in zip(x, y, strict=True)]
            net = bed.module(answer.start)
            solver = SimpleNamespace(
                classification=True, num_classes=bed.held.classes, count_smoother=1e-4, reg_weight=MU,
                estimate_criterion=torch.nn.CrossEntropyLoss(reduction="none"), criterion=torch.nn.CrossEntropyLoss(),
                local_epoch=LOCAL["epochs"],
            )  # fmt: skip
            me = SimpleNamespace(
                server=SimpleNamespace(num_clusters=K, cluster_vec=centres), num_samples=len(y), ds=pairs, model=net,
                solver=solver, loader=bed.passes(answer.id, found.index),
                optimizer=torch.optim.SGD(net.parameters(), lr=LOCAL["lr"]),
            )  # fmt: skip
            if found.index % 2 == 0:
                kind.estimate_importance_weights(me)
                found_shares[answer.id] = me.importance_estimated
            me.importance_estimated = found_shares[answer.id]
            total = me.importance_estimated.sum()
            out.add(f"shares{note}", floored(answer.choice, 1e-4), me.importance_estimated / total)
            kind._local_train(me)
            ends[answer.id] = net
            out.add(f"client ends{note}", found.ends[answer.id], flat(net))
        matrix = np.array([found_shares[i] * bed.held.size(i) for i in ids])
        boss = SimpleNamespace(
            num_clusters=K, server_solver=SimpleNamespace(do_selection=False), cluster_vec=centres,
            importance_weights_matrix=matrix / matrix.sum(axis=0),
            client_vec=[SimpleNamespace(get_model_dict=lambda net=ends[i]: net.state_dict()) for i in ids],
        )  # fmt: skip
        zero = bed.module(np.zeros(bed.start.size)).state_dict()
        boss.generate_zero_weights = lambda zero=zero: {name: value.clone() for name, value in zero.items()}
        server._aggregate_fedsoft(boss, [range(len(ids))] * K)
        for row in range(K):
            out.add(f"centres{note}", found.state.models[row], flat(centres[row]))
        starts = [row.astype(np.float64) for row in found.state.models]
    if note:
        out["least share"] = float(min(share.min() for share in found_shares.values()))


if __name__ == "__main__":
    what = "estimate_importance_weights, _local_train, _aggregate_fedsoft"
    raise SystemExit(main("fedsoft", Reference("ycruan/FedSoft", "servers.py", what, authors)))
