"""A SuperLink and its nodes on this machine: TLS, authenticated nodes, their own folder and ports, nothing left behind.

It is what `disue flower demo` and the slow tests run, and every command of it is one that an operator would give. No
name is resolved and nobody outside is asked: Flower's telemetry, its search for updates and its installation of an
app's dependencies are switched off.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from disue.core.errors import UserError

CONNECTION = "loop"
READY = 60.0  # seconds that the SuperLink may take to listen
REVIVED = 180.0  # seconds that a node which was killed may take to be known again
TAKEN = "SuperNode ID:"  # what a node's log says when the SuperLink has taken it
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Loopback:
    """with Loopback(folder) as net: net.node("ward-1", {...}); net.run(app)

    folder  for Flower's own home, keys, logs; all of it belongs to this object
    """

    folder: Path
    port: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    through: dict[str, int] = field(default_factory=dict)  # node → the port that it takes for the SuperLink's

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        for part in ("keys", "logs", "home"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self.environment = {
            **os.environ,
            **QUIET,
            **dict.fromkeys(THREADS, "1"),
            "FLWR_HOME": str(self.folder / "home"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        certificates(self.folder / "keys")
        config = (
            f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\naddress = "127.0.0.1:{self.port}"\n'
            f'root-certificates = "{self.folder / "keys" / "ca.crt"}"\n'
        )
        (self.folder / "home" / "config.toml").write_text(config, encoding="utf-8")

    def __enter__(self) -> Self:
        self.link()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """All are asked to end, then waited for; whatever happens meanwhile, none is left."""
        started = [one for process in self.processes.values() for one in tree(process.pid)]
        try:
            send(started, signal.SIGTERM)
            for name in list(self.processes):
                self.stop(name)
        finally:
            for name in list(self.processes):
                self.kill(name)
            send(started, signal.SIGKILL)  # whose parents were gone before they were

    # -- the server -------------------------------------------------------------------------------------

    def link(self) -> None:
        """Starts the SuperLink and waits until it listens. What it knows of nodes is in a file, and outlives it."""
        if listens(self.port):
            raise UserError(f"port {self.port} of this machine is taken: give another, or none", key="port")
        keys = self.folder / "keys"
        self._start(
            "superlink",
            [
                "flower-superlink",
                *("--host", "127.0.0.1", "--port", str(self.port)),
                *("--ssl-ca-certfile", str(keys / "ca.crt")),
                *("--ssl-certfile", str(keys / "server.crt"), "--ssl-keyfile", str(keys / "server.key")),
                *("--database", str(self.folder / "superlink.db")),
                "--enable-supernode-auth",
                "--disable-runtime-dependency-installation",
            ],
        )
        end = time.monotonic() + READY
        while time.monotonic() < end:
            if listens(self.port):
                return
            if self.processes["superlink"].poll() is not None:
                break
            time.sleep(0.2)
        raise UserError(f"the SuperLink did not start: see {self.folder / 'logs' / 'superlink.log'}", key="superlink")

    # -- nodes ------------------------------------------------------------------------------------------

    def node(self, name: str, config: Mapping[str, Any]) -> None:
        """Makes a node's key, registers it, and starts the node. Names are the operator's, clients' are in `config`."""
        key = self.folder / "keys" / name
        if not key.exists():
            node_key(key)
            said = self.flwr("supernode", "register", f"{key}.pub", CONNECTION, "--format", "json")
            if said.returncode:
                raise UserError(f"the node {name} was not registered: {said.stdout[-500:]}", key="node")
        self.configs[name] = config
        self.ports.setdefault(name, free_port())
        self.wake(name)

    def wake(self, name: str) -> None:
        """Starts a node that is known, as after it died."""
        keys = self.folder / "keys"
        words = " ".join(f"{word}={json.dumps(value)}" for word, value in self.configs[name].items())
        self._start(
            name,
            [
                "flower-supernode",
                *("--superlink", f"127.0.0.1:{self.through.get(name, self.port)}"),
                *("--root-certificates", str(keys / "ca.crt")),
                *("--auth-supernode-private-key", str(keys / name)),
                *("--host", "127.0.0.1", "--port", str(self.ports[name])),
                *("--node-config", words),
            ],
        )

    def revive(self, name: str, seconds: float = REVIVED) -> None:
        """Starts a node that was killed, as a supervisor would: the SuperLink turns a node away while it takes the one
        that died for alive, which lasts for a minute after its last sign of life, and Flower's node then exits."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = self.log(name).count(TAKEN)
            self.wake(name)
            while self.processes[name].poll() is None:
                if self.log(name).count(TAKEN) > before:
                    return
                time.sleep(0.2)
            time.sleep(2.0)
        raise UserError(f"the node {name} was not taken back: see {self.folder / 'logs' / name}.log", key="node")

    # -- runs -------------------------------------------------------------------------------------------

    def run(self, app: Path, timeout: float = 600.0, **config: Any) -> subprocess.CompletedProcess[str]:
        """`flwr run` on an app's folder, with its log, to the end of the run."""
        words = " ".join(f"{name}={json.dumps(value)}" for name, value in config.items())
        given = ["-c", words] if words else []
        return self.flwr("run", str(app), CONNECTION, "--stream", *given, timeout=timeout)

    def begin(self, app: Path, **config: Any) -> subprocess.Popen[bytes]:
        """`flwr run` in the background; its log is logs/run.log."""
        words = " ".join(f"{name}={json.dumps(value)}" for name, value in config.items())
        return self._start("run", ["flwr", "run", str(app), CONNECTION, "--stream", *(["-c", words] if words else [])])

    def flwr(self, *words: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["flwr", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    # -- processes --------------------------------------------------------------------------------------

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [shutil.which(command[0], path=self.environment["PATH"]) or command[0], *command[1:]],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
            )
        return self.processes[name]

    def signal(self, name: str, number: int) -> None:
        """To a process and all that it started: a SuperLink starts its ServerApp in a session of its own."""
        send(tree(self.processes[name].pid), number)

    def kill(self, name: str) -> None:
        """At once, as when a machine loses its power."""
        self.signal(name, signal.SIGKILL)
        self.processes.pop(name).wait()

    def stop(self, name: str) -> None:
        """As an operator would, and for good where that takes too long."""
        process = self.processes.pop(name)
        started = tree(process.pid)
        send(started, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        send(started, signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def listens(port: int) -> bool:
    """Whether somebody does, at this port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tree(process: int) -> list[int]:
    """A process and all that it started, and these in turn, as far as they live and their parents do.

    Where there is no `ps`, as in some containers, the process alone.
    """
    if shutil.which("ps") is None:
        return [process]
    said = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in said.splitlines():
        own, parent = map(int, line.split())
        children.setdefault(parent, []).append(own)
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found


def send(processes: Iterable[int], number: int) -> None:
    for one in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, number)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificates(folder: Path) -> None:
    """ca.crt, server.crt and server.key, for this machine's own address; kept where they are there."""
    if (folder / "server.crt").exists():
        return
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "disue loopback")])
    host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    authority, server = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())

    def signed(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(authority, hashes.SHA384())

    pem = Encoding.PEM
    (folder / "ca.crt").write_bytes(signed(name, authority, ca=True).public_bytes(pem))
    secret(folder / "server.key", server.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "server.crt").write_bytes(signed(host, server, ca=False).public_bytes(pem))


def node_key(path: Path) -> None:
    """The key pair by which a node is known to the SuperLink, as `ssh-keygen -t ecdsa -b 384` makes it."""
    key = ec.generate_private_key(ec.SECP384R1())
    secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    path.with_name(f"{path.name}.pub").write_bytes(public + b"\n")


def secret(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
