"""A run over a network: who takes part, what the server is given instead of data, and the loop of every run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.serverapp import Grid

from disue import api, data
from disue._version import __version__
from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.core.world import Census
from disue.flower.head import Head, hash_of
from disue.flower.nodes import Hello, Nodes
from disue.flower.side import Networked
from disue.flower.site import constants
from disue.runs.assemble import mark_of
from disue.runs.federate import Federate
from disue.runs.folder import Folder, read_json, write_text
from disue.runs.setup import Facts, Public, Setup, Shape, about, furnish
from disue.runs.simulation import MOST, PUBLIC, REAL
from disue.runs.spec import Spec

NODES = "nodes.json"
SAME = ("classes", "shape", "kind")  # what all sites must have alike


@dataclass(frozen=True)
class Member:
    """One client of a run, as it stands in nodes.json from the run's first moment on."""

    id: int
    name: str
    samples: int
    tested: bool


@dataclass(frozen=True)
class Members:
    """run: the name of this run, which sites keep their memory under; starts: how often the server began on it."""

    run: str
    starts: int
    clients: tuple[Member, ...]
    classes: int
    shape: tuple[int, ...]
    kind: str

    def plain(self) -> dict[str, Any]:
        return {**vars(self), "shape": list(self.shape), "clients": [vars(one) for one in self.clients]}

    @staticmethod
    def read(path: Path) -> Members:
        found = read_json(path)
        try:
            clients = tuple(Member(**one) for one in found.pop("clients"))
            return Members(**{**found, "clients": clients, "shape": tuple(found["shape"])})
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: is damaged ({error})", key=str(path)) from error

    @property
    def names(self) -> dict[int, str]:
        return {one.id: one.name for one in self.clients}


def serve(
    grid: Grid,
    spec: Spec,
    out: Path,
    *,
    on_round: api.OnRound | None = None,
    local: bool = False,
    report: bool = True,
) -> dict[str, Any]:
    """Plays the run to its end and returns its summary; a run that is there already is gone on with.

    out    the run's folder, at the server      local  all nodes are in this process: nothing is waited for
    """
    spec = checked(spec)
    there = (out / "spec.toml").exists()
    folder = Folder(out) if there else Folder.fresh(out)
    with folder.locked():
        if there and hash_of(Spec.read(out / "spec.toml")) != hash_of(spec):
            raise UserError(f"{out}: holds a run of another spec; give another folder", key="out", found=str(out))
        write_text(out / "spec.toml", spec.toml())
        run = start(grid, spec, folder, local=local)
        try:
            if (out / NODES).exists() and there:
                run.restore()
            return api.through(run, on_round, report=report)
        except UserError:
            for text in run.side.said():  # a round that does not end writes no row
                folder.event(run.round + 1, text)
            raise
        finally:
            run.close()


def start(grid: Grid, spec: Spec, folder: Folder | None, *, local: bool = False) -> Federate:
    """The run, ready to begin or to go on."""
    path = None if folder is None else folder.path / NODES
    known = Members.read(path) if path is not None and path.exists() else None
    name = os.urandom(8).hex() if known is None else known.run
    head = Head(name, hash_of(spec), __version__)
    nodes = Nodes(grid, spec.network, head, local)
    if known is None:
        found = nodes.gather(spec.network.clients, spec.network.gather)
        members = replace(enrolled(spec, found), run=name)
    else:
        nodes.look()
        members = replace(known, starts=known.starts + 1)
    if path is not None:
        write_text(path, json.dumps(members.plain(), indent=1))
    setup = setup_of(spec, members)
    layout = setup.world.layout
    nodes.head = replace(head, classes=layout.classes, fingerprint=layout.fingerprint)
    if folder is not None and known is None:
        folder.json("env.json", {**about(setup), "clients": [vars(one) for one in members.clients]})
    return Federate(setup, folder, Networked(setup, nodes, members.names, members.starts))


def checked(spec: Spec) -> Spec:
    """The spec as a network takes it; what has no meaning there is refused."""
    for key, value in (
        ("cohort.dropout", spec.cohort.dropout),
        ("cohort.deadline", spec.cohort.deadline),
        ("cohort.newcomers", spec.cohort.newcomers),
        ("data.public_share", spec.data.public_share),
        ("privacy.dropouts", bool(spec.privacy.on and spec.privacy.dropouts)),
    ):
        if value:
            raise UserError(f"{key} is simulated: on a network sites are absent by themselves; leave it out", key=key)
    if spec.attack:
        raise UserError(
            "attack.kind is simulated: liars are drawn and made to lie in a simulation alone; leave [attack] out",
            key="attack.kind",
        )
    if spec.network.encoding != "float32" and spec.privacy.on:
        raise UserError(
            f'network.encoding is "{spec.network.encoding}", and a protected run sums whole numbers: take "float32"',
            key="network.encoding",
        )
    method = spec.build()
    if REAL in mark_of(method):
        raise UserError(
            f'method "{spec.method["name"]}" takes the clients\' data to the server: it is for simulations',
            key="method",
        )
    if PUBLIC in mark_of(method) and not spec.data.public:
        raise UserError(
            f'method "{spec.method["name"]}" needs public inputs at the server: name a set in data.public',
            key="data.public",
        )
    every = replace(spec.checkpoint, every=1)  # a server is killed without warning
    return replace(spec, checkpoint=every)


def enrolled(spec: Spec, found: Mapping[str, Hello]) -> Members:
    """The clients of a run: an integer name is the id, other names are numbered in their order, or by the roster."""
    names = sorted(found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name.encode()))
    numbers = [name.isdecimal() for name in names]
    if any(numbers) and not all(numbers):
        raise UserError(
            f"clients are named {', '.join(names)}: give all of them integers or none, so that ids are stable",
            key="client",
        )
    listed = roster_names(spec.network.roster) if spec.privacy.on and spec.network.roster else names
    unlisted = [name for name in names if name not in listed]
    if unlisted:
        raise UserError(f"{', '.join(unlisted)}: not in the roster {spec.network.roster}", key="network.roster")
    ids = {name: int(name) if name.isdecimal() else listed.index(name) for name in names}
    first = found[names[0]]
    for name in names:
        for word in SAME:
            mine, theirs = found[name].about[word], first.about[word]
            if mine != theirs and word != "classes":
                raise UserError(
                    f"samples of {name} have {word} {mine}, those of {first.name} {theirs}: all sites need the same",
                    key=word,
                )
    clients = tuple(
        Member(ids[name], name, int(found[name].about["samples"]), bool(found[name].about["tested"])) for name in names
    )
    classes = spec.data.classes or max(int(one.about["classes"]) for one in found.values())
    return Members("", 0, clients, classes, tuple(first.about["shape"]), str(first.about["kind"]))


def roster_names(path: str) -> list[str]:
    """In the roster's order."""
    from disue.secure import keyring

    return [keyring.name_of(name) for name in keyring.unchecked(Path(path)).ids]


def setup_of(spec: Spec, members: Members) -> Setup:
    """What a simulation makes of its data, made of what sites declared."""
    ids = np.array([one.id for one in members.clients], np.int64)
    sizes = np.array([one.samples for one in members.clients], np.int64)
    method = spec.build()
    shape = Shape(members.shape, members.kind, members.classes)
    public = Public(public_inputs(spec, shape)) if PUBLIC in mark_of(method) else Public()
    census = Census(ids, sizes, members.classes)
    return furnish(spec, method, shape, census, facts_of(spec, members), Streams(spec.seed), public=public)


def public_inputs(spec: Spec, shape: Shape) -> Any:
    """The server's own inputs, normalised as the sites' are."""
    found = data.load(spec.data.public)
    if (found.kind, found.shape) != (shape.kind, shape.inputs):
        raise UserError(
            f"data.public: {spec.data.public} is {found.kind} data of shape {found.shape}, the sites have {shape.kind} "
            f"data of shape {shape.inputs}; they must be alike",
            key="data.public",
        )
    if spec.data.mean:
        found = replace(found, mean=constants(spec.data.mean), std=constants(spec.data.std))
    keep = np.sort(Streams(spec.seed)("public").permutation(len(found.x_train))[:MOST])
    return found.inputs(found.x_train[keep])


def facts_of(spec: Spec, members: Members) -> Facts:
    """What a run writes down of data that it does not see."""
    samples = sum(one.samples for one in members.clients)
    of_data = {
        "name": spec.data.name or Path(spec.data.path).stem or "sites",
        "variant": "sites",
        "train": samples,
        "test": 0,
        "classes": members.classes,
        "shape": list(members.shape),
        "kind": members.kind,
        "files": [],
        "citation": "",
        "note": f"{len(members.clients)} sites with their own data, which the server does not see",
        "labels": [str(c) for c in range(members.classes)],
        "mean": list(spec.data.mean) or None,
        "std": list(spec.data.std) or None,
    }
    words = json.dumps([[one.id, one.name, one.samples] for one in members.clients])
    of_partition = {
        "kind": "sites",
        "hash": hashlib.sha256(words.encode()).hexdigest(),
        "clients": len(members.clients),
        "newcomers": 0,
        "stats": {"clients": len(members.clients), "samples": samples},
    }
    return Facts(of_data, of_partition)


__all__ = ["Members", "checked", "enrolled", "serve", "setup_of", "start"]
