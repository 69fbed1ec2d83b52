"""Which row holds whose memory, version by version: a file to which each version adds what changed in it."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from disue.core.checks import IntMatrix
from disue.core.errors import UserError
from disue.engine.rows import Form, Place

Where: TypeAlias = dict[int, tuple[Form, Place]]  # client → what its memory is made of, and its row

HEAD = struct.Struct("<8sQQI")  # mark, bytes of JSON, bytes of the table, checksum of both
MARK = b"disuemem"
GONE = -1  # in the place of a row: the client's memory was forgotten
SPARE = 4096  # lines that a file may hold beyond twice the clients before it is written anew


@dataclass
class Journal:
    """The index file that the next version is added to. Version 7's file may begin with version 3.

    base   the version that the file begins with; GONE before there is one
    last   the version that was added last             end    bytes of the file up to there
    lines  lines of the file                           forms  form → its number in the file
    """

    base: int = GONE
    last: int = GONE
    end: int = 0
    lines: int = 0
    forms: dict[Form, int] = field(default_factory=dict)


def file_of(folder: Path, base: int) -> Path:
    return folder / f"index-{base:06d}.bin"


def bases(folder: Path) -> list[int]:
    """The versions that the index files begin with, ascending."""
    names = (path.stem.removeprefix("index-") for path in folder.glob("index-*.bin"))
    return sorted(int(name) for name in names if name.isdigit())


def base_of(folder: Path, version: int) -> int | None:
    """The file that a version is in, by what it begins with."""
    return max((base for base in bases(folder) if base <= version), default=None)


def damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}; the run cannot be resumed from here", key="checkpoint", found=str(path))


def read(folder: Path, version: int) -> tuple[Where, Journal]:
    """The table of a version. What follows it in the file, whole or cut off, is passed over."""
    base = base_of(folder, version)
    path = file_of(folder, version if base is None else base)
    if base is None:
        raise damaged(path, "there is no such file")
    where: Where = {}
    journal = Journal(base)
    try:
        for end, about, lines in _records(path.read_bytes()):
            if about["version"] > version:
                break
            for form in about["forms"]:
                journal.forms[Form.read(form)] = len(journal.forms)
            forms = list(journal.forms)
            for client, number, row in lines.tolist():
                if row == GONE:
                    where.pop(client, None)
                else:
                    where[client] = forms[number], (forms[number].size, row)
            journal.last, journal.end, journal.lines = about["version"], end, journal.lines + len(lines)
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    except (KeyError, IndexError, TypeError, ValueError, AssertionError) as error:
        raise damaged(path, f"is damaged ({error!r})") from error
    if journal.last != version:
        raise damaged(path, f"is damaged, or has no version {version}")
    return where, journal


def _records(blob: bytes) -> Iterator[tuple[int, dict[str, Any], IntMatrix]]:
    """(where it ends, what it says, lines (n, 3): client, form, row) of each record until one is not whole."""
    at = 0
    while at + HEAD.size <= len(blob):
        mark, words, rows, check = HEAD.unpack_from(blob, at)
        body = blob[at + HEAD.size : at + HEAD.size + words + rows]
        if mark != MARK or len(body) != words + rows or zlib.crc32(body) != check:
            return
        at += HEAD.size + len(body)
        yield at, json.loads(body[:words]), np.frombuffer(body[words:], "<i8").reshape(-1, 3)


def add(folder: Path, journal: Journal, version: int, where: Where, changed: Iterable[int]) -> Journal:
    """Writes a version: `changed` are the clients whose memory is another than in the version before.

    The file goes on where it can, and one that has grown to twice its need is followed by a new one, so
    that a version costs what it changes. Nothing that an earlier version needs is touched.
    """
    lines = sorted(changed)
    whole = journal.base == GONE or version < journal.last or journal.lines + len(lines) > 2 * len(where) + SPARE
    if whole:
        journal, lines = Journal(version), sorted(where)
    forms, fresh = dict(journal.forms), []
    rows = np.empty((len(lines), 3), "<i8")
    for at, client in enumerate(lines):
        rows[at] = client, GONE, GONE
        if client in where:
            form, (_, row) = where[client]
            if form not in forms:
                forms[form] = len(forms)
                fresh.append(form.arrays)
            rows[at] = client, forms[form], row
    words = json.dumps({"version": version, "forms": fresh}).encode()
    body = words + rows.tobytes()
    record = HEAD.pack(MARK, len(words), len(body) - len(words), zlib.crc32(body)) + body
    for base in bases(folder):
        if base > version:  # of a run that was killed before a checkpoint named it
            file_of(folder, base).unlink(missing_ok=True)
    path = file_of(folder, journal.base)
    written = path.with_suffix(".partial") if whole else path
    with written.open("wb" if whole else "rb+") as file:
        file.truncate(journal.end)
        file.seek(journal.end)
        file.write(record)
        file.flush()
        os.fsync(file.fileno())
    if whole:
        written.replace(path)
    _sync(folder)
    return Journal(journal.base, version, journal.end + len(record), journal.lines + len(lines), forms)


def drop(folder: Path, oldest: int) -> None:
    """Deletes the files that no version from `oldest` on needs."""
    needed = base_of(folder, oldest)
    for base in bases(folder):
        if needed is not None and base < needed:
            file_of(folder, base).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """The names of the folder, on the disk as well."""
    if os.name == "nt":
        return  # Windows opens no folders, and keeps their names by itself
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
