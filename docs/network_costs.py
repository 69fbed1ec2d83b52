"""docs/tables/network.md: what a real network costs, and what encodings of updates do.

    python docs/network_costs.py docs/tables/network.md                  both, on an otherwise idle machine
    python docs/network_costs.py docs/tables/network.md --only seconds   a SuperLink and three nodes on this machine
    python docs/network_costs.py docs/tables/network.md --only encodings a local grid, three seeds

Each part is kept in the page until it is made again.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from disue.core.errors import UserError
from disue.flower.folder import make
from disue.flower.loopback import Loopback
from disue.flower.rehearsal import rehearse
from disue.flower.split import spec_of, write
from disue.runs.folder import read_json, read_table
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

MARK = "<!-- {} -->"
SITES = 3
METHODS = ("fedavg", "disue", "fedavg, protected")  # moments are released over lots of six sites and more
PROCESSES = ("flwr-serverapp", "flwr-clientapp", "superexec", "superlink", "supernode")
PARTS = ("local", "server", "expert", "evaluate")


def spec(method: str, epochs: int, rounds: int) -> Spec:
    """HAR's subjects, a small convolutional network; every round is evaluated in the last ten, so all are."""
    tables = {
        "rounds": rounds,
        "data": {"name": "har"},
        "partition": {"kind": "natural"},
        "cohort": {"share": 1.0},
        "local": {"epochs": epochs, "lr": 0.05},
        "model": {"name": "cnn1d"},
        "engine": {"backend": "lean"},
        "method": {"name": method.partition(",")[0]},
        "evaluate": {"local": "natural"},
    }
    if "disue" in method:
        tables["method"]["k"] = 1
    return Spec.of(tables)


class Memory(threading.Thread):
    """The most resident memory of each process of a loopback, by the name of its command, MiB."""

    def __init__(self, net: Loopback) -> None:
        super().__init__(daemon=True)
        self.net, self.most, self.over = net, defaultdict(float), threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.3):
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    mine = str(self.net.folder).encode() in (path / "environ").read_bytes()
                    words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    size = re.search(r"VmHWM:\s+(\d+)", (path / "status").read_text())
                except (OSError, ValueError, IndexError):
                    continue
                if not mine or size is None:
                    continue
                kind = next((name for name in PROCESSES if name in words), "")
                if kind:
                    self.most[kind] = max(self.most[kind], int(size[1]) / 1024)


def seconds(rounds: int, epochs: int) -> str:
    """The table of a real network's seconds and bytes."""
    head = (
        "method", "exchanges", "round", "Flower", "torch", "work", "disue", "disue's share", "bytes up, counted",
        "crossed", "bytes down, counted", "crossed",
    )  # fmt: skip
    lines = [
        f"HAR, {SITES} subjects as sites, `cnn1d`, {epochs} local epochs, {rounds} rounds, a SuperLink with TLS and",
        "three authenticated nodes on one machine with two cores; every round is evaluated. Medians over the rounds",
        "after the first, seconds. `torch` is its loading, which most messages pay since Flower starts a process for",
        "each, `work` training, measuring and scoring, `disue` what else this library does at the slowest site and at",
        "the server; `Flower` is the rest: polling, starting processes, carrying.",
        "",
        f"| {' | '.join(head)} |",
        f"| --- |{' ---: |' * (len(head) - 1)}",
    ]
    peaks: dict[str, float] = defaultdict(float)
    for method in METHODS:
        with tempfile.TemporaryDirectory(prefix="disue-network-") as folder:
            rows, most = real(method, epochs, rounds, Path(folder))
        for name, value in most.items():
            peaks[name] = max(peaks[name], value)
        lines.append(line(method, rows))
    sizes = ", ".join(f"{name} {value:.0f}" for name, value in sorted(peaks.items()))
    lines += ["", f"Most resident memory of a process, MiB: {sizes}."]
    return "\n".join(lines)


def real(method: str, epochs: int, rounds: int, folder: Path) -> tuple[list[dict[str, float]], dict[str, float]]:
    setup = prepare(spec(method, epochs, rounds))
    ids = setup.ids.tolist()[:SITES]
    write(setup, folder / "sites")
    shared = spec_of(setup)
    network = replace(shared.network, clients=SITES, gather=120.0)
    configs = {
        f"node-{client}": {
            "client": str(client),
            "data": str(folder / "sites" / f"site-{client}.npz"),
            "store": str(folder / f"store-{client}"),
        }
        for client in ids
    }
    changes: dict[str, object] = {}
    if "protected" in method:
        from disue.secure import keyring

        public = [keyring.generate(str(client), folder)[1] for client in ids]
        made = keyring.roster(public, version=1)
        keyring.save(folder / "roster", made)
        for config in configs.values():
            key = str(folder / f"{config['client']}.key")
            config |= {"key": key, "roster": str(folder / "roster"), "pin": made.hash.hex()}
        network = replace(network, roster=str(folder / "roster"))
        changes = {"privacy.similarity": "sketch", "privacy.min_group": 3}
    given = replace(shared, network=network)
    given = Spec.of(given.tables(), changes) if changes else given
    make(folder / "app", given)
    with Loopback(folder / "net") as net:
        for name, config in configs.items():
            net.node(name, config)
        memory = Memory(net)
        memory.start()
        done = net.run(folder / "app", timeout=3000, out=str(folder / "run"))
        memory.over.set()
    if not (folder / "run" / "summary.json").exists():
        raise UserError(f"the run did not end: {done.stdout[-1500:]}", key="run")
    assert read_json(folder / "run" / "summary.json")["complete"]
    return read_table(folder / "run" / "rounds.csv"), dict(memory.most)


def line(method: str, rows: list[dict[str, float]]) -> str:
    later = rows[2:]

    def middle(name: str) -> float:
        return float(np.median([float(row.get(name, 0.0) or 0.0) for row in later]))

    wait, sites, work, torch = (middle(f"network.seconds_{name}") for name in ("wait", "sites", "work", "torch"))
    whole = float(np.median([sum(float(row[f"seconds_{part}"]) for part in PARTS) for row in later]))
    ours = sites - work - torch + max(whole - wait, 0.0)
    exchanges = middle("network.messages") / SITES
    cells = [f"{value:.2f}" for value in (whole, wait - sites, torch, work, ours)]
    share = f"{100 * ours / whole:.0f} %"
    sizes = [f"{middle(name):,.0f}" for name in ("bytes_up", "network.bytes_up", "bytes_down", "network.bytes_down")]
    return f"| {method} | {exchanges:.0f} | {' | '.join(cells)} | {share} | {' | '.join(sizes)} |"


def encodings(seeds: int) -> str:
    """The table of what fewer bits do to accuracy."""
    lines = [
        f"Digits, Dir(0.1), 20 sites, 10 a round, 40 rounds, {seeds} seeds, on a local grid. Served accuracy on the",
        "global test set, mean of the last ten rounds, ± half the 95 % interval; the difference is paired by seed.",
        "",
        "| method | encoding | served, % | difference to float32, points | bytes up, a round |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for method in ("fedavg", "disue"):
        found: dict[str, list[float]] = {}
        for encoding in ("float32", "float16", "int8"):
            sizes = []
            for seed in range(seeds):
                tables = {
                    "seed": seed,
                    "rounds": 40,
                    "data": {"name": "digits"},
                    "partition": {"kind": "dirichlet", "alpha": 0.1, "clients": 20},
                    "cohort": {"size": 10},
                    "local": {"epochs": 2, "batch": 20, "lr": 0.1},
                    "engine": {"backend": "lean"},
                    "method": {"name": method},
                    "evaluate": {"every": 40},
                    "network": {"encoding": encoding},
                }
                with tempfile.TemporaryDirectory(prefix="disue-network-") as folder:
                    summary = rehearse(Spec.of(tables), Path(folder) / "run", Path(folder) / "sites", report=False)
                found.setdefault(encoding, []).append(summary["metrics"]["served_global"]["last10"])
                sizes.append(summary["totals"]["bytes_up"] / 40)
            values, differences = np.array(found[encoding]), np.array(found[encoding]) - np.array(found["float32"])
            difference = "–" if encoding == "float32" else f"{differences.mean():+.2f} ± {half(differences):.2f}"
            served = f"{values.mean():.1f} ± {half(values):.1f}"
            lines.append(f"| {method} | {encoding} | {served} | {difference} | {np.mean(sizes):,.0f} |")
    return "\n".join(lines)


def half(values: np.ndarray) -> float:
    """Half the width of the 95 % interval of a mean."""
    return float(stats.t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", choices=("seconds", "encodings"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    made = {}
    began = time.perf_counter()
    if given.only != "encodings":
        made["seconds"] = seconds(given.rounds, given.epochs)
    if given.only != "seconds":
        made["encodings"] = encodings(given.seeds)
    put(given.page, made)
    print(f"{given.page}: {', '.join(made)} in {time.perf_counter() - began:.0f} s")


def put(page: Path, made: dict[str, str]) -> None:
    """Writes the page, with the parts that were not made as they were."""
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    out = ["# What a real network costs", "", "Made by `python docs/network_costs.py docs/tables/network.md`.", ""]
    for name, title in (("seconds", "Seconds, bytes and memory"), ("encodings", "Encodings of updates")):
        mark = re.escape(MARK.format(name))
        before = re.search(f"{mark}\n(.*?)\n{mark}", old, re.DOTALL)
        text = made.get(name, before[1] if before else "")
        if text:
            out += [f"## {title}", "", MARK.format(name), text, MARK.format(name), ""]
    page.write_text("\n".join(out), encoding="utf-8")


if __name__ == "__main__":
    main()
