"""CFL against its authors' notebook and FL-bench's copy: six clients in three groups, so that a split is nested."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bed import Apart, Bed, Reference, Round, flat, main, shaped, source

from disue.parts.aggregate import Mean
from disue.parts.grouping import Bipartition

IDS = (17, 902, 4001, 4002, 5000, 6003)  # pairs; the first pair is the odd one out, so it is split off first
LR, BATCH, ROUNDS, AFTER = 0.1, 16, 24, 20
DECAY = 0.99


def bed() -> Bed:
    """Labels of a linear teacher; those of the first pair are turned round, those of the last in two classes."""
    made = Bed(dict.fromkeys(IDS, 24))
    rng = np.random.default_rng(5)
    teacher = rng.standard_normal((4, 5))
    for at, client in enumerate(IDS):
        x, _ = made.held.data[client]
        y = (x @ teacher.T).argmax(1)
        y = {0: 3 - y, 1: y, 2: np.array([0, 1, 3, 2])[y]}[at // 2]
        made.held.data[client] = x, y.astype(np.int64)
    return made


def ours(made: Bed, rounds: int = ROUNDS) -> list[Round]:
    """Every group is split in every round from the 21st on; the published thresholds belong to another model."""
    method = made.method("cfl", {"epochs": 1, "batch": BATCH, "lr": LR * DECAY, "lr_decay": DECAY})
    method = dataclasses.replace(
        method, grouping=Bipartition(eps1=1e9, eps2=0.0, after=AFTER), aggregate=Mean(weights="uniform")
    )
    return made.play(method, [IDS] * rounds)


def groups(found: Round) -> set[frozenset[int]]:
    standing = found.state.groups
    return {frozenset(standing.members(n).tolist()) for n in standing.present().tolist()}


def models(found: Round) -> dict[int, np.ndarray]:
    standing = found.state.groups
    rows = standing.rows(standing.at(np.array(IDS)))
    return {client: found.state.models[row].astype(np.float64) for client, row in zip(IDS, rows, strict=True)}


class Endless:
    """The next round's one pass, each time that it is gone through."""

    def __init__(self, made: Bed, client: int) -> None:
        self.made, self.client, self.round = made, client, 0

    def __iter__(self) -> Iterator[Any]:
        self.round += 1
        return iter(self.made.passes(self.client, self.round - 1, {"epochs": 1, "batch": BATCH}))


def notebook(root: Path) -> str:
    """The notebook's own cell of rounds, with thresholds that are always met; then with ids in place of positions."""
    made = bed()
    played = ours(made)
    code = source(root, "fl_devices")
    plain = code.AgglomerativeClustering
    code.AgglomerativeClustering = lambda affinity, linkage: plain(metric=affinity, linkage=linkage)  # its new name
    (book,) = root.glob("*.ipynb")
    cells = ["".join(c["source"]) for c in json.loads(book.read_text())["cells"] if c["cell_type"] == "code"]
    (cell,) = [c for c in cells if "COMMUNICATION_ROUNDS =" in c]
    said = []
    for mended in (False, True):
        out, seen = {"before": 0.0, "first": 0.0, "second": 0.0}, []
        for rounds in (AFTER, AFTER + 1, ROUNDS):
            clients = []
            for number, client in enumerate(IDS):
                me = code.Client.__new__(code.Client)
                me.model, me.id = made.module(), number
                me.W = dict(me.model.named_parameters())
                me.optimizer = torch.optim.SGD(me.model.parameters(), lr=LR)
                me.train_loader, me.eval_loader = Endless(made, client), [(torch.zeros(1, 5).double(), torch.zeros(1))]
                me.dW = {k: torch.zeros_like(v) for k, v in me.W.items()}
                me.W_old = {k: torch.zeros_like(v) for k, v in me.W.items()}
                clients.append(me)
            server = code.Server.__new__(code.Server)
            server.model, server.model_cache = made.module(), []
            server.W = dict(server.model.named_parameters())
            text = re.sub(r"COMMUNICATION_ROUNDS = \d+", f"COMMUNICATION_ROUNDS = {rounds}", cell)
            text = text.replace("EPS_1 = 0.4", "EPS_1 = 1e9").replace("EPS_2 = 1.6", "EPS_2 = 0.0")
            if mended:
                text = text.replace("+= [c1, c2]", "+= [idc[c1], idc[c2]]")
            names = {
                "clients": clients, "server": server, "np": np, "display_train_stats": lambda *given: None,
                "ExperimentLogger": lambda: SimpleNamespace(log=lambda values: None),
            }  # fmt: skip
            exec(compile(text, "notebook", "exec"), names)
            theirs = [sorted(IDS[i] for i in c) for c in names["cluster_indices"]]
            mine = models(played[rounds - 1])
            stage = {AFTER: "before", AFTER + 1: "first", ROUNDS: "second"}[rounds]
            out[stage] = max(float(np.abs(mine[i] - flat(me.W)).max()) for i, me in zip(IDS, clients, strict=True))
            seen.append((theirs, sorted(sorted(g) for g in groups(played[rounds - 1]))))
        figures = "; ".join(
            f"{text} {out[stage]:.1e}"
            for stage, text in (
                ("before", "clients' models before a split"),
                ("first", "after the first"),
                ("second", f"after round {ROUNDS}"),
            )
        )
        note = " (ids stored in place of positions)" if mended else ""
        said.append(f"max |Δ|{note} {figures}; groups: theirs {seen[-1][0]}, ours {seen[-1][1]}")
    return " | ".join(said)


def fl_bench(root: Path) -> Apart:
    """`CFLServer.train_one_round` on our clients' updates, two splits in a row."""
    made, out = bed(), Apart()
    code = source(root, "src.server.cfl")
    played = ours(made)
    kind, net = code.CFLServer, made.module()
    numbers = range(len(IDS))
    me = SimpleNamespace(
        selected_clients=list(numbers), train_clients=list(numbers), clients_model_params_diff=[None] * len(IDS),
        client_clusters=[list(numbers)], public_model_param_names=[k for k, _ in net.named_parameters()],
        clients_personal_model_params={i: {k: v.detach().clone() for k, v in net.named_parameters()} for i in numbers},
        args=SimpleNamespace(
            cfl=SimpleNamespace(eps_1=1e9, eps_2=0.0, min_cluster_size=2, start_clustering_round=AFTER)
        ),
    )  # fmt: skip
    for name in ("compute_pairwise_similarity", "aggregate_clusterwise"):
        setattr(me, name, lambda name=name: getattr(kind, name)(me))
    me.cluster_clients = lambda similarities: kind.cluster_clients(me, similarities)
    for found in played:
        starts = models(played[found.index - 1]) if found.index else dict.fromkeys(IDS, found.start)
        packages = {}
        for number, client in enumerate(IDS):
            moved = shaped(starts[client] - found.ends[client], net)
            names = me.public_model_param_names
            packages[number] = {
                "model_params_diff": {k: torch.from_numpy(v) for k, v in zip(names, moved, strict=True)}
            }
        me.trainer, me.current_epoch = SimpleNamespace(train=lambda packages=packages: packages), found.index
        kind.train_one_round(me)
        stage = "before a split" if found.index < AFTER else "after the first" if found.index == AFTER else "later"
        mine = models(found)
        for number, client in enumerate(IDS):
            out.add(f"clients' models {stage}", mine[client], flat(me.clients_personal_model_params[number]))
    standing = set(itertools.chain(*[list(map(int, c)) for c in me.client_clusters]))
    out["clients that it has lost"] = len(IDS) - len(standing)
    return out


if __name__ == "__main__":
    raise SystemExit(
        main(
            "cfl",
            Reference("felisat/clustered-federated-learning", "fl_devices.py", "the notebook's rounds", notebook),
            Reference("KarhouTam/FL-bench", "src/server/cfl.py", "CFLServer.train_one_round", fl_bench),
        )
    )
