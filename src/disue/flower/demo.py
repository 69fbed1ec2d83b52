"""A real federation on this machine, by the commands that an operator would give, in their order.

1. the data of a few sites, as `disue flower split` writes it
2. a Flower app, as `disue flower init` writes it
3. a SuperLink with TLS, and a key, a registration and a SuperNode for each site (`loopback`)
4. `flwr run` on the app's folder, followed by what the run writes
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from disue.api import Stopped
from disue.core.errors import UserError
from disue.flower import folder as app_folder
from disue.flower.loopback import Loopback
from disue.flower.rehearsal import keyed
from disue.flower.split import spec_of, write
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

SITES = 3
PROTECTED = 6  # lots, over which moments are summed, have six clients or more
START, ROUND, ROUND_PROTECTED = 300.0, 120.0, 900.0  # seconds that the run may take at most
POLL = 0.5
COMMON: dict[str, Any] = {
    "seed": 0,
    "cohort": {"share": 1.0},
    "local": {"epochs": 3, "batch": 32, "lr": 0.05, "clip": 10.0},
    "engine": {"backend": "lean"},
    "evaluate": {"every": 1, "local": "split"},
}
HAR: dict[str, Any] = {"data": {"name": "har"}, "partition": {"kind": "natural"}, "model": {"name": "cnn1d"}}
DIGITS: dict[str, Any] = {
    "data": {"name": "digits"},
    "partition": {"kind": "dirichlet", "alpha": 0.5},
    "model": {"name": "tiny"},
}


@dataclass(frozen=True)
class Demo:
    """out: a new folder; port: of the SuperLink, 0: a free one; say: called with a sentence for every step."""

    out: Path
    rounds: int = 3
    protected: bool = False
    port: int = 0
    data_dir: Path | None = None
    say: Callable[[str], object] = print

    @property
    def sites(self) -> int:
        return PROTECTED if self.protected else SITES

    @property
    def limit(self) -> float:
        """Seconds after which a run is broken off."""
        return START + (1 + self.rounds) * (ROUND_PROTECTED if self.protected else ROUND)

    def play(self, on_row: Callable[[Mapping[str, str], float], object]) -> Path:
        """Returns the report's path. on_row(row of rounds.csv, seconds left) is called after every round."""
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UserError(f"{self.out} exists: nothing is overwritten; give another folder", key="out")
        out = self.out.resolve()
        spec, configs = self.deal(out)
        app_folder.make(out / "app", spec)
        with Loopback(out / "network", self.port) as net:
            self.say(f"a SuperLink listens on 127.0.0.1:{net.port}, with TLS; it takes nodes that are registered")
            for config in configs:
                net.node(f"site-{config['client']}", config)
                self.say(f"site {config['client']}: its key is registered, its SuperNode runs")
            self.say(f"flwr run {self.out / 'app'} …")
            net.begin(out / "app", out=str(out / "run"))
            for row, left in follow(out / "run", self.rounds, lambda: self.going(net)):
                on_row(row, left)
            if not (out / "run" / "summary.json").exists():
                self.failed(net)
        return self.out / "run" / "report.html"

    # -- before ----------------------------------------------------------------------------------------

    def deal(self, out: Path) -> tuple[Spec, list[dict[str, Any]]]:
        """The spec of all, and each node's configuration; data, and keys of a protected run, in `out`."""
        setup = prepare(spec_for(self.rounds, self.sites, self.data_dir, protected=self.protected), self.data_dir)
        clients = setup.ids.tolist()[: self.sites]
        write(setup, out / "sites", clients)
        spec = spec_of(setup)
        configs: list[dict[str, Any]] = [
            {
                "client": str(client),
                "data": str(out / "sites" / f"site-{client}.npz"),
                "store": str(out / "sites" / f"store-{client}"),
            }
            for client in clients
        ]
        network = replace(
            spec.network,
            clients=self.sites,
            gather=120.0,
            deadline=240.0,
            answers=1.0,
            patience=60.0,
            test=str(out / "sites" / "test.npz"),
        )
        if self.protected:
            keys = out / "keys"
            pin = keyed(keys, dict(enumerate(configs)))
            network = replace(network, roster=str(keys / "roster"))
            for config in configs:
                config |= {"key": str(keys / f"{config['client']}.key"), "roster": str(keys / "roster"), "pin": pin}
        self.say(f"{self.sites} sites of {spec.data.name}, {self.out / 'sites'}: each reads its own file only")
        return replace(spec, network=network), configs

    # -- while it runs ---------------------------------------------------------------------------------

    def going(self, net: Loopback) -> bool:
        """False where `flwr run` has ended. A process that died, or a time that is over, ends the demo."""
        for name, process in net.processes.items():
            if name != "run" and process.poll() is not None:
                raise Stopped(f"{name} ended with {process.returncode}: {last_words(net.log(name))}", key=name)
        if time.monotonic() - net.began > self.limit:
            raise Stopped(f"the run was not over after {self.limit:.0f} seconds: {reason(net)}", key="run")
        return net.processes["run"].poll() is None

    def failed(self, net: Loopback) -> None:
        kind = Stopped if (self.out / "run" / "rounds.csv").exists() else UserError
        raise kind(f"the run ended early: {reason(net)} (logs: {self.out / 'network' / 'logs'})", key="run")


def spec_for(rounds: int, sites: int, data_dir: Path | None = None, *, protected: bool = False) -> Spec:
    """DisUE on subjects of HAR where its files are, else on digits dealt out to the sites."""
    from disue.data.sources.files import data_folder
    from disue.data.sources.registry import SOURCES

    found = data_folder(data_dir)
    there = (found / "har.npz").is_file() or (found.is_dir() and SOURCES["har"].find(found, True) is not None)
    given = {**COMMON, **(HAR if there else DIGITS), "rounds": rounds}
    if not there:
        given["partition"] = {**DIGITS["partition"], "clients": sites}
    given["method"] = {"name": "disue", "k": 1 if protected else 2}
    if protected:
        given |= {"privacy": {"similarity": "sketch"}}
    return Spec.of(given)


def follow(
    run: Path, rounds: int, going: Callable[[], bool], poll: float = POLL
) -> Iterator[tuple[dict[str, str], float]]:
    """Each row of the run's rounds.csv as it comes, with the seconds that are left, until the run has ended."""
    began, seen, more = time.monotonic(), 0, True
    first = began
    while more:
        more = going()  # asked first, so that rows written last are still read
        rows = rows_of(run / "rounds.csv")
        for row in rows[seen:]:
            now = time.monotonic()
            first = now if seen == 0 else first
            pace = (now - first) / seen if seen else now - began
            seen += 1
            yield row, pace * (rounds - int(row["round"]))
        if more:
            time.sleep(poll)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Whole rows alone; the file may be in the middle of being written."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))


# -- why it did not work ---------------------------------------------------------------------------------


def reason(net: Loopback) -> str:
    """One sentence out of the logs: what the server said, else the last words of whoever spoke."""
    for name in ("run", "superlink"):
        said = re.findall(r"^.*?(?:UserError|Stopped): (.+)$", plain(net.log(name)), re.M)
        if said:
            return str(said[-1])
    return last_words(net.log("run")) or last_words(net.log("superlink")) or "no log says why"


def last_words(log: str) -> str:
    """The last line that holds something."""
    lines = [line.strip() for line in plain(log).splitlines()]
    return next((line for line in reversed(lines) if line), "")


def plain(log: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", log)
