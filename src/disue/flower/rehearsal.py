"""A network run in one process: a simulation's clients as sites of a local grid, with all of Flower but the wire."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disue.flower.apps import client_app
from disue.flower.local import LocalGrid
from disue.flower.serve import serve
from disue.flower.split import spec_of, write
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

if TYPE_CHECKING:
    from disue.api import OnRound


def rehearse(
    spec: Spec,
    out: Path,
    folder: Path,
    *,
    data_dir: Path | None = None,
    on_round: OnRound | None = None,
    report: bool = True,
) -> dict[str, Any]:
    """Plays the run and returns its summary.

    folder  for the sites' files and stores; a protected run finds its keys and its roster there too
    """
    setup = prepare(spec, data_dir)
    write(setup, folder)
    shared = spec_of(setup)
    network = replace(shared.network, test=str(folder / "test.npz"))
    configs: dict[int, dict[str, Any]] = {
        at + 1: {
            "client": str(client),
            "data": str(folder / f"site-{client}.npz"),
            "store": str(folder / f"store-{client}"),
        }
        for at, client in enumerate(setup.ids.tolist())
    }
    if shared.privacy.on:
        roster = folder / "roster"
        pin = keyed(folder, configs)
        network = replace(network, roster=str(roster))
        for config in configs.values():
            config |= {"key": str(folder / f"{config['client']}.key"), "roster": str(roster), "pin": pin}
    shared = replace(shared, network=network)
    return serve(LocalGrid(client_app(shared), configs), shared, out, on_round=on_round, local=True, report=report)


def keyed(folder: Path, configs: dict[int, dict[str, Any]]) -> str:
    """Makes a key for every site and the roster of all; returns the roster's hash."""
    from disue.secure import keyring

    public = [keyring.generate(str(config["client"]), folder)[1] for config in configs.values()]
    made = keyring.roster(public, version=1)
    keyring.save(folder / "roster", made)
    return made.hash.hex()
