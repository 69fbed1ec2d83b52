"""Faults of a real network: a SuperLink with TLS, authenticated nodes, all on this machine, killed and cut off.

`make network-test` runs it, in some ten minutes: an exchange costs Flower about ten seconds of polls and starts of
processes, whatever is exchanged.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from faults_bed import SKETCH, Bed, bed
from wire import Wire

from disue import api
from disue.flower.folder import make
from disue.flower.loopback import Loopback
from disue.runs.folder import Folder
from disue.runs.simulated import SimulatedRun

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
STEP = 120.0  # seconds that one step of a network may take here at most


@dataclass
class Real:
    """The same federation as a `Bed`'s, behind a real network: the same sites' files, stores and spec of its own."""

    net: Loopback
    bed: Bed
    wires: dict[int, Wire] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.bed.folder

    @property
    def clients(self) -> list[int]:
        return [int(c.node_config["client"]) for c in self.bed.grid.contexts.values()]

    def begin(self) -> None:
        self.net.begin(self.folder / "app", out=str(self.bed.out))

    def rounds(self) -> int:
        """Complete ones."""
        path = self.bed.out / "rounds.csv"
        return len(path.read_text().splitlines()) - 2 if path.exists() else -1

    def until(self, what: Callable[[], bool], seconds: float = STEP) -> None:
        end = time.monotonic() + seconds
        while not what():
            run = self.net.processes.get("run")
            assert run is None or run.poll() in (None, 0), self.net.log("run")[-3000:]
            assert time.monotonic() < end, f"{self.net.log('run')[-3000:]}\n{self.net.log('superlink')[-2000:]}"
            time.sleep(0.2)

    def hold(self, *clients: int) -> None:
        """Waits until these sites are at work on a message, and lets them stand there."""
        for client in clients:
            (self.folder / f"held-{client}").unlink(missing_ok=True)
            (self.folder / f"hold-{client}").touch()
        self.until(lambda: all((self.folder / f"held-{client}").exists() for client in clients))

    def free(self, *clients: int) -> None:
        for client in clients:
            (self.folder / f"hold-{client}").unlink()

    def end(self, seconds: float = 4 * STEP) -> None:
        self.until(lambda: self.net.processes["run"].poll() is not None, seconds)
        assert "summary.json" in {path.name for path in self.bed.out.iterdir()}, self.net.log("run")[-3000:]


@contextmanager
def real(it: Bed, monkeypatch: pytest.MonkeyPatch, *, wired: tuple[int, ...] = ()) -> Iterator[Real]:
    """wired: clients whose wire can be cut."""
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{Path(api.__file__).parents[1]}")
    make(it.folder / "app", it.spec)
    with Loopback(it.folder / "net") as net:
        found = Real(net, it)
        for context in it.grid.contexts.values():
            client = int(context.node_config["client"])
            if client in wired:
                found.wires[client] = Wire(net.port)
                net.through[str(client)] = found.wires[client].port
            data = "held_data:arrays"
            net.node(str(client), {**context.node_config, "data": data})
        yield found
        for wire in found.wires.values():
            wire.cut()


def federation(name: str, folder: Path, network: Mapping[str, Any], **changes: Any) -> Bed:
    changes = {"rounds": 2, "few": 3, **changes}
    return bed(name, folder, network={"clients": changes["few"], "gather": STEP, **network}, **changes)


SAME = [("fedavg", {"rounds": 1}), ("ifca", {"rounds": 1}), ("disue", {}), ("disue", {"privacy": SKETCH, "rounds": 1})]


def test_a_real_network_ends_with_the_bits_of_a_local_grid_and_of_a_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four runs one after the other on one SuperLink."""
    few = 6
    first = federation("fedavg", tmp_path / "sites", {}, few=few, privacy=SKETCH)
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{Path(api.__file__).parents[1]}")
    took: dict[str, float] = {}
    with Loopback(tmp_path / "net") as net:
        for context in first.grid.contexts.values():
            net.node(str(context.node_config["client"]), context.node_config)
        for at, (name, changes) in enumerate(SAME):
            began = time.monotonic()
            beside = federation(name, tmp_path / f"{at}", {"deadline": STEP}, few=few, **changes)
            roster = beside.spec.network.roster and str(tmp_path / "sites" / "roster")
            spec = replace(beside.spec, network=replace(beside.spec.network, roster=roster))
            make(tmp_path / f"app-{at}", spec)
            done = net.run(tmp_path / f"app-{at}", out=str(tmp_path / f"run-{at}"))
            assert done.returncode == 0, done.stdout[-3000:]
            took[f"{name} {changes}"] = time.monotonic() - began
            beside.serve()
            ours = Bed(tmp_path / "sites", spec, first.grid, run=tmp_path / f"run-{at}")
            assert ours.state() == beside.state(), name
            assert ours.memories() == beside.memories(), name
            assert ours.column("answered") == [0, *[few] * spec.rounds]
            simulation = SimulatedRun(beside.setup, Folder.fresh(tmp_path / f"simulated-{at}"))
            for _ in simulation:
                pass
            assert ours.state() == Bed(tmp_path, spec, first.grid, run=tmp_path / f"simulated-{at}").state(), name
    print({name: round(seconds) for name, seconds in took.items()})


def test_nodes_that_are_killed_stopped_and_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round 1: a node is killed at its work, and is back for round 2. Round 2: another is stopped until the round is
    over. Round 3: the wire of the third is cut for a while. Round 4: all are killed, and are back after the
    deadline."""
    network = {"deadline": 45.0, "patience": 400.0, "answers": 0.6}
    it = federation("scaffold", tmp_path / "real", network, rounds=4)
    one, two, three = (int(c.node_config["client"]) for c in it.grid.contexts.values())
    took = [time.monotonic()]

    def over(real: Real, round: int) -> None:
        real.until(lambda: real.rounds() == round, 2 * STEP)
        took.append(time.monotonic())

    with real(it, monkeypatch, wired=(three,)) as here:
        here.begin()
        over(here, 0)

        here.hold(one)
        here.net.kill(str(one))
        here.free(one)
        over(here, 1)

        here.hold(two)
        here.net.signal(str(two), signal.SIGSTOP)
        here.free(two)
        here.net.revive(str(one))
        over(here, 2)
        here.net.signal(str(two), signal.SIGCONT)

        here.hold(three)
        here.wires[three].cut()
        here.free(three)
        time.sleep(15)
        here.wires[three].mend()
        over(here, 3)

        here.hold(one, two, three)
        for client in (one, two, three):
            here.net.kill(str(client))
        here.free(one, two, three)
        time.sleep(network["deadline"])
        for client in (one, two, three):
            here.net.revive(str(client))
        here.end()
        took.append(time.monotonic())

    print([round(after - before) for before, after in pairwise(took)])
    print("\n".join(it.events()))
    absent = it.absences()
    assert one in absent[1]
    assert two in absent[2]
    assert three not in absent[3]
    assert [text for text in it.events() if text.startswith("network: 0 of 3 answered in time, 2 must: waiting for")]
    assert it.column("answered") == [0, *(3 - len(absent[round]) for round in range(1, 5))]
    assert min(it.column("answered")[1:]) >= 2
    beside = federation("scaffold", tmp_path / "beside", network, rounds=4)
    beside.serve(at={round - 1: beside.only(absent[round]) for round in range(1, 5)})
    assert it.left() == beside.left()


@pytest.mark.parametrize("name", ["scaffold"])
def test_a_server_that_is_killed_goes_on_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SuperLink and ServerApp die in the middle of round 2; the same command on the same folder ends the run."""
    it = federation(name, tmp_path / "real", {"deadline": STEP})
    (one, *_) = (int(c.node_config["client"]) for c in it.grid.contexts.values())
    with real(it, monkeypatch) as here:
        here.begin()
        here.until(lambda: here.rounds() == 1)
        here.hold(one)
        here.net.kill("superlink")  # and the ServerApp, which is a child of it
        here.net.kill("run")
        here.free(one)
        here.net.link()
        here.begin()
        here.end()
    print("\n".join(it.events()))
    assert "network: the server was started again, and goes on after round 1" in it.events()
    beside = federation(name, tmp_path / "beside", {})
    beside.serve()
    assert it.left() == beside.left()
