"""Getting the official files: download with resume, check, put in place whole, unpack safely.

Checksums are those that torchvision and similar loaders publish. Where none is known ("UCI HAR"), the first
download's SHA-256 is written beside the file and later downloads must agree with it.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Protocol

from disue.core.errors import UserError, unknown
from disue.data.sources.files import data_folder

TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 18
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_SVHN = "http://ufldl.stanford.edu/housenumbers/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/"


class Progress(Protocol):
    """Called now and then: file name, bytes that are there, bytes in all (None: not known)."""

    def __call__(self, name: str, done: int, total: int | None, /) -> None: ...


@dataclass(frozen=True)
class Remote:
    """One file to get. folder: where below the data folder it is put or unpacked; unpack: "", "tar" or "zip".

    checksum: "md5:…" or "sha256:…", or "" where none is known. size: bytes, or None. name: the file's local
    name where it differs from the last part of the URL.
    """

    url: str
    checksum: str = ""
    size: int | None = None
    folder: str = ""
    unpack: str = ""
    name: str = ""

    @property
    def file(self) -> str:
        """The local file name."""
        return self.name or urllib.parse.unquote(self.url.rsplit("/", 1)[1])


REMOTES: dict[str, tuple[Remote, ...]] = {
    "cifar10": (
        Remote(f"{_CIFAR}cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a", 170498071, "", "tar"),
    ),
    "cifar100": (
        Remote(f"{_CIFAR}cifar-100-python.tar.gz", "md5:eb9058c3a382ffc7106e4002c42a8d85", 169001437, "", "tar"),
    ),
    "svhn": (
        Remote(f"{_SVHN}train_32x32.mat", "md5:e26dedcc434d2e4c54c9b2d4a06d8373", 182040794, "svhn"),
        Remote(f"{_SVHN}test_32x32.mat", "md5:eb5a983be6a315427106f1b164d9cef3", 64275384, "svhn"),
    ),
    "fashion_mnist": tuple(
        Remote(f"{_FASHION}{file}-ubyte.gz", f"md5:{md5}", None, "FashionMNIST/raw")
        for file, md5 in (
            ("train-images-idx3", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("train-labels-idx1", "25c81989df183df01b3e8a0aad5dffbe"),
            ("t10k-images-idx3", "bef4ecab320f06d8554ea6380940ec79"),
            ("t10k-labels-idx1", "bb300cfdad3c16e7a12a480ee83cd310"),
        )
    ),
    "har": (
        Remote(
            "https://archive.ics.uci.edu/ml/machine-learning-databases/00240/UCI%20HAR%20Dataset.zip",
            unpack="zip",
        ),
    ),
    "shakespeare": (
        Remote(
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            1115394,
            "shakespeare",
            name="tinyshakespeare.txt",
        ),
    ),
}


def fetch(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    *,
    base_url: str | None = None,
    remotes: tuple[Remote, ...] | None = None,
) -> tuple[Path, ...]:
    """Gets the official files of a set into the data folder; returns where each was put or unpacked.

    A download that broke off goes on from its `.part` file. Files that are there and pass the check are not
    loaded again. base_url replaces everything before the last "/" of each URL (a mirror, a test server);
    remotes replaces the registry's entry. Raises `UserError`: no network, wrong checksum (nothing is kept),
    disk full, unknown name.
    """
    if name == "digits":
        return ()  # comes with scikit-learn
    if remotes is None and name not in REMOTES:
        raise unknown("data fetch", str(name), ("digits", *REMOTES))
    folder = data_folder(data_dir)
    out = []
    for remote in remotes or REMOTES[name]:
        url = remote.url if base_url is None else f"{base_url.rstrip('/')}/{remote.url.rsplit('/', 1)[1]}"
        place = folder / remote.folder
        try:
            place.mkdir(parents=True, exist_ok=True)
            file = place / remote.file
            if not (file.is_file() and _passes(file, remote)):
                _room(place, remote)
                _download(url, file, remote, progress or _silent)
            out.append(_unpack(file, place, remote.unpack) if remote.unpack else file)
        except OSError as error:
            raise _disk(place, error) from error
    return tuple(out)


def _room(place: Path, remote: Remote) -> None:
    """Refuses a download for which the disk has no room: twice its size where it will be unpacked as well."""
    need = (remote.size or 0) * (2 if remote.unpack else 1)
    if need > (free := shutil.disk_usage(place).free):
        raise OSError(errno.ENOSPC, f"{need:,} bytes are needed, {free:,} are free")


def _silent(name: str, done: int, total: int | None, /) -> None:
    del name, done, total


def _download(url: str, file: Path, remote: Remote, progress: Progress) -> None:
    part = file.with_name(file.name + ".part")
    whole = False
    for attempt in range(2):  # the second time from the start, where a leftover cannot be continued
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url, headers={"User-Agent": "disue"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                whole = _receive(answer, part, have, remote, progress)
        except urllib.error.HTTPError as error:
            if error.code == 416 and have and attempt == 0:
                if _passes(part, remote, pin=file):
                    whole = True
                    break
                part.unlink()
                continue
            raise _network(url, f"the server answers {error.code} {error.reason}", part) from error
        except urllib.error.URLError as error:
            raise _network(url, str(error.reason), part) from error
        except (TimeoutError, ConnectionError, HTTPException) as error:
            raise _network(url, str(error) or type(error).__name__, part) from error
        break
    if not whole:
        raise _network(url, "the connection ended early", part)
    if not _passes(part, remote, pin=file):
        found = _sum(part, remote.checksum.partition(":")[0] or "sha256")
        part.unlink()
        raise UserError(
            f"{url}: the file has {found}, expected {remote.checksum or 'the SHA-256 of the first download'}; "
            "it was not kept",
            key="checksum",
            found=found,
        )
    if not remote.checksum:
        _pinned(file).write_text(_sum(part, "sha256").partition(":")[2] + "\n", "ascii")
    os.replace(part, file)


def _receive(answer: HTTPResponse, part: Path, have: int, remote: Remote, progress: Progress) -> bool:
    """Writes the body to `part`, after what is there if the server agrees to go on; whether all of it came."""
    resumed = answer.status == 206 and _starts_at(answer.headers.get("Content-Range", ""), have)
    done = have if resumed else 0
    length = answer.headers.get("Content-Length")
    total = done + int(length) if length and length.isdigit() else None
    with part.open("ab" if resumed else "wb") as handle:
        progress(remote.file, done, total or remote.size)
        while block := answer.read(_BLOCK):
            handle.write(block)
            done += len(block)
            progress(remote.file, done, total or remote.size)
    return total is None or done == total


def _starts_at(content_range: str, have: int) -> bool:
    return content_range.startswith(f"bytes {have}-")


def _sum(path: Path, kind: str) -> str:
    with path.open("rb") as handle:
        return f"{kind}:{hashlib.file_digest(handle, kind).hexdigest()}"


def _pinned(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def _passes(path: Path, remote: Remote, pin: Path | None = None) -> bool:
    if remote.checksum:
        return _sum(path, remote.checksum.partition(":")[0]) == remote.checksum
    pinned = _pinned(pin or path)
    if not pinned.exists():
        return pin is not None  # a first download is taken as it comes; an unknown old file is not
    return _sum(path, "sha256") == "sha256:" + pinned.read_text("ascii").strip()


def _network(url: str, why: str, part: Path) -> UserError:
    kept = f"; {part.stat().st_size:,} bytes are kept, run it again to go on" if part.exists() else ""
    return UserError(f"{url} could not be loaded: {why}{kept}", key="network", found=why)


def _disk(place: Path, error: OSError) -> UserError:
    why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or type(error).__name__)
    return UserError(f"{place}: {why}; free space or choose another folder with DISUE_DATA", key="disk", found=why)


def _unpack(archive: Path, place: Path, kind: str) -> Path:
    """Unpacks into `place`; members that point outside, links out and devices are refused."""
    steps: dict[str, Callable[[Path, Path], None]] = {"tar": _untar, "zip": _unzip}
    try:
        steps[kind](archive, place)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{archive} cannot be unpacked: {error}", key="archive", found=str(archive)) from error
    return place


def _untar(archive: Path, place: Path) -> None:
    if not hasattr(tarfile, "data_filter"):  # Python before 3.11.4 cannot unpack with care
        raise UserError(f"{archive}: unpacking needs Python 3.11.4 or later; unpack it by hand", key="archive")
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")


def _unzip(archive: Path, place: Path) -> None:
    with zipfile.ZipFile(archive) as box:
        for member in box.infolist():
            path = PurePosixPath(member.filename)
            if path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store":
                continue
            if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
                raise UserError(
                    f"{archive}: refused, the archive names a file outside its folder: {member.filename}",
                    key="archive",
                )
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{archive}: refused, the archive holds a link: {member.filename}", key="archive")
            box.extract(member, place)
