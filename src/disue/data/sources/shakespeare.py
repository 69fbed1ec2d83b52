"""Shakespeare, next-character prediction: 80 characters in, the next one out; clients are the roles.

Two forms are read: LEAF's JSON (train/*.json, test/*.json), and the plain text of some plays
("tinyshakespeare"), cut here into windows that start every 10 characters. Characters are numbered by LEAF's
alphabet of 80; windows with any other character are left out, so are roles of fewer than 64 characters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from disue.core.checks import Array, IntVector
from disue.core.errors import UserError
from disue.data.dataset import Dataset
from disue.data.sources import facts
from disue.data.sources.files import broken, exists, hashes, roots, unreadable

TEXT = "tinyshakespeare.txt"
WINDOW, STRIDE, SHORTEST_ROLE = 80, 10, 64
PLAIN_ROLE = 1_000  # characters that a role needs in the plain text, which has no list of roles
_CODE = np.full(0x110000, -1, np.int16)
_CODE[[ord(c) for c in facts.ALPHABET]] = np.arange(len(facts.ALPHABET))
Samples = tuple[Array, IntVector]


def find(folder: Path, whole: bool) -> list[Path] | None:
    """LEAF's JSON files, training first; else the one plain text."""
    del whole
    for root in roots(folder, ("leaf_shakespeare", "shakespeare")):
        parts = [sorted((root / split).glob("*.json")) for split in ("train", "test")]
        if all(parts):
            return [*parts[0], *parts[1]]
    for root in roots(folder, ("shakespeare",)):
        if exists(root / TEXT):
            return [root / TEXT]
    return None


def read(paths: list[Path]) -> Dataset:
    """The set from `find`'s files. Client ids are the ranks of the roles among their sorted names."""
    if len(paths) == 1:
        roles = windows(plays(_text(paths[0])))
    else:
        train, test = (_leaf([p for p in paths if p.parent.name == split]) for split in ("train", "test"))
        roles = {
            name: (train[name], test.get(name, _none())) for name in train if _characters(train[name]) >= SHORTEST_ROLE
        }
    names = sorted(name for name, (train_, _) in roles.items() if len(train_[1]))
    if not names:
        raise broken(paths[0], f"no role of at least {SHORTEST_ROLE} characters")
    known = facts.FACTS["shakespeare"]
    x, y, owner = [], [], []
    for part in (0, 1):
        x.append(np.concatenate([roles[name][part][0] for name in names]))
        y.append(np.concatenate([roles[name][part][1] for name in names]))
        owner.append(np.repeat(np.arange(len(names)), [len(roles[name][part][1]) for name in names]))
    return Dataset(
        name="shakespeare",
        x_train=x[0],
        y_train=y[0],
        x_test=x[1],
        y_test=y[1],
        classes=known.classes,
        kind="text",
        client_train=owner[0],
        client_test=owner[1],
        labels=known.labels,
        variant="official",
        files=hashes(paths),
        citation=known.citation,
        note="from the plain text of some plays, windows every 10 characters" if len(paths) == 1 else "LEAF's JSON",
    )


def encode(text: str) -> Array:
    """(len(text),) int16: the place of every character in the alphabet, −1 for one that is not in it."""
    return _CODE[np.frombuffer(text.encode("utf-32-le"), np.uint32)]


def plays(text: str) -> dict[str, str]:
    """role → all its lines. A speech is a block with first line "NAME:"; empty lines part the blocks.

    Kept are names in capitals with at least `PLAIN_ROLE` characters; generic roles ("First Citizen") are not
    in capitals and mix plays.
    """
    speeches: dict[str, list[str]] = {}
    for block in text.replace("\r\n", "\n").split("\n\n"):
        name, _, lines = block.strip("\n").partition("\n")
        if name.endswith(":") and name == name.upper() and lines:
            speeches.setdefault(name[:-1], []).append(lines)
    joined = {name: "\n".join(said) for name, said in sorted(speeches.items())}
    return {name: said for name, said in joined.items() if len(said) >= PLAIN_ROLE}


def windows(roles: Mapping[str, str]) -> dict[str, tuple[Samples, Samples]]:
    """role → (training, test) windows: the first 80 % of its text, and those wholly inside the last 20 %."""
    out = {}
    for name, text in roles.items():
        codes = encode(text)
        cut = int(0.8 * len(codes))
        out[name] = (_windows(codes[:cut]), _windows(codes[cut:]))
    return out


def _windows(codes: Array) -> Samples:
    if len(codes) <= WINDOW:
        return _none()
    all_ = np.lib.stride_tricks.sliding_window_view(codes, WINDOW + 1)[::STRIDE]
    good = all_[(all_ >= 0).all(1)]
    return good[:, :WINDOW].astype(np.uint8), good[:, WINDOW].astype(np.int64)


def _none() -> Samples:
    return np.zeros((0, WINDOW), np.uint8), np.zeros(0, np.int64)


def _characters(samples: Samples) -> int:
    """How long the text is that these windows, one a character, were cut from."""
    return WINDOW + len(samples[1]) if len(samples[1]) else 0


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise broken(path, "not UTF-8 text") from error


def _leaf(paths: list[Path]) -> dict[str, Samples]:
    """role → windows, over all files of one split."""
    out: dict[str, Samples] = {}
    for path in paths:
        try:
            users = json.loads(_text(path))["user_data"]
            for name, data in users.items():
                x, y = list(data["x"]), list(data["y"])
                if len(x) != len(y) or any(len(s) != WINDOW for s in x) or any(len(s) != 1 for s in y):
                    raise UserError(
                        f"{path}: the samples of {name} are not {WINDOW} characters and one",
                        key="path",
                        found=name,
                    )
                codes = encode("".join(a + b for a, b in zip(x, y, strict=True))).reshape(-1, WINDOW + 1)
                codes = codes[(codes >= 0).all(1)]
                more = codes[:, :WINDOW].astype(np.uint8), codes[:, WINDOW].astype(np.int64)
                before = out.get(name, _none())
                out[name] = np.concatenate([before[0], more[0]]), np.concatenate([before[1], more[1]])
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise broken(path, "not LEAF's JSON with user_data, x and y") from error
    return out
