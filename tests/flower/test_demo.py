"""The demo of a real network: what it prepares, how it follows a run, what it says when there is none."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from disue.api import Stopped
from disue.core.errors import UserError
from disue.flower.demo import PROTECTED, Demo, follow, last_words, reason, rows_of, spec_for
from disue.flower.loopback import Loopback, certificates, listens, node_key, tree
from disue.flower.site import Site


def quiet(_: str) -> None:
    """Says nothing."""


def test_without_har_three_parts_of_digits_are_the_sites(tmp_path: Path) -> None:
    spec, configs = Demo(tmp_path / "out", data_dir=tmp_path, say=quiet).deal(tmp_path / "out")
    assert (spec.data.name, spec.network.clients, spec.method["name"]) == ("digits", 3, "disue")
    sites = [Site.of(config) for config in configs]
    assert len({site.client for site in sites}) == len({site.store for site in sites}) == 3
    assert all(len(site.arrays()["y_train"]) > 0 for site in sites)
    with np.load(spec.network.test) as test:
        assert set(test) >= {"x_test", "y_test"}
    assert len(spec.data.mean) == 1 and spec.data.classes == 10  # all sites normalise alike


def test_protected_sites_have_keys_and_one_roster(tmp_path: Path) -> None:
    from disue.flower.protocol import identity, roster_of

    spec, configs = Demo(tmp_path / "out", 1, True, data_dir=tmp_path, say=quiet).deal(tmp_path / "out")
    assert spec.privacy.on and len(configs) == PROTECTED
    (roster,) = {roster_of(Site.of(config)).hash for config in configs}
    assert roster.hex() == configs[0]["pin"]
    assert len({identity(Site.of(config)).public_key().public_bytes_raw() for config in configs}) == PROTECTED


def test_har_is_taken_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "har.npz").touch()
    assert spec_for(2, 3, tmp_path).data.name == "har"
    assert spec_for(2, 3, tmp_path).model["name"] == "cnn1d"


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match=r"exists: nothing is overwritten"):
        Demo(tmp_path, say=quiet).play(lambda row, left: None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        assert listens(port)
        with pytest.raises(UserError, match=rf"port {port} of this machine is taken"):
            Loopback(tmp_path, port).link()
    assert not listens(port)


# -- following a run -------------------------------------------------------------------------------------


def test_rows_come_once_each_and_the_last_ones_too(tmp_path: Path) -> None:
    """The file grows between looks, a line is cut in the middle, a column is added, and the run ends."""
    texts = iter(["", "round,a\n0,1\n1,", "round,a\n0,1\n1,2\n", "round,a,b\n0,1,\n1,2,\n2,3,4\n3,5,6\n"])
    left = 4

    def going() -> bool:
        nonlocal left
        left -= 1
        (tmp_path / "rounds.csv").write_text(next(texts))
        return left > 0

    found = list(follow(tmp_path, 3, going, poll=0.0))
    assert [row["round"] for row, _ in found] == ["0", "1", "2", "3"]
    assert found[-1][0] == {"round": "3", "a": "5", "b": "6"}
    assert found[-1][1] == 0.0 and all(seconds >= 0 for _, seconds in found)


def test_a_run_that_never_wrote_has_no_rows(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "rounds.csv") == []
    assert list(follow(tmp_path, 3, lambda: False)) == []


# -- why it did not work ---------------------------------------------------------------------------------

TRACE = """\x1b[92mINFO \x1b[0m: Start `flwr-serverapp` process
Traceback (most recent call last):
  File "serve.py", line 1
disue.core.errors.UserError: network.clients is 3, and after 120 seconds 2 had come (1, 2)
\x1b[91mERROR \x1b[0m: Exit Code: 200
"""


def logs(**found: str) -> Any:
    return SimpleNamespace(log=lambda name: found.get(name, ""))


def test_the_sentence_of_the_server_is_the_reason() -> None:
    assert reason(logs(run=TRACE)) == "network.clients is 3, and after 120 seconds 2 had come (1, 2)"
    assert reason(logs(run="nothing", superlink=TRACE)).startswith("network.clients is 3")


def test_else_the_last_words_are() -> None:
    assert reason(logs(run="one\n\x1b[91mtwo\x1b[0m\n\n")) == "two"
    assert reason(logs(superlink="three\n")) == "three"
    assert reason(logs()) == "no log says why"
    assert last_words("\n \n") == ""


def sleeping(tmp_path: Path, name: str, code: str) -> Loopback:
    """A network of one process of ours."""
    net = Loopback(tmp_path)
    net._start(name, [sys.executable, "-c", code])
    return net


def test_a_node_that_ends_ends_the_demo_with_its_last_words(tmp_path: Path) -> None:
    with_error = "import sys; print('no such key'); sys.exit(3)"
    net = sleeping(tmp_path / "net", "site-1", with_error)
    net.processes["site-1"].wait(30)
    with pytest.raises(Stopped, match=r"site-1 ended with 3: no such key"):
        Demo(tmp_path / "out", say=quiet).going(net)


def test_time_is_bounded(tmp_path: Path) -> None:
    net = sleeping(tmp_path / "net", "run", "import time; time.sleep(60)")
    try:
        demo = Demo(tmp_path / "out", say=quiet)
        assert demo.going(net)
        net.began = time.monotonic() - demo.limit - 1
        with pytest.raises(Stopped, match=r"was not over after"):
            demo.going(net)
    finally:
        net.close()


@pytest.mark.parametrize("way", ["close", "stop", "kill"])
def test_no_process_is_left_even_of_another_group(tmp_path: Path, way: str) -> None:
    """A SuperLink's app runs two generations down, in a group of its own, and does not end with its parents."""
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {deaf!r}], start_new_session=True)\n"
    child += "print(p.pid, flush=True); p.wait()"
    net = sleeping(tmp_path / "net", "node", child)
    until = time.monotonic() + 30
    while len(net.log("node").split()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    (number,) = (int(word) for word in net.log("node").split() if word.isdecimal())
    process = net.processes["node"]
    assert tree(process.pid) == [process.pid, number]
    net.close() if way == "close" else getattr(net, way)("node")
    assert net.processes == {} and process.poll() is not None
    until = time.monotonic() + 10
    while running(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert not running(number)


def running(number: int) -> bool:
    """Neither gone nor waiting for its parent to notice."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


# -- keys and certificates -------------------------------------------------------------------------------


def test_the_certificates_are_what_openssl_takes(tmp_path: Path) -> None:
    certificates(tmp_path)
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.crt", tmp_path / "server.crt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "server.key").stat().st_mode & 0o077 == 0
    before = (tmp_path / "ca.crt").read_bytes()
    certificates(tmp_path)
    assert (tmp_path / "ca.crt").read_bytes() == before


def test_a_node_key_is_one_of_ssh(tmp_path: Path) -> None:
    node_key(tmp_path / "node")
    done = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "node"], capture_output=True, text=True, check=False)
    assert done.stdout.split()[:2] == (tmp_path / "node.pub").read_text().split()[:2]


@pytest.mark.slow
def test_the_demo_trains_over_the_wire(tmp_path: Path) -> None:
    """Digits, one round; every process that was started has ended."""
    rows: list[Any] = []
    page = Demo(tmp_path / "out", 1, data_dir=tmp_path, say=quiet).play(lambda row, left: rows.append(row))
    assert page.exists() and [row["round"] for row in rows] == ["0", "1"]
    assert float(rows[1]["served_global"]) > float(rows[0]["served_global"])
