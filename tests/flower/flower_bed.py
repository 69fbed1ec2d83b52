"""The conformance scenario as sites of a local grid, beside the same run as a simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flwr.app import Message

from disue.flower.apps import client_app
from disue.flower.local import LocalGrid
from disue.flower.serve import checked
from disue.flower.split import arrays_of, spec_of
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import Simulation, prepare
from disue.runs.spec import Spec
from disue.secure import keyring
from disue.testing.named import named, needs_of
from disue.testing.scenario import Scenario

Fault = Callable[[int, Message], "list[Message] | None"]


def tables(name: str, **changes: Any) -> tuple[Scenario, dict[str, Any]]:
    """A spec's tables of a method in the conformance scenario."""
    subject = named(name)
    scenario = subject.scenario
    given = {
        **scenario.tables(),
        **subject.tables,
        "engine": {"backend": "lean", "workers": 1},
        "evaluate": {"every": 1},
        **changes,
    }
    return scenario, given


def simulation(name: str, **changes: Any) -> Simulation:
    scenario, given = tables(name, **changes)
    dataset, partition = scenario.data()
    return prepare(Spec.of(given), None, partition, dataset=dataset)


def sites(setup: Simulation, folder: Path) -> dict[int, dict[str, Any]]:
    """Node id → its configuration; node ids say nothing of clients."""
    folder.mkdir(parents=True, exist_ok=True)
    out = {}
    for at, client in enumerate(setup.ids.tolist()):
        path = folder / f"site-{client}.npz"
        np.savez(path, **arrays_of(setup, client))
        out[9_000 - 7 * at] = {"client": str(client), "data": str(path), "store": str(folder / f"store-{client}")}
    return out


def grid(setup: Simulation, folder: Path, fault: Fault | None = None, **given: Any) -> tuple[Spec, LocalGrid]:
    spec = spec_of(setup)
    return spec, LocalGrid(client_app(spec, **given), sites(setup, folder), fault)


def drawn(setup: Simulation) -> Callable[[int, int], Callable[[int], bytes]]:
    """What a simulation's clients draw from, going on from message to message."""
    known: dict[tuple[int, int], Callable[[int], bytes]] = {}

    def random(number: int, client: int) -> Callable[[int], bytes]:
        key = number, client
        if key not in known:
            known[key] = setup.world.streams("secure", number, client).bytes
        return known[key]

    return random


def identities(setup: Simulation, folder: Path) -> str:
    """The keys of a simulation's clients as files, and their roster; its hash. What is drawn depends on it too."""
    public = []
    for client in setup.ids.tolist():
        key = Ed25519PrivateKey.from_private_bytes(setup.world.streams("identity", client).bytes(32))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{client}.key").write_bytes(pem)
        (folder / f"{client}.pub").write_text(f"{client} {key.public_key().public_bytes_raw().hex()}\n")
        public.append(folder / f"{client}.pub")
    made = keyring.roster(public, version=1)
    keyring.save(folder / "roster", made)
    return made.hash.hex()


def keyed(
    setup: Simulation, folder: Path, fault: Fault | None = None, *, named: bool = False
) -> tuple[Spec, LocalGrid]:
    """The same for a protected run: every site with a key, and the roster of all, pinned by its hash.

    named  sites have the keys of a simulation's clients and draw what those draw
    """
    from disue.flower import rehearsal

    configs = sites(setup, folder)
    pin = identities(setup, folder) if named else rehearsal.keyed(folder, configs)
    for config in configs.values():
        config |= {"key": str(folder / f"{config['client']}.key"), "roster": str(folder / "roster"), "pin": pin}
    spec = Spec.of(spec_of(setup).tables(), {"network.roster": str(folder / "roster")})
    return spec, LocalGrid(client_app(spec, random=drawn(setup) if named else None), configs, fault)


def simulated(setup: Simulation) -> SimulatedRun:
    run = SimulatedRun(setup, None)
    for _ in run:
        pass
    return run


__all__ = ["checked", "grid", "keyed", "needs_of", "simulated", "simulation", "sites", "tables"]
