"""CCVR's class moments against three copies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bed import Apart, Bed, Reference, main, source

from disue.core.groups import Groups
from disue.core.orders import Report, Sight
from disue.engine import Engine
from disue.models.split import both
from disue.parts.expert import store
from disue.parts.expert.calibrated import covariances
from disue.parts.expert.closing import Closing

SIZES = {17: 24, 902: 60, 4001: 41}  # every client has two samples of every class


def ours(bed: Bed) -> tuple[np.ndarray, list[np.ndarray]]:
    """(classes, features) means, and a covariance for each class, of all clients under the initial model."""
    asked = Closing.asked(bed.world, 1, bed.start, Report(sight=frozenset({Sight.MOMENTS})))
    with Engine(bed.held, double=True) as engine:
        uploads = engine.answer(bed.world, asked)
        moments = uploads.moments(Groups.one(uploads.ids), per_class=True)
    found = store.measured(moments, per_class=True)
    made = covariances(found, found.counts > 0)
    assert made is not None and (found.counts > 0).all()
    return found.means, made


def features(bed: Bed, client: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = bed.held.train(client)
    with torch.no_grad():
        return both(bed.module(), torch.from_numpy(x).double())[1], torch.from_numpy(y)


def told(bed: Bed, correction: int) -> list[dict[str, Any]]:
    """What a client says: counts, means and covariances by class, divided by n − correction."""
    out = []
    for client in bed.held.data:
        z, y = features(bed, client)
        rows = [z[y == c] for c in range(bed.held.classes)]
        out.append(
            {
                "means": [r.mean(0) for r in rows],
                "covs": [r.T.cov(correction=correction) for r in rows],
                "counts": [len(r) for r in rows],
            }
        )
    return out


def add(out: Apart, bed: Bed, means: Any, covs: Any, note: str = "") -> None:
    mine = ours(bed)
    out.add(f"means{note}", mine[0], np.array([np.asarray(m).reshape(-1) for m in means]))
    out.add(f"covariances{note}", np.array(mine[1]), np.array([np.asarray(c) for c in covs]))


def fl_bench(root: Path) -> Apart:
    """`get_classwise_feature_means_and_covs` of every client and `compute_classes_mean_cov`."""
    bed, out = Bed(SIZES), Apart()
    server, client = source(root, "src.server.ccvr"), source(root, "src.client.ccvr").CCVRClient
    server.NUM_CLASSES = {"bed": bed.held.classes}
    said = []
    for i in bed.held.data:
        x, y = bed.held.train(i)
        me = SimpleNamespace(
            set_parameters=lambda package: None, device="cpu", dataset=SimpleNamespace(classes=range(bed.held.classes)),
            model=SimpleNamespace(eval=lambda: None, get_last_features=lambda z: both(bed.module(), z)[1].detach()),
            trainloader=[(torch.from_numpy(x).double(), torch.from_numpy(y))],
        )  # fmt: skip
        said.append(client.get_classwise_feature_means_and_covs(me, {}))
    for packages, note in ((said, ""), (told(bed, 1), " (clients' covariances unbiased)")):
        ids = list(range(len(packages)))
        me = SimpleNamespace(
            trainer=SimpleNamespace(exec=lambda name, clients, packages=packages: packages), train_clients=ids,
            args=SimpleNamespace(dataset=SimpleNamespace(name="bed")), device="cpu",
        )  # fmt: skip
        means, covs = server.CCVRServer.compute_classes_mean_cov(me)
        add(out, bed, means, covs, note)
    return out


def fluke(root: Path) -> Apart:
    """`compute_mean_cov` of every client and `_compute_mean_cov` of the server."""
    bed, out = Bed(SIZES), Apart()
    code = source(root, "fluke.algorithms.ccvr")
    for unbiased, note in ((False, ""), (True, " (clients' covariances unbiased)")):
        sent: list[Any] = []
        clients = []
        for at, i in enumerate(bed.held.data):
            x, y = bed.held.train(i)
            model = SimpleNamespace(
                to=lambda device: None, cpu=lambda: None,
                forward_encoder=lambda z: both(bed.module(), z)[1].detach(),
            )  # fmt: skip
            me = SimpleNamespace(
                _load_from_cache=lambda: None, receive_model=lambda: None, _save_to_cache=lambda: None, model=model,
                device="cpu", index=at, channel=_Channel(sent),
                train_set=_Loader([(torch.from_numpy(x).double(), torch.from_numpy(y))], bed.held.classes),
            )  # fmt: skip
            me.compute_mean_cov = lambda me=me: code.CCVRClient.compute_mean_cov(me)
            clients.append(me)
        right = [tuple(package[key] for key in ("means", "covs", "counts")) for package in told(bed, 1)]

        def receive(to: str, at: int, msg_type: str, sent: Any = sent, right: Any = right, use: bool = unbiased) -> Any:
            return SimpleNamespace(payload=right[at] if use else sent[at])

        server = SimpleNamespace(clients=clients, n_clients=len(clients), channel=SimpleNamespace(receive=receive))
        means, covs = code.CCVRServer._compute_mean_cov(server)
        add(out, bed, means, covs, note)
    return out


class _Channel:
    def __init__(self, sent: list[Any]) -> None:
        self.sent = sent

    def send(self, message: Any, to: str) -> None:
        self.sent.append(message.payload)


class _Loader(list[Any]):
    def __init__(self, batches: list[Any], num_labels: int) -> None:
        super().__init__(batches)
        self.num_labels = num_labels


def fed_ccvr(root: Path) -> Apart:
    """`cal_distributions` of every client and `cal_global_gd`; then what clients should have said goes in."""
    bed, out = Bed(SIZES), Apart()
    server, client = source(root, "fedavg.server").Server, source(root, "fedavg.client")
    said: tuple[dict[int, Any], ...] = ({}, {}, {})
    for i in bed.held.data:
        x, y = bed.held.train(i)
        client.get_dataset = lambda conf, part, x=x: [(torch.from_numpy(x[at]).double(), 0) for at in part.index]
        net = bed.module()
        me = SimpleNamespace(
            conf={"num_classes": bed.held.classes, "label_column": "label", "batch_size": 10**6},
            train_df=_Rows(y, np.arange(len(y))), local_model=_Swapped(net),
        )  # fmt: skip
        me._cal_mean_cov = lambda z, me=me: client.Client._cal_mean_cov(me, z)
        for part, values in zip(said, client.Client.cal_distributions(me, net), strict=True):
            part[i] = values
    right = told(bed, 1)
    mended = tuple(
        {i: [np.asarray(v) if key != "counts" else v for v in package[key]] for i, package in enumerate(right)}
        for key in ("means", "covs", "counts")
    )
    mended[0].update({i: [v[None, :] for v in values] for i, values in mended[0].items()})
    for given, note in ((said, ""), (mended, " (given what clients should have said)")):
        means, covs = server.cal_global_gd(None, *given)
        add(out, bed, means, covs, note)
    return out


class _Rows:
    """What it asks of its table of samples: the labels, and the rows where something holds."""

    def __init__(self, labels: np.ndarray, index: np.ndarray) -> None:
        self.labels, self.index = labels, index

    def __getitem__(self, what: Any) -> Any:
        return self.labels if isinstance(what, str) else _Rows(self.labels[what], self.index[what])

    def __len__(self) -> int:
        return len(self.index)


class _Swapped(torch.nn.Module):
    """Features first, then logits, as it wants them."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def state_dict(self, *given: Any, **more: Any) -> Any:
        return self.net.state_dict()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, z = both(self.net, x)
        return z, logits


if __name__ == "__main__":
    raise SystemExit(
        main(
            "ccvr",
            Reference("KarhouTam/FL-bench", "src/server/ccvr.py", "compute_classes_mean_cov", fl_bench),
            Reference("makgyver/fluke", "fluke/algorithms/ccvr.py", "_compute_mean_cov", fluke),
            Reference("smduan/Fed-CCVR", "fedavg/server.py", "cal_distributions, cal_global_gd", fed_ccvr),
        )
    )
