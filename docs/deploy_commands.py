"""Runs the commands of docs/deploy.md on this machine, in their order: `python docs/deploy_commands.py FOLDER`.

Comments before a fenced block say what happens with it:

    <!-- run: MACHINE -->         its commands are given there; a machine is a folder in FOLDER
    <!-- file: MACHINE/PATH -->   it is what this file holds
    <!-- copy: MACHINE/PATH MACHINE -->, <!-- stop: MACHINE -->   of themselves

What speaks of ward-3 is done for ward-1 and ward-2 too. Servers and nodes stay in the background until they are
stopped.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from disue.flower.loopback import QUIET, THREADS, free_port, listens, send, tree

PAGE = Path(__file__).with_name("deploy.md")
MARK = re.compile(r"^<!-- (run|file|copy|stop): (.+?) -->\n(?:```\w*\n(.*?)^```$)?", re.S | re.M)
SITE, OTHERS = "ward-3", ("ward-1", "ward-2")
DAEMONS = ("flower-superlink", "flower-supernode")
SECONDS = 420  # that a command may take; `flwr run` is the longest


@dataclass(frozen=True)
class Step:
    """what: run, file, copy or stop; to: its words; text: of the block."""

    what: str
    to: str
    text: str = ""


def steps(page: str) -> Iterator[Step]:
    """In the page's order, with those of one site for all."""
    for what, to, text in MARK.findall(page):
        for site in (*OTHERS, SITE) if SITE in to else (SITE,):
            yield Step(what, to.replace(SITE, site), text.replace(SITE, site) if SITE in to else text)


def commands(text: str) -> list[str]:
    """The lines of a block, those that go on in the next one put together."""
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@dataclass
class Machines:
    """Folders that stand for machines, and what runs on them."""

    folder: Path
    daemons: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    exports: dict[str, dict[str, str]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("")

    def machine(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def local(self, text: str, name: str) -> str:
        """With this machine's addresses, ports and paths in the place of the page's."""
        text = text.replace("DNS:fed.example.org", "DNS:localhost").replace("fed.example.org", "localhost")
        text = text.replace("/srv/disue", str(self.folder / name))
        return re.sub(
            r"(:|--port )(8000|910\d)", lambda found: found[1] + str(self.ports.setdefault(found[2], free_port())), text
        )

    def take(self, step: Step) -> None:
        name, _, rest = step.to.replace(",", " ").partition(" " if step.what != "file" else "/")
        if step.what == "file":
            path = self.machine(name) / rest
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.local(step.text, name), encoding="utf-8")
        elif step.what == "copy":
            shutil.copy(self.folder / name, self.machine(rest))
        elif step.what == "stop":
            self.stop(name)
        else:
            for command in commands(step.text):
                self.run(name, self.local(command, name))

    def run(self, name: str, command: str) -> None:
        """A command as a shell takes it; one that fails ends the whole."""
        print(f"{name}$ {command}", flush=True)
        exports = self.exports.setdefault(name, {})
        if command.startswith("export "):
            exports |= dict(word.split("=", 1) for word in shlex.split(command)[1:])
            return
        environment = {
            **os.environ,
            **QUIET,
            **exports,
            **dict.fromkeys(THREADS, "1"),
            "FLWR_HOME": str(self.machine(name) / "home"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        if command.split()[0] in DAEMONS:
            self.begin(name, command.removesuffix("&"), environment)
            return
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder / name,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        print(done.stdout, flush=True)
        if done.returncode:
            raise SystemExit(f"{name}: ended with {done.returncode}: {command}")

    def begin(self, name: str, command: str, environment: dict[str, str]) -> None:
        if "--port" not in command:
            command += f" --port {free_port()}"  # machines share a port here
        with (self.folder / name / f"{command.split()[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder / name,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.daemons.append((name, process))
        if command.startswith(DAEMONS[0]):
            end = time.monotonic() + 60
            while not listens(self.ports["8000"]):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{name}: {command} does not listen: see its log")
                time.sleep(0.2)

    def stop(self, name: str) -> None:
        """What runs on a machine; "": on all."""
        ended = [(on, process) for on, process in self.daemons if name in ("", on)]
        started = [one for _, process in ended for one in tree(process.pid)]
        send(started, signal.SIGTERM)
        until = time.monotonic() + 15
        while time.monotonic() < until and any(process.poll() is None for _, process in ended):
            time.sleep(0.1)
        send(started, signal.SIGKILL)
        self.daemons = [one for one in self.daemons if one not in ended]
        self.ports.clear()


def data(folder: Path) -> None:
    """What a hospital has: its own file, and the server a test set."""
    from disue.flower.split import write
    from disue.runs.simulation import prepare
    from disue.runs.spec import Spec

    dealt = folder / "dealt"
    write(prepare(Spec.of({"partition": {"clients": 3, "alpha": 0.5}})), dealt)
    for at, site in enumerate((*OTHERS, SITE)):
        (folder / site).mkdir()
        shutil.copy(dealt / f"site-{at}.npz", folder / site / f"{site}.npz")
    (folder / "server").mkdir()
    shutil.copy(dealt / "test.npz", folder / "server" / "test.npz")


def main(folder: Path) -> int:
    folder = folder.resolve()
    folder.mkdir(parents=True)
    data(folder)
    with Machines(folder) as machines:
        for step in steps(PAGE.read_text(encoding="utf-8")):
            machines.take(step)
    missing = [run for run in ("two/run", "server/runs/wards") if not (folder / run / "summary.json").exists()]
    print(f"not complete: {', '.join(missing)}" if missing else "every command ran, and both runs are complete")
    return int(bool(missing))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/deploy-commands")))
