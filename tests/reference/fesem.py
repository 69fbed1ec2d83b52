"""FeSEM and WeCFL against FlexCFL's assignment and group mean (its networks need TensorFlow, these two do not)."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from bed import Apart, Bed, Reference, Round, flat, main, shaped, source

SIZES = {17: 12, 902: 30, 4001: 21, 4002: 18, 5000: 25, 6003: 9}
K = 2


def bed() -> Bed:
    """Two groups of clients whose labels contradict each other."""
    made = Bed(SIZES)
    teacher = np.random.default_rng(5).standard_normal((4, 5))
    for at, (client, (x, _)) in enumerate(list(made.held.data.items())):
        y = (x @ teacher.T).argmax(1)
        made.held.data[client] = x, (3 - y if at % 2 else y).astype(np.int64)
    return made


class Node:
    """What FlexCFL asks of a client or a group here."""

    def __init__(self, params: list[np.ndarray], **more: Any) -> None:
        self.local_soln = self.latest_params = params
        self.temperature = self.max_temp = None
        self.uplink: list[Any] = []
        self.__dict__.update(more)

    def has_uplink(self) -> bool:
        return bool(self.uplink)

    def set_uplink(self, nodes: list[Any]) -> None:
        self.uplink = nodes

    def add_downlink(self, nodes: list[Any]) -> None:
        pass

    def delete_downlink(self, node: Any) -> None:
        pass


def flexcfl(name: str) -> Any:
    def run(root: Path) -> Apart:
        np.float = float  # type: ignore[attr-defined]  # numpy's old name, which it uses
        made, out = bed(), Apart()
        fesem, group = source(root, "flearn.trainer.fesem").FeSEM, source(root, "flearn.group").Group
        net, ids = made.module(), list(made.held.data)
        played: list[Round] = made.play(made.method(name, k=K), [ids] * 5)
        out["assignments that differ"], out["groups in use"] = 0, 0
        for before, found in pairwise(played):
            centres = before.state.grouping.models
            groups = [Node(shaped(row, net), at=row_at) for row_at, row in enumerate(centres)]
            clients = [Node(shaped(found.ends[i], net)) for i in ids]
            theirs = fesem.clients_cold_start(SimpleNamespace(groups=groups), clients, groups)
            mine = found.state.groups.rows(found.state.groups.at(np.array(ids)))
            out["assignments that differ"] += int((np.array([g.at for g in theirs]) != mine).sum())
            out["groups in use"] = max(out["groups in use"], len(set(mine.tolist())))
            for row in set(mine.tolist()):
                members = [i for i, at in zip(ids, mine, strict=True) if at == row]
                strategy = "avg" if name == "fesem" else "fedavg"
                out.add("centres", found.state.models[row], mean(group, made, found, members, strategy))
                if name == "fesem":
                    out.add("centres (one weight each)", found.state.models[row], mean(group, made, found, members, ""))
        return out

    return run


def mean(group: Any, made: Bed, found: Round, members: list[int], strategy: str) -> np.ndarray:
    """`Group.train`'s aggregate of the members' ends; "" is "avg" with a weight for each of them."""
    net, made_of = made.module(), []

    def train(client: int) -> tuple[Any, ...]:
        return made.held.size(client), 0.0, 0.0, None, shaped(found.ends[client], net)

    nodes = [Node(shaped(found.ends[i], net), train=lambda i=i: train(i)) for i in members]
    me = SimpleNamespace(
        id=0, downlink=nodes, latest_params=[0.0] * len(list(net.parameters())), aggregation_strategy=strategy or "avg",
        check_selected_trainable=lambda chosen: (True, chosen), fresh_latest_params_updates=made_of.append,
        allow_empty=True,
    )  # fmt: skip
    me.weighted_aggregate = lambda updates, weights: group.weighted_aggregate(me, updates, weights)

    def aggregate(updates: Any, weights: Any) -> Any:
        weights = [1.0] * len(updates) if not strategy else weights
        return group.federated_averaging_aggregate(me, updates, weights)

    me.federated_averaging_aggregate = aggregate
    group.train(me, nodes)
    return flat(made_of[0])


if __name__ == "__main__":
    file, what = "flearn/trainer/fesem.py", "FeSEM.clients_cold_start, Group.train"
    codes = [main(name, Reference("morningD/FlexCFL", file, what, flexcfl(name))) for name in ("fesem", "wecfl")]
    sys.exit(max(codes))
