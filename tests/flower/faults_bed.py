"""A run over a local grid whose nodes and server fail as a test says, and what it leaves behind."""

from __future__ import annotations

import csv
import gc
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from flower_bed import simulation, sites
from flwr.app import Message
from safetensors import safe_open

from disue.core.checks import Array
from disue.flower import rehearsal
from disue.flower.apps import client_app
from disue.flower.head import Head
from disue.flower.local import LocalGrid
from disue.flower.messages import Body, pack, unpack
from disue.flower.serve import Members, serve
from disue.flower.split import spec_of
from disue.flower.store import Store
from disue.runs.simulation import Simulation, prepare
from disue.runs.spec import Spec
from disue.testing.named import named

SKETCH = {"similarity": "sketch", "min_group": 3}


class Killed(Exception):
    """The server's process ends here."""


@dataclass
class Bed:
    """The sites of one run, in `folder`, and its server's folder `folder / run`."""

    folder: Path
    spec: Spec
    grid: LocalGrid
    setup: Simulation | None = None
    run: Path | None = None

    @property
    def out(self) -> Path:
        return self.folder / "run" if self.run is None else self.run

    def serve(self, *, local: bool = True, at: Mapping[int, Callable[[], object]] | None = None) -> None:
        """Plays the run, or goes on with it. at: what happens after a round, by its number."""

        def after(record: Any) -> None:
            (at or {}).get(record.round, lambda: None)()

        serve(self.grid, self.spec, self.out, on_round=after, local=local, report=False)

    def serve_until_killed(self) -> bool:
        """Whether the server was killed."""
        with suppress(Killed):
            self.serve()
            return False
        gc.collect()  # the run's lock goes with the process
        return True

    def node(self, client: int) -> int:
        return next(n for n, c in self.grid.contexts.items() if c.node_config["client"] == str(client))

    def away(self, *clients: int) -> Callable[[], None]:
        return lambda: self.grid.away.update(self.node(client) for client in clients)

    def only(self, clients: set[int]) -> Callable[[], None]:
        """These are away, and nobody else."""
        return lambda: (self.back(), self.away(*clients)())[1]

    def back(self) -> None:
        self.grid.away.clear()

    def store(self, client: int) -> Store:
        run = json.loads((self.out / "nodes.json").read_text())["run"]
        return Store(self.folder / f"store-{client}" / run)

    # -- what a run leaves

    def events(self) -> list[str]:
        if not (self.out / "events.csv").exists():
            return []
        with (self.out / "events.csv").open(newline="") as file:
            return [row["event"] for row in csv.DictReader(file)]

    def absences(self) -> dict[int, set[int]]:
        """round → who was absent from its training, as the folder says it."""
        found: dict[int, set[int]] = defaultdict(set)
        with (self.out / "events.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                match = re.fullmatch(r"network: (\d+) did not answer in time: absent", row["event"])
                if match:
                    found[int(row["round"])].add(int(match[1]))
        return found

    def column(self, name: str) -> list[float]:
        with (self.out / "rounds.csv").open(newline="") as file:
            return [float(row[name]) for row in csv.DictReader(file)]

    def state(self) -> dict[str, Any]:
        """Arrays and skeleton of the last checkpoint: all that a state is."""
        about, arrays = self.checkpoint()
        bits = {name: value.tobytes() for name, value in arrays.items()}
        return {"round": about["round"], "skeleton": about["skeleton"], **bits}

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Array]]:
        path = sorted((self.out / "checkpoint").glob("round-*.safetensors"))[-1]
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return json.loads(file.metadata()["disue"]), arrays

    def heard(self) -> dict[int, int]:
        return {int(client): int(round) for client, round in self.checkpoint()[0]["network"]["heard"].items()}

    def memories(self) -> dict[int, dict[str, bytes]]:
        """What the sites would go on from."""
        heard = self.heard()
        out = {}
        for one in Members.read(self.out / "nodes.json").clients:
            held = self.store(one.id).memory(heard.get(one.id, -1))
            out[one.id] = {name: value.tobytes() for name, value in sorted(held.items())}
        return out

    def left(self) -> tuple[dict[str, Any], dict[int, dict[str, bytes]]]:
        return self.state(), self.memories()


def bed(name: str, folder: Path, *, few: int = 0, network: Mapping[str, Any] | None = None, **changes: Any) -> Bed:
    """A method in the conformance scenario, all clients asked in every round. few: the first clients only."""
    given = {"cohort": {"share": 1.0}, "rounds": 3, "network": dict(network or {}), **changes}
    if few:
        subject = named(name)
        scenario = subject.scenario.few(few)
        dataset, partition = scenario.data()
        engine = {"engine": {"backend": "lean", "workers": 1}, "evaluate": {"every": 1}}
        tables = {**scenario.tables(), **subject.tables, **engine, **given}
        setup = prepare(Spec.of(tables), None, partition, dataset=dataset)
    else:
        setup = simulation(name, **given)
    configs = sites(setup, folder)
    spec = spec_of(setup)
    if spec.privacy.on:
        pin = rehearsal.keyed(folder, configs)
        for config in configs.values():
            config |= {"key": str(folder / f"{config['client']}.key"), "roster": str(folder / "roster"), "pin": pin}
        spec = replace(spec, network=replace(spec.network, roster=str(folder / "roster")))
    return Bed(folder, spec, LocalGrid(client_app(spec), configs), setup)


def told(message: Message) -> tuple[str, Head]:
    """What a message asks, and its head."""
    body = unpack(message.content)
    return body.kind, Head.read(body.about)


def changed(reply: Message, change: Callable[[Body], Body]) -> Message:
    """A reply with another content."""
    reply.content = pack(change(unpack(reply.content)))
    return reply


def with_array(name: str, value: Callable[[np.ndarray], np.ndarray]) -> Callable[[Body], Body]:
    return lambda body: Body(body.kind, body.about, {**body.arrays, name: value(body.arrays[name])})
