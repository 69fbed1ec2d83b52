"""FedNova against its authors' optimiser and two copies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bed import LOCAL, Apart, Bed, Reference, flat, main, source


def taken(bed: Bed, net: torch.nn.Module, step: Any, client: int, round: int) -> None:
    """The client's steps, by `step`."""
    loader = bed.passes(client, round)
    for _ in range(LOCAL["epochs"]):
        for x, y in loader:
            step.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            step.step()


def authors(root: Path) -> Apart:
    """`FedNova.step` and `average` of every client; the sum over machines is the sum over our clients."""
    bed, out = Bed(), Apart()
    code = source(root, "distoptim.FedNova")
    for momentum, note in ((0.0, ""), (0.9, " (momentum 0.9)")):
        for found in bed.play(bed.method("fednova", {**LOCAL, "momentum": momentum})):
            total = sum(bed.held.size(client) for client in found.cohort)
            steps, nets = {}, {}
            for client in found.cohort:
                nets[client] = bed.module(found.start)
                steps[client] = code.FedNova(
                    nets[client].parameters(), bed.held.size(client) / total, 0, lr=LOCAL["lr"], momentum=momentum
                )
                taken(bed, nets[client], steps[client], client, found.index)
                a = steps[client].local_normalizing_vec
                out.add("client ends" + note, found.ends[client], found.start + (flat(nets[client]) - found.start) / a)
            # what `all_reduce` would leave at every machine: τ_eff, and the sum of the scaled steps
            tau = sum(s.local_normalizing_vec * s.ratio for s in steps.values())
            moved: list[Any] = []
            code.communicate = lambda tensors, op, moved=moved: moved.append([t.clone() for t in tensors])
            for step in steps.values():
                step.average(tau_eff=tau)
            whole = found.start - sum(flat(tensors) for tensors in moved)
            out.add("server" + note, found.state.average, whole)
    return out


def niid_bench(root: Path) -> Apart:
    """`train_net_fednova`: its aᵢ and dᵢ; the lines of its script that put them together are ours here."""
    bed, out, quiet = Bed(), Apart(), SimpleNamespace(info=lambda text: None)
    code = source(root, "experiments", logger=quiet, args=SimpleNamespace(rho=0.9, reg=1e-2))
    for found in bed.play(bed.method("fednova", {**LOCAL, "momentum": 0.9, "weight_decay": 1e-2})):
        for client, end in found.ends.items():
            net, received = bed.module(found.start), bed.module(found.start)
            loader = bed.passes(client, found.index)
            _, _, a, d = code.train_net_fednova(
                client, net, received, loader, loader, LOCAL["epochs"], LOCAL["lr"], "sgd"
            )
            out.add("client ends", end, found.start - flat(d))
            out.add("effective steps", found.uploads._extra(_answer(found, client), "effective_steps")[0], a)
    return out


def _answer(found: Any, client: int) -> Any:
    return next(answer for answer in found.uploads._answers if answer.id == client)


def fluke(root: Path) -> Apart:
    """`FedNovaServer.aggregate` on our clients' plain ends; then on their updates, which is what the paper averages."""
    bed, out = Bed(), Apart()
    kind = source(root, "fluke.algorithms.fednova").FedNovaServer
    for found in bed.play(bed.method("fednova")):
        total = sum(bed.held.size(client) for client in found.cohort)
        lengths = {i: float(_answer(found, i).extras["effective_steps"][0]) for i in found.ends}
        ends = {i: found.start + (end - found.start) * lengths[i] for i, end in found.ends.items()}
        sent = iter(lengths.values())
        for updates, name in ((False, "server"), (True, "server (given updates instead of models)")):
            sent = iter(lengths.values())
            base = np.zeros_like(found.start) if updates else found.start
            itself = SimpleNamespace(
                _get_client_weights=lambda eligible, total=total: [bed.held.size(i) / total for i in eligible],
                channel=SimpleNamespace(receive=lambda *given, sent=sent: SimpleNamespace(payload=next(sent))),
                model=bed.module(base), hyper_params=SimpleNamespace(lr=1.0),
            )  # fmt: skip
            models = [bed.module(end - found.start if updates else end) for end in ends.values()]
            eligible = _Clients(ends)
            kind.aggregate(itself, eligible, models)
            made = flat(itself.model) + (found.start if updates else 0.0)
            out.add(name, found.state.average, made)
    return out


class _Clients(list[Any]):
    """Ids that also know their index, as fluke's clients do."""

    def __init__(self, ids: Any) -> None:
        super().__init__(_Id(i) for i in ids)


class _Id(int):
    @property
    def index(self) -> int:
        return int(self)


if __name__ == "__main__":
    raise SystemExit(
        main(
            "fednova",
            Reference("JYWa/FedNova", "distoptim/FedNova.py", "FedNova.step, average", authors),
            Reference("Xtra-Computing/NIID-Bench", "experiments.py", "train_net_fednova", niid_bench),
            Reference("makgyver/fluke", "fluke/algorithms/fednova.py", "FedNovaServer.aggregate", fluke),
        )
    )
