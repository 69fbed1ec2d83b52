"""Peers, each in an environment of its own, with the same torch as ours put there first."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KNOWN = HERE.parent / "constraints.txt"


@dataclass(frozen=True)
class Peer:
    """packages: what `pip install` is given, held to our torch; alone: without what they depend on, for a peer that
    asks for another torch (`besides` is then what it really imports)."""

    name: str
    about: str
    program: str
    packages: tuple[str, ...]
    versions: tuple[str, ...]
    alone: bool = False
    besides: tuple[str, ...] = ()


PEERS = (
    Peer("flower", "Flower", "flower.py", ("flwr[simulation]==1.41.0",), ("flwr", "ray")),
    Peer("pfl", "pfl-research", "pfl_research.py", ("pfl==0.6.0",), ("pfl",)),
    Peer("fluke", "fluke", "fluke_fl.py", ("fluke-fl==0.8.1",), ("fluke-fl",)),
    Peer("cfla", "CFLA", "cfla_fedavg.py", ("CFLA==1.0.4",), ("CFLA",), alone=True),
)


def pinned(name: str) -> str:
    """A line of constraints.txt, such as torch==2.13.0."""
    return next(line for line in KNOWN.read_text().splitlines() if line.startswith(f"{name}=="))


def install(peer: Peer, folder: Path) -> str:
    """Makes the peer's environment where it is not there yet; why that did not succeed, or ""."""
    done = folder / peer.name / "installed"
    if done.exists():
        return ""
    python = str(python_of(peer, folder))
    held = folder / "held.txt"
    folder.mkdir(parents=True, exist_ok=True)
    held.write_text(pinned("torch") + "\n" + pinned("numpy") + "\n")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    calls = [
        [sys.executable, "-m", "venv", "--clear", str(folder / peer.name)],
        [*pip, pinned("torch"), pinned("numpy")],
        [*pip, "-c", str(held), *(["--no-deps"] if peer.alone else []), *peer.packages],
    ]
    if peer.besides:
        calls.append([*pip, "-c", str(held), *peer.besides])
    for call in calls:
        made = subprocess.run(call, capture_output=True, text=True)
        if made.returncode:
            errors = [line for line in made.stderr.splitlines() if line.startswith("ERROR")]
            return (errors or made.stderr.splitlines() or ["pip gave no reason"])[-1]
    done.write_text("")
    return ""


def python_of(peer: Peer, folder: Path) -> Path:
    return folder / peer.name / "bin" / "python"


def versions(peer: Peer, folder: Path) -> dict[str, str]:
    """Of the peer, and of torch beside it."""
    names = [*peer.versions, "torch"]
    code = f"from importlib.metadata import version; print(*map(version, {names!r}))"
    made = subprocess.run([str(python_of(peer, folder)), "-c", code], capture_output=True, text=True)
    return dict(zip(names, made.stdout.split(), strict=False))
