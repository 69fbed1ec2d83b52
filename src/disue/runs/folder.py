"""What a run leaves behind, in open formats; every file appears whole or not at all.

spec.toml      the resolved spec, itself a spec      partition.npz  who has which samples
env.json       versions, machine, data, model        events.csv     sentences, by round
rounds.csv     a row a round                         clients.csv    a row a client and evaluation
groups.csv     a row a group and evaluation          arrays.npz     what the report draws
summary.json   metrics and totals                    checkpoint/    the state, to resume and to use
track.json     how trackers call this run             attack.json    who lies, and how
report.html    all of it, to look at                  clients/      columns, where clients are many
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from disue.core.checks import Array
from disue.core.errors import UserError, unwritable
from disue.core.npz import Unreadable, read_npz

FORMAT = 2  # 1 had the clients' memories in other files, and nothing else that is different
READS = (1, 2)
LISTED = 1000  # clients in clients.csv; of more, each evaluation is a compressed file of columns in CLIENTS
CLIENTS = "clients"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems that know none
UNFINISHED = ".disue-partial"  # how a file's name ends until it is whole
FIRST = (
    "round",
    "seconds_local",
    "seconds_server",
    "seconds_expert",
    "seconds_evaluate",
    "bytes_up",
    "bytes_down",
    "client_seconds",
    "cohort",
    "answered",
)
Row = dict[str, Any]


def write(path: Path, put: Callable[[IO[bytes]], object]) -> None:
    """Writes to a temporary name, syncs, renames; a full disk or a closed folder is one sentence."""
    handle, name = -1, ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            put(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if name and os.path.exists(name):  # whatever ended it, Ctrl-C among that
            os.unlink(name)


def write_text(path: Path, text: str) -> None:
    write(path, lambda file: file.write(text.encode()))


def table(rows: Sequence[Row], first: Iterable[str] = ()) -> str:
    """CSV of dictionaries; columns in `first`, then in order of appearance. Floats keep every bit."""
    columns = list(first)
    for row in rows:
        columns += [name for name in row if name not in columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name, "")) for name in columns])
    return out.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return str(value)


def read_table(path: Path) -> list[Row]:
    """Rows with numbers as int or float, empty cells left out."""
    if not path.exists():
        return []
    try:
        with path.open(newline="") as file:
            return [{k: _number(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error, TypeError) as error:
        raise UserError(f"{path}: is no table that a run wrote ({error})", key="run") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a .json file of a run."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})", key="run") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no object", key="run")
    return found


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


class Claim(Protocol):
    """A right to a run's folder that can be lost to another process while this one is away: a study's lease."""

    @property
    def name(self) -> str: ...

    def check(self) -> None:
        """Raises where the right is lost; called before anything is written."""
        ...


def hold(path: Path, taken: str, by: str = "") -> IO[str] | None:
    """Locks a file until it is closed or the process ends, however it ends; raises `UserError(taken)` where another
    process holds it. None where the system or the disk has no such locks.

    by  the name of a claim. It outranks the lock of an earlier claim, whose process is stopped or out of reach
    """
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            file = path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                claimed = file.read()
                file.close()
                if not by or not claimed:
                    raise UserError(taken, key="out") from None
                path.unlink(missing_ok=True)
                continue
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.close()  # another process has just put a new one in its place
                continue
            file.truncate(0)
            file.write(by)
            file.flush()
        except OSError as error:
            if error.errno in NO_LOCKS:
                return None
            raise unwritable(path, error) from error
        return file


class Folder:
    """A run's folder being written. Rows are kept in memory for rounds, appended for clients and groups.

    claim  checked before every write. None: the folder is this process's as long as it holds the lock
    """

    def __init__(self, path: Path, claim: Claim | None = None) -> None:
        self.path, self.claim = path, claim
        self.rounds: list[Row] = read_table(path / "rounds.csv")
        self.events: list[Row] = read_table(path / "events.csv")
        self.arrays: dict[str, Array] = {}
        if (path / "arrays.npz").exists():
            try:
                self.arrays = read_npz(path / "arrays.npz")
            except Unreadable as error:
                raise UserError(f"{path / 'arrays.npz'} is damaged ({error}); delete it to go on", key="run") from error

    @staticmethod
    def fresh(path: Path, claim: Claim | None = None) -> Folder:
        """A new folder; one that already holds a run is refused, so that nothing is lost."""
        if (path / "spec.toml").exists() and read_table(path / "rounds.csv"):
            raise UserError(
                f"{path} already holds a run; resume it (disue resume {path}) or give another --out", key="out"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        return Folder(path, claim)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Refuses a folder that another process writes to. The lock ends with the process, however it ends.

        Under the lock, what `write` had not finished when a process was killed is deleted.
        """
        self.check()
        by = "" if self.claim is None else self.claim.name
        lock = hold(self.path / ".lock", f"{self.path}: another process is writing this run", by)
        try:
            for folder in (self.path, self.path / "checkpoint", self.path / CLIENTS):
                for path in folder.glob(f".*{UNFINISHED}"):
                    path.unlink(missing_ok=True)
            yield
        finally:
            if lock is not None:
                lock.close()

    def check(self) -> None:
        """Raises where this process may not write here any more."""
        if self.claim is not None:
            self.claim.check()

    def row(self, row: Row) -> None:
        """Adds a round's row; rounds.csv is rewritten whole, as columns may be new."""
        self.check()
        self.rounds.append(row)
        write_text(self.path / "rounds.csv", table(self.rounds, FIRST))

    def event(self, round: int, text: str) -> None:
        self.check()
        self.events.append({"round": round, "event": text})
        write_text(self.path / "events.csv", table(self.events, ("round", "event")))

    def append(self, name: str, rows: Sequence[Row]) -> None:
        """Adds rows to `name`.csv. New columns make the file be rewritten."""
        if not rows:
            return
        self.check()
        path = self.path / f"{name}.csv"
        header = None
        if path.exists():
            with path.open(newline="") as file:
                header = next(csv.reader(file), None)
        if header is None or any(set(row) - set(header) for row in rows):
            write_text(path, table(read_table(path) + list(rows), header or ()))
            return
        try:
            with path.open("a", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([_cell(row.get(column, "")) for column in header] for row in rows)
        except OSError as error:
            raise unwritable(path, error) from error

    def clients(self, round: int, columns: Mapping[str, Array]) -> None:
        """An evaluation's columns (n,): rows of clients.csv, or of more than `LISTED` clients a file of their own."""
        self.check()
        n = len(columns["client"])
        if n > LISTED:
            named: Any = {k: v for k, v in columns.items() if v.dtype.kind != "f" or np.isfinite(v).any()}
            write(self.path / CLIENTS / f"round-{round:05d}.npz", lambda file: np.savez_compressed(file, **named))
            return
        kept = {name: (values.tolist(), np.isfinite(values).tolist()) for name, values in columns.items()}
        self.append(
            "clients",
            [{"round": round} | {name: v[at] for name, (v, there) in kept.items() if there[at]} for at in range(n)],
        )

    def keep(self, arrays: Mapping[str, Array]) -> None:
        """Replaces the named arrays that the report draws."""
        if arrays:
            self.check()
            self.arrays.update(arrays)
            named: Any = self.arrays
            write(self.path / "arrays.npz", lambda file: np.savez_compressed(file, **named))

    def json(self, name: str, value: object) -> None:
        self.check()
        write_text(self.path / name, json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n")

    def back_to(self, round: int) -> None:
        """Drops everything after a round: what a killed run wrote beyond its last checkpoint."""
        self.check()
        if [row.get("round") for row in self.rounds[: round + 1]] != list(range(round + 1)):
            raise UserError(
                f"{self.path / 'rounds.csv'}: is damaged: it should hold a row for each of the rounds 0 … {round}",
                key="run",
            )
        self.rounds = self.rounds[: round + 1]
        self.events = [row for row in self.events if int(row["round"]) <= round]
        write_text(self.path / "rounds.csv", table(self.rounds, FIRST))
        write_text(self.path / "events.csv", table(self.events, ("round", "event")))
        for path in (self.path / CLIENTS).glob("round-*.npz"):
            if int(path.stem.removeprefix("round-")) > round:
                path.unlink()
        for name in ("clients", "groups", "privacy"):
            path = self.path / f"{name}.csv"
            if path.exists():
                whole, _, torn = path.read_bytes().rpartition(b"\n")
                if torn:  # killed while a line was being added
                    write(path, lambda file, whole=whole: file.write(whole + b"\n"))  # type: ignore[misc]
                rows = read_table(path)
                kept = [row for row in rows if int(row.get("round", round + 1)) <= round]
                write_text(path, table(kept, list(rows[0]) if rows else ()))


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
