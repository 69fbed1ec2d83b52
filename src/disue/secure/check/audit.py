"""A run's transcript, read as the server could have read it: what was unmasked, what was said twice, what stands in it.

The file is what `Kept.pack` makes: direction (b"u" to the server, b"d" from it), roster index u32, length u32, message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import chisquare

from disue.core.checks import Array
from disue.core.errors import UserError
from disue.secure.check.row import Row
from disue.secure.check.transcript import TO_SERVER, images, joined
from disue.secure.wire.codec import Message, decode
from disue.secure.wire.messages import Alive, Grouped, Masked, Signs, Sketch, Unmask
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import Open

FILE = "transcript.bin"
HEAD = 9
FROM_SERVER = b"d"
Entry = tuple[bytes, int, bytes]
Moment = tuple[int, int, int, int]  # round, attempt, sum, pass


def read(path: Path) -> list[Entry]:
    """(direction, roster index, message) in the order in which they went."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: no transcript ({error.strerror}); a run writes one where privacy.transcript is true", key="run"
        ) from None
    entries, at = [], 0
    while at < len(stored):
        length = int.from_bytes(stored[at + 5 : at + HEAD], "little")
        way, index = stored[at : at + 1], int.from_bytes(stored[at + 1 : at + 5], "little")
        if way not in (TO_SERVER, FROM_SERVER) or at + HEAD + length > len(stored):
            raise UserError(f"{path}: not a transcript, or cut off at byte {at}", key="run", found=at)
        entries.append((way, index, stored[at + HEAD : at + HEAD + length]))
        at += HEAD + length
    return entries


def audit(entries: Iterable[Entry], hidden: Mapping[str, Array], releases: int = 2) -> list[Row]:
    """Rows on a whole run.

    hidden    arrays of single clients that must not stand in it, such as their label counts
    releases  the most different static sums that one client may have been in
    """
    entries = list(entries)
    seen = _Seen()
    for way, index, message in entries:
        seen.take(way, index, message)
    found = images(joined(message for _, _, message in entries), hidden)
    control = images(b"".join(np.asarray(values).tobytes() for values in hidden.values()), hidden)
    names = {one.name for one in control}
    least = min(seen.p, default=1.0) * max(len(seen.p), 1)
    most = max((len(sets) for sets in seen.static.values()), default=0)
    uniform = f"bytes of {len(seen.p)} masked uploads: least p of being uniform, times their number"
    return [
        _none("messages that the format refuses", seen.broken),
        _none("second, different sketches under one seed", seen.repeated()),
        _none("sums unmasked below the floor", seen.low()),
        _none("alive sets that differ between those who were shown them", seen.split()),
        _none("members of whom one holder gave both kinds of share", seen.both()),
        Row("R", uniform, least, "> 1e-4", least > 1e-4),
        Row("R", "different static sums that one client was in", most, f"≤ {releases}", most <= releases),
        Row("R", "images of clients' arrays in all bytes", len(found), "0", not found,
            "the arrays in plain", len(names), f"all {len(hidden)}", len(names) == len(hidden)),
    ]  # fmt: skip


def _none(name: str, count: int) -> Row:
    return Row("R", name, count, "0", count == 0)


@dataclass
class _Seen:
    """What a transcript holds, by what it is about."""

    broken: int = 0
    opened: dict[tuple[int, int], Open] = field(default_factory=dict)
    groups: dict[tuple[int, int], Grouped] = field(default_factory=dict)
    sketches: dict[tuple[int, int, int], set[bytes]] = field(default_factory=lambda: defaultdict(set))
    alive: dict[Moment, set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))
    unmasked: set[Moment] = field(default_factory=set)
    kinds: dict[tuple[Moment, int, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    static: dict[int, set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))
    p: list[float] = field(default_factory=list)

    def take(self, way: bytes, index: int, raw: bytes) -> None:
        try:
            message = decode(raw, masked=len(raw))
        except Refusal:
            self.broken += 1
            return
        if way == TO_SERVER:
            self._from_client(message)
        else:
            self._from_server(message)

    def _from_server(self, message: Message) -> None:
        header, body = message.header, message.body
        if isinstance(body, Open):
            self.opened[header.round, header.attempt] = body
        elif isinstance(body, Grouped):
            self.groups[header.round, header.attempt] = body
        elif isinstance(body, Alive):
            self.alive[header.round, header.attempt, header.sum, header.pass_].add(body.members)

    def _from_client(self, message: Message) -> None:
        header, body = message.header, message.body
        if isinstance(body, Sketch | Signs):
            self.sketches[header.round, header.attempt, header.sender].add(message.raw)
        elif isinstance(body, Masked):
            counted = np.bincount(np.frombuffer(body.values.tobytes(), np.uint8), minlength=256)
            if counted.sum() >= 256 * 5:  # below, the test says nothing
                self.p.append(float(chisquare(counted).pvalue))
        elif isinstance(body, Unmask):
            moment = (header.round, header.attempt, header.sum, header.pass_)
            self.unmasked.add(moment)
            for member, kind, _ in body.shares:
                self.kinds[moment, header.sender, member].add(kind)
            self._released(moment)

    def _released(self, moment: Moment) -> None:
        """A static sum counts for every member of its lot once shares were given for it."""
        opened, groups = self.opened.get(moment[:2]), self.groups.get(moment[:2])
        if opened is None or groups is None or not opened.static or moment[2] >= len(groups.groups):
            return
        members = groups.groups[moment[2]][1]
        for member in members:
            self.static[member].add(members)

    def repeated(self) -> int:
        return sum(len(found) > 1 for found in self.sketches.values())

    def low(self) -> int:
        """Of an unmasked sum every alive set that was shown must reach the floor."""
        count = 0
        for moment in self.unmasked:
            opened = self.opened.get(moment[:2])
            floor = 3 if opened is None else opened.min_group
            count += any(len(members) < floor for members in self.alive[moment])
        return count

    def split(self) -> int:
        return sum(len(sets) > 1 for sets in self.alive.values())

    def both(self) -> int:
        return sum(len(kinds) > 1 for kinds in self.kinds.values())
