"""A simulation's clients as sites: one .npz each, to try a network out on data that one has in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from disue.core.checks import Array
from disue.core.errors import UserError, unwritable
from disue.runs.simulation import Simulation
from disue.runs.spec import Spec


def arrays_of(setup: Simulation, client: int) -> dict[str, Array]:
    """x_train, y_train as the client has them, before normalisation, and what it is tested on.

    Where clients have no test samples of their own this is the whole test set as the client sees it.
    """
    dataset, partition = setup.dataset, setup.partition
    key = partition.transform(client)
    rows = partition.owned.at(partition.place(client))
    tests = np.arange(len(dataset.y_test))
    if setup.spec.evaluate.local == "natural" and dataset.client_test is not None:
        tests = np.flatnonzero(dataset.client_test == client)
    elif key.source is not None and dataset.source_test is not None:
        tests = np.flatnonzero(dataset.source_test == key.source)
    names = None if key.labels is None else np.asarray(key.labels, np.int64)
    out: dict[str, Array] = {}
    for part, x, y, which in (
        ("train", dataset.x_train, dataset.y_train, rows),
        ("test", dataset.x_test, dataset.y_test, tests),
    ):
        turned = np.rot90(x[which], key.turns, axes=(-2, -1)) if key.turns % 4 else x[which]
        out[f"x_{part}"] = np.ascontiguousarray(turned)
        out[f"y_{part}"] = y[which] if names is None else names[y[which]]
    out["kind"] = np.array(dataset.kind)
    return out


def spec_of(setup: Simulation) -> Spec:
    """The spec that all sites share: with the constants that a simulation takes from the whole training set."""
    spec, dataset = setup.spec, setup.dataset
    if spec.data.mix:
        raise UserError("data.mix: a mixed set cannot be split into sites; name one set", key="data.mix")
    mean = () if dataset.mean is None else tuple(float(v) for v in dataset.mean)
    std = () if dataset.std is None else tuple(float(v) for v in dataset.std)
    of_data = replace(spec.data, classes=dataset.classes, mean=mean, std=std)
    return replace(spec, data=of_data)


def write(setup: Simulation, folder: Path, only: Sequence[int] = ()) -> list[Path]:
    """`site-ID.npz` for every client or some of them, and `test.npz` for the server; nothing is overwritten."""
    clients = setup.ids.tolist()
    for client in only:
        if client not in clients:
            raise UserError(f"client {client} is none of {', '.join(map(str, clients))}", key="only", found=client)
    out: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for client in only or clients:
            path = folder / f"site-{client}.npz"
            with path.open("xb") as file:
                np.savez(file, **arrays_of(setup, client))  # type: ignore[arg-type]
            out.append(path)
        with (folder / "test.npz").open("xb") as file:
            np.savez(file, x_test=setup.dataset.x_test, y_test=setup.dataset.y_test, kind=np.array(setup.dataset.kind))
    except FileExistsError as error:
        raise UserError(f"{error.filename} exists: sites' files are not overwritten", key="folder") from error
    except OSError as error:
        raise unwritable(folder, error) from error
    return out
