"""Through a local grid every method ends with the simulator's bits: the same state, the same memories at the sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_bed import grid, keyed, simulated, simulation

from disue.core.errors import UserError
from disue.flower.serve import checked, start
from disue.flower.store import Store
from disue.runs.federate import Federate
from disue.runs.spec import Spec
from disue.testing.compare import difference
from disue.testing.named import names

# What has no meaning over a network: the server is given clients' data, planted groups, or inputs that nobody owns.
ELSEWHERE = {
    "disue-generator-real": "takes the clients' data",
    "disue-oracle": "planted groups",
    "feddf": "data.public",
}
PROTECTED = ("fedavg", "scaffold", "ifca", "clustered", "cfl", "fesem", "disue", "disue-generator")
OWN = [(name, "own") for name in ("fedavg", "scaffold", "disue")]
PRIVACY: dict[str, dict[str, Any]] = {"ifca": {"similarity": "assign"}, "cfl": {"similarity": "sketch"}}


def play(run: Federate) -> Federate:
    for _ in run:
        pass
    return run


def memories(setup: Any, run: Federate, folder: Path) -> dict[int, dict[str, Any]]:
    """What the sites' stores hold of the clients' own memories."""
    name = run.side.nodes.head.run  # type: ignore[attr-defined]
    rounds = setup.spec.rounds
    found = {i: Store(folder / f"store-{i}" / name).memory(rounds) for i in setup.ids.tolist()}
    return {i: memory for i, memory in found.items() if memory}


@pytest.mark.parametrize("name", sorted(set(names()) - set(ELSEWHERE)))
def test_the_same_bits_as_a_simulation(name: str, tmp_path: Path) -> None:
    setup = simulation(name)
    spec, nodes = grid(setup, tmp_path)
    run, here = play(start(nodes, checked(spec), None, local=True)), simulated(setup)
    assert difference(run.state, here.state) == ""
    memory = here.side.trainer.memory
    kept = {i: dict(memory.get(i)) for i in memory.ids}
    assert difference(memories(setup, run, tmp_path), kept, "memory") == ""


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_what_is_for_simulations_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    setup = simulation(name)
    spec, nodes = grid(setup, tmp_path)
    with pytest.raises(UserError, match=ELSEWHERE[name].replace(".", r"\.")):
        play(start(nodes, checked(spec), None, local=True))


@pytest.mark.parametrize(("name", "source"), [*((name, "named") for name in PROTECTED), *OWN])
def test_protected_the_same_bits_as_a_simulation(name: str, source: str, tmp_path: Path) -> None:
    """Where sites draw what a simulation draws, everything is the same; where they draw from their operating systems,
    as over a real network, sums are the same, and so is all that follows where sketches are long enough."""
    privacy = {"similarity": "sketch", "min_group": 3, **PRIVACY.get(name, {})}
    setup = simulation(name, privacy=privacy, cohort={"share": 1.0})
    spec, nodes = keyed(setup, tmp_path, named=source == "named")
    run, here = play(start(nodes, checked(spec), None, local=True)), simulated(setup)
    assert difference(run.state, here.state) == ""
    assert not [text for text in run.side.said() if "lost" in text]


def test_a_protected_site_answers_nothing_in_the_clear(tmp_path: Path) -> None:
    from disue.flower.head import Head, hash_of
    from disue.flower.messages import Body
    from disue.flower.node import Node
    from disue.flower.site import Site

    setup = simulation("fedavg", privacy={"similarity": "sketch"}, cohort={"share": 1.0})
    spec, nodes = keyed(setup, tmp_path)
    node = Node(spec, Site.of(dict(next(iter(nodes.contexts.values())).node_config)))
    head = Head("run", hash_of(spec), __import__("disue").__version__, client=1, classes=4).plain()
    for kind in ("train", "labels", "measure"):
        said = node.answer(Body(kind, {"head": head, "orders": {}}, {}))
        assert "in the clear" in said.about["refused"], kind


@pytest.mark.parametrize("encoding", ["float16", "int8"])
def test_what_encoding_loses_is_added_to_the_next_update(encoding: str, tmp_path: Path) -> None:
    """Sums of decoded updates and of what is left over are the sums of the true updates, whatever was rounded."""
    from disue.flower import encoding as codec

    rng = np.random.default_rng(0)
    setup = simulation("fedavg")
    layout = setup.world.layout
    entries = np.arange(layout.d)
    lost, true, told = np.zeros(layout.d, np.float32), np.zeros(layout.d), np.zeros(layout.d)
    for _ in range(20):
        update = rng.normal(0, 0.01, layout.d).astype(np.float32)
        true += update
        given = update + lost
        arrays = codec.encode(encoding, given, entries, layout)
        came = codec.decode(encoding, arrays, entries, layout)
        lost = given - came
        told += came
        bits = arrays[codec.UPDATE].dtype.itemsize
        assert bits == {"float16": 2, "int8": 1}[encoding]
    np.testing.assert_allclose(told + lost, true, atol=1e-6)
    largest = max(float(np.abs(given[layout.slices[e.name]]).max()) for e in layout.entries)
    assert 0 < np.abs(lost).max() <= largest / (2**10 if encoding == "float16" else 2 * 127) + 1e-7


@pytest.mark.parametrize(("encoding", "share"), [("float16", 0.5), ("int8", 0.25)])
def test_an_encoded_run_sends_less_and_ends_near(encoding: str, share: float, tmp_path: Path) -> None:
    setup = simulation("fedavg")
    runs: dict[str, Federate] = {}
    sent: dict[str, int] = {}
    for name in ("float32", encoding):
        spec, nodes = grid(setup, tmp_path / name)
        spec = Spec.of(spec.tables(), {"network.encoding": name})
        nodes.app = nodes.app.__class__()
        from disue.flower.apps import client_app

        nodes.app = client_app(spec)
        run = start(nodes, checked(spec), None, local=True)
        rows = [record.row for record in run]
        runs[name], sent[name] = run, sum(int(row["bytes_up"]) for row in rows)
    plain, coded = (runs[name].state.models for name in ("float32", encoding))
    assert not np.array_equal(plain, coded)
    start_ = setup.start
    assert np.linalg.norm(coded - plain) < 0.05 * np.linalg.norm(plain - start_)
    beside = 4 * len(setup.world.layout.entries) * setup.cohort * setup.spec.rounds if encoding == "int8" else 0
    assert sent[encoding] == share * sent["float32"] + beside
