"""Downloads from a server on this machine: resume, checks, unpacking; nothing here needs a network."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.data import NAMES, load
from disue.data import fetch as module
from disue.data.fetch import REMOTES, Remote, fetch

BODY = np.random.default_rng(0).bytes(1_000_003)
SUM = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


@dataclass
class Server:
    """What it serves, how it behaves, and the Range headers it was sent."""

    files: dict[str, bytes] = field(default_factory=lambda: {"data.bin": BODY})
    ranges: bool = True
    stop_after: int | None = None  # bytes after which the next answer breaks off
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = state.files.get(self.path.lstrip("/").replace("%20", " "))
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if body is None:
                self.send_error(404)
                return
            start = 0
            if wanted and state.ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            stop, state.stop_after = state.stop_after, None
            self.wfile.write(body[start : None if stop is None else start + stop])

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def get(server: Server, folder: Path, **changed: object) -> tuple[Path, ...]:
    fields: dict[str, object] = {"url": "http://nowhere.invalid/data.bin", "checksum": SUM}
    remote = Remote(**{**fields, **changed})  # type: ignore[arg-type]
    return fetch("svhn", folder, base_url=server.url, remotes=(remote,))


def test_whole_file(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    remote = Remote("http://nowhere.invalid/data.bin", SUM, folder="a/b")
    (path,) = fetch("svhn", tmp_path, lambda *step: seen.append(step), base_url=server.url, remotes=(remote,))
    assert path == tmp_path / "a/b/data.bin"
    assert path.read_bytes() == BODY
    assert seen[0] == ("data.bin", 0, len(BODY))
    assert seen[-1] == ("data.bin", len(BODY), len(BODY))
    fetch("svhn", tmp_path, base_url=server.url, remotes=(remote,))
    assert len(server.asked) == 1  # what is there and right is not loaded again
    assert [p.name for p in path.parent.iterdir()] == ["data.bin"]


def test_broken_off_then_resumed(server: Server, tmp_path: Path) -> None:
    server.stop_after = 400_000
    with pytest.raises(UserError, match="run it again to go on"):
        get(server, tmp_path)
    assert not (tmp_path / "data.bin").exists()
    have = (tmp_path / "data.bin.part").stat().st_size
    assert 0 < have <= 400_000
    (path,) = get(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.asked == [None, f"bytes={have}-"]
    assert not (tmp_path / "data.bin.part").exists()


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.stop_after = 400_000
    with pytest.raises(UserError):
        get(server, tmp_path)
    (path,) = get(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.asked[1] is not None


def test_leftover_that_is_already_whole_or_too_long(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(BODY)
    assert get(server, tmp_path)[0].read_bytes() == BODY
    (tmp_path / "data.bin").unlink()
    (tmp_path / "data.bin.part").write_bytes(BODY + b"more")
    assert get(server, tmp_path)[0].read_bytes() == BODY


def test_wrong_checksum_keeps_nothing(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = BODY[:-1] + b"!"
    with pytest.raises(UserError, match="not kept") as caught:
        get(server, tmp_path)
    assert caught.value.key == "checksum"
    assert list(tmp_path.iterdir()) == []


def test_damaged_file_on_disk_is_loaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"old")
    assert get(server, tmp_path)[0].read_bytes() == BODY


def test_first_download_pins_an_unknown_checksum(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path, checksum="")
    assert (tmp_path / "data.bin.sha256").read_text().strip() == SUM[7:]
    get(server, tmp_path, checksum="")
    assert len(server.asked) == 1
    (tmp_path / "data.bin").unlink()
    server.files["data.bin"] = BODY + b"changed"
    with pytest.raises(UserError, match="first download"):
        get(server, tmp_path, checksum="")


def test_errors_are_sentences(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="404"):
        get(server, tmp_path, url="http://nowhere.invalid/absent.bin")
    dead = Remote("http://nowhere.invalid/data.bin", SUM)
    with pytest.raises(UserError, match="could not be loaded") as caught:
        fetch("svhn", tmp_path, base_url="http://127.0.0.1:9", remotes=(dead,))
    assert caught.value.key == "network"
    with pytest.raises(UserError, match="Did you mean"):
        fetch("cifar", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="another folder"):
        get(server, tmp_path / "file")
    with pytest.raises(UserError, match="disk is full"):
        get(server, tmp_path, size=10**18)

    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_receive", full)
    with pytest.raises(UserError, match="disk is full"):
        get(server, tmp_path)


def tar_of(*members: tuple[str, bytes], link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo("cifar-10-batches-py/link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return out.getvalue()


def zip_of(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as box:
        for name, body in members:
            box.writestr(name, body)
    return out.getvalue()


def test_archives_are_unpacked(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = tar_of(("cifar-10-batches-py/test_batch", b"pixels"))
    get(server, tmp_path, url="http://nowhere.invalid/a.tar.gz", checksum="", unpack="tar")
    assert (tmp_path / "cifar-10-batches-py/test_batch").read_bytes() == b"pixels"
    server.files["UCI HAR Dataset.zip"] = zip_of(
        ("UCI HAR Dataset/README.txt", b"read"), ("__MACOSX/._x", b""), ("UCI HAR Dataset/.DS_Store", b"")
    )
    get(server, tmp_path, url="http://nowhere.invalid/UCI%20HAR%20Dataset.zip", checksum="", unpack="zip")
    assert [p.name for p in (tmp_path / "UCI HAR Dataset").iterdir()] == ["README.txt"]
    assert not (tmp_path / "__MACOSX").exists()


def test_from_server_to_data_set(server: Server, formats: Path, tmp_path: Path) -> None:
    folder = formats / "cifar-10-batches-py"
    names = {f"data_batch_{i}": "data_batch_1" for i in range(1, 6)} | {n: n for n in ("test_batch", "batches.meta")}
    packed = tar_of(*((f"cifar-10-batches-py/{name}", (folder / real).read_bytes()) for name, real in names.items()))
    server.files["cifar-10-python.tar.gz"] = packed
    checksum = f"md5:{hashlib.md5(packed).hexdigest()}"
    remote = Remote("https://nowhere.invalid/cifar-10-python.tar.gz", checksum, unpack="tar")
    fetch("cifar10", tmp_path, base_url=server.url, remotes=(remote,))
    data = load("cifar10", data_dir=tmp_path)
    assert (data.variant, data.sizes) == ("official", (250, 20))


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "a\\..\\out.txt"])
def test_archives_stay_inside(server: Server, tmp_path: Path, name: str) -> None:
    inner = tmp_path / "data"
    server.files["a.zip"] = zip_of((name, b"evil"))
    with pytest.raises(UserError, match="outside"):
        get(server, inner, url="http://nowhere.invalid/a.zip", checksum="", unpack="zip")
    if "\\" not in name and not name.startswith("/"):  # tar strips a leading slash and keeps the file inside
        server.files["a.tar.gz"] = tar_of((name, b"evil"))
        with pytest.raises(UserError, match="cannot be unpacked"):
            get(server, inner, url="http://nowhere.invalid/a.tar.gz", checksum="", unpack="tar")
    assert not (tmp_path / "out.txt").exists()


def test_links_and_damage_in_archives(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = tar_of(link="/etc/passwd")
    with pytest.raises(UserError, match="cannot be unpacked"):
        get(server, tmp_path, url="http://nowhere.invalid/a.tar.gz", checksum="", unpack="tar")
    server.files["b.tar.gz"] = tar_of(("x", BODY))[:5000]
    with pytest.raises(UserError, match="cannot be unpacked"):
        get(server, tmp_path, url="http://nowhere.invalid/b.tar.gz", checksum="", unpack="tar")
    server.files["c.zip"] = b"PK no"
    with pytest.raises(UserError, match="cannot be unpacked"):
        get(server, tmp_path, url="http://nowhere.invalid/c.zip", checksum="", unpack="zip")


def test_registry_is_whole(tmp_path: Path) -> None:
    assert set(NAMES) == {"digits", *REMOTES}
    for remotes in REMOTES.values():
        for remote in remotes:
            kind, _, digest = remote.checksum.partition(":")
            assert len(digest) == {"md5": 32, "sha256": 64, "": 0}[kind]
    assert fetch("digits", tmp_path) == ()
