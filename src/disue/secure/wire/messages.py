"""The bodies of messages, one frozen dataclass per type, each with one encoding.

type             from → to  body (n cohort, h holders, g groups; every list is preceded by its length, u32)
 1 ROSTER        A → all    version u64, epoch u64, N × (client id 16, key 32), ascending ids
 2 ROUND_OPEN    S → C      see opening.py
 3 KEYS          C → S      box key 32, passes × mask key 32
 4 KEYS_LIST     S → C      n × whole KEYS message
 5 SEED          C → S      n − 1 × (recipient u32, salt 16, box 48)
 6 SEED_RELAY    S → C      leaders × (leader u32, salt 16, box 48); none where clients choose
 7 SKETCH        C → S      confirmation 16, slices × (k u32, k × i16)
 8 CHOICE        C → S      choice u32, epsilon f64
 9 GROUPS        S → C      g × (group id u32, members u32 …), holders u32 …
10 SHARES        C → S      h × (recipient u32, salt 16, box 66·passes + 16)
11 SHARES_RELAY  S → C      members present u32 …, boxes × (member u32, salt 16, box)
12 MASKED        C → S      length u64, length × u64
13 ALIVE         S → C      indices u32 …
14 ALIVE_SIG     C → S      hash of the ALIVE body 32
15 ALIVE_PROOF   S → C      whole ALIVE_SIG messages
16 UNMASK        C → S      × (member u32, kind u8: 0 self seed, 1 mask key, share 33)
17 CLOSE         S → C      result hash 32, counts u64 …
18 ABORT         both       code u16, culprit u32
19 SIGNS         C → S      as SKETCH with k bits: confirmation 16, slices × (k u32, k/8 bytes)

Messages of clients, and ROSTER, end with 64 bytes of Ed25519. Those of the server carry no signature: what matters in
them is bound by the context hash.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from disue.secure.wire.header import MOST, NO_SUM, SIZE, Reader, listed
from disue.secure.wire.names import REFUSALS, Malformed
from disue.secure.wire.opening import Open

SALT = 16
SIGNATURE = 64
TAG = 16
SHARE = 33
SELF_SEED, MASK_KEY = 0, 1
NOBODY = 0xFFFFFFFF


class Body(Protocol):
    """A body knows its type, its bytes, and how it is read from them."""

    TYPE: ClassVar[int]

    def pack(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """A box with the salt of its single-use key; `peer` is whom it is for, or, in a relay, whom it is from."""

    peer: int
    salt: bytes
    box: bytes

    def pack(self) -> bytes:
        return struct.pack("<I", self.peer) + self.salt + self.box


def _sealed(reader: Reader, size: int, field: str) -> tuple[Sealed, ...]:
    """A counted list with ascending peers."""
    count = reader.count(4 + SALT + size, field)
    found = tuple(Sealed(reader.u32(field), reader.take(SALT, field), reader.take(size, field)) for _ in range(count))
    if any(a.peer >= b.peer for a, b in itertools.pairwise(found)):
        raise Malformed(field)
    return found


def _share_box(reader: Reader, field: str) -> int:
    """Bytes of a share box: 66 a pass and the tag, as many passes as fill what is left."""
    start = reader.at
    count = reader.u32(field)
    left, reader.at = reader.left, start
    if count == 0:
        return 0
    size, rest = divmod(left, count)
    size -= 4 + SALT
    if rest or size <= TAG or (size - TAG) % (2 * SHARE):
        raise Malformed(field)
    return size


def _whole(reader: Reader, field: str) -> tuple[bytes, ...]:
    """A counted list of whole signed messages, cut by the lengths in their headers and not looked into further."""
    found = []
    for _ in range(reader.count(SIZE + SIGNATURE, field)):
        header = reader.take(SIZE, field)
        length = int.from_bytes(header[24:28], "little")
        found.append(header + reader.take(length + SIGNATURE, field))
    return tuple(found)


@dataclass(frozen=True)
class RosterBody:
    version: int
    epoch: int
    ids: tuple[bytes, ...]
    keys: tuple[bytes, ...]

    TYPE: ClassVar[int] = 1

    def pack(self) -> bytes:
        entries = b"".join(name + key for name, key in zip(self.ids, self.keys, strict=True))
        return struct.pack("<QQI", self.version, self.epoch, len(self.ids)) + entries

    @staticmethod
    def unpack(reader: Reader) -> RosterBody:
        version, epoch = reader.u64("version"), reader.u64("epoch")
        entries = [(reader.take(16, "id"), reader.take(32, "key")) for _ in range(reader.count(48, "entries"))]
        ids, keys = tuple(name for name, _ in entries), tuple(key for _, key in entries)
        if any(a >= b for a, b in itertools.pairwise(ids)):
            raise Malformed("id")
        return RosterBody(version, epoch, ids, keys)


@dataclass(frozen=True)
class Keys:
    box: bytes
    masks: tuple[bytes, ...]

    TYPE: ClassVar[int] = 3

    def pack(self) -> bytes:
        return self.box + struct.pack("<I", len(self.masks)) + b"".join(self.masks)

    @staticmethod
    def unpack(reader: Reader) -> Keys:
        box = reader.take(32, "box key")
        return Keys(box, tuple(reader.take(32, "mask key") for _ in range(reader.count(32, "passes"))))


@dataclass(frozen=True)
class KeysList:
    messages: tuple[bytes, ...]

    TYPE: ClassVar[int] = 4

    def pack(self) -> bytes:
        return struct.pack("<I", len(self.messages)) + b"".join(self.messages)

    @staticmethod
    def unpack(reader: Reader) -> KeysList:
        return KeysList(_whole(reader, "keys"))


@dataclass(frozen=True)
class Seed:
    boxes: tuple[Sealed, ...]

    TYPE: ClassVar[int] = 5

    def pack(self) -> bytes:
        return struct.pack("<I", len(self.boxes)) + b"".join(box.pack() for box in self.boxes)

    @staticmethod
    def unpack(reader: Reader) -> Seed:
        return Seed(_sealed(reader, 32 + TAG, "boxes"))


@dataclass(frozen=True)
class SeedRelay:
    boxes: tuple[Sealed, ...]

    TYPE: ClassVar[int] = 6

    def pack(self) -> bytes:
        return struct.pack("<I", len(self.boxes)) + b"".join(box.pack() for box in self.boxes)

    @staticmethod
    def unpack(reader: Reader) -> SeedRelay:
        return SeedRelay(_sealed(reader, 32 + TAG, "boxes"))


@dataclass(frozen=True)
class Sketch:
    """values  per slice the little-endian int16 of a sketch; −32768 is no value of one"""

    confirmation: bytes
    values: tuple[bytes, ...]

    TYPE: ClassVar[int] = 7

    def pack(self) -> bytes:
        parts = [struct.pack("<I", len(value) // 2) + value for value in self.values]
        return self.confirmation + struct.pack("<I", len(parts)) + b"".join(parts)

    @staticmethod
    def unpack(reader: Reader) -> Sketch:
        confirmation = reader.take(16, "confirmation")
        values = tuple(reader.take(2 * reader.count(2, "sketch"), "sketch") for _ in range(reader.count(4, "slices")))
        if any((np.frombuffer(value, "<i2") == -32768).any() for value in values):
            raise Malformed("sketch")
        return Sketch(confirmation, values)


@dataclass(frozen=True)
class Signs:
    """values  per slice the packed bits of a sketch"""

    confirmation: bytes
    values: tuple[bytes, ...]

    TYPE: ClassVar[int] = 19

    def pack(self) -> bytes:
        parts = [struct.pack("<I", 8 * len(value)) + value for value in self.values]
        return self.confirmation + struct.pack("<I", len(parts)) + b"".join(parts)

    @staticmethod
    def unpack(reader: Reader) -> Signs:
        confirmation = reader.take(16, "confirmation")
        values = []
        for _ in range(reader.count(4, "slices")):
            k = reader.u32("bits")
            if k % 8:
                raise Malformed("bits")
            values.append(reader.take(k // 8, "bits"))
        return Signs(confirmation, tuple(values))


@dataclass(frozen=True)
class Choice:
    choice: int
    epsilon: float

    TYPE: ClassVar[int] = 8

    def pack(self) -> bytes:
        return struct.pack("<Id", self.choice, self.epsilon)

    @staticmethod
    def unpack(reader: Reader) -> Choice:
        return Choice(reader.u32("choice"), reader.f64("epsilon"))


@dataclass(frozen=True)
class Grouped:
    """groups  (group id, members) with ascending ids; the position in this list is the sum's id"""

    groups: tuple[tuple[int, tuple[int, ...]], ...]
    holders: tuple[int, ...]

    TYPE: ClassVar[int] = 9

    def sum_of(self, index: int) -> int | None:
        """The sum that a client is in."""
        return next((at for at, (_, members) in enumerate(self.groups) if index in members), None)

    def pack(self) -> bytes:
        parts = [struct.pack("<I", number) + listed(members) for number, members in self.groups]
        return struct.pack("<I", len(parts)) + b"".join(parts) + listed(self.holders)

    @staticmethod
    def unpack(reader: Reader) -> Grouped:
        groups: list[tuple[int, tuple[int, ...]]] = []
        room = MOST
        for _ in range(reader.count(8, "groups", NO_SUM - 1)):
            groups.append((reader.u32("group id"), reader.increasing("members", room)))
            room -= len(groups[-1][1])
        if any(a >= b for (a, _), (b, _) in itertools.pairwise(groups)):
            raise Malformed("groups")
        members = {index for _, found in groups for index in found}
        if len(members) < MOST - room or any(not found for _, found in groups):
            raise Malformed("members")
        return Grouped(tuple(groups), reader.increasing("holders"))


@dataclass(frozen=True)
class Shares:
    boxes: tuple[Sealed, ...]

    TYPE: ClassVar[int] = 10

    def pack(self) -> bytes:
        return struct.pack("<I", len(self.boxes)) + b"".join(box.pack() for box in self.boxes)

    @staticmethod
    def unpack(reader: Reader) -> Shares:
        return Shares(_sealed(reader, _share_box(reader, "boxes"), "boxes"))


@dataclass(frozen=True)
class SharesRelay:
    """present  members of the group whose shares came; boxes  theirs for this holder, none for who holds none"""

    present: tuple[int, ...]
    boxes: tuple[Sealed, ...]

    TYPE: ClassVar[int] = 11

    def pack(self) -> bytes:
        return listed(self.present) + struct.pack("<I", len(self.boxes)) + b"".join(box.pack() for box in self.boxes)

    @staticmethod
    def unpack(reader: Reader) -> SharesRelay:
        present = reader.increasing("present")
        return SharesRelay(present, _sealed(reader, _share_box(reader, "boxes"), "boxes"))


@dataclass(frozen=True, eq=False)
class Masked:
    values: NDArray[np.uint64]

    TYPE: ClassVar[int] = 12

    def pack(self) -> bytes:
        return struct.pack("<Q", len(self.values)) + np.ascontiguousarray(self.values, "<u8").tobytes()

    @staticmethod
    def unpack(reader: Reader) -> Masked:
        length = reader.u64("length")
        if 8 * length != reader.left:
            raise Malformed("length")
        return Masked(np.frombuffer(reader.view(8 * length, "values"), "<u8"))


@dataclass(frozen=True)
class Alive:
    members: tuple[int, ...]

    TYPE: ClassVar[int] = 13

    def pack(self) -> bytes:
        return listed(self.members)

    @staticmethod
    def unpack(reader: Reader) -> Alive:
        return Alive(reader.increasing("alive"))


@dataclass(frozen=True)
class AliveSig:
    seen: bytes

    TYPE: ClassVar[int] = 14

    def pack(self) -> bytes:
        return self.seen

    @staticmethod
    def unpack(reader: Reader) -> AliveSig:
        return AliveSig(reader.take(32, "hash"))


@dataclass(frozen=True)
class AliveProof:
    messages: tuple[bytes, ...]

    TYPE: ClassVar[int] = 15

    def pack(self) -> bytes:
        return struct.pack("<I", len(self.messages)) + b"".join(self.messages)

    @staticmethod
    def unpack(reader: Reader) -> AliveProof:
        return AliveProof(_whole(reader, "signatures"))


@dataclass(frozen=True)
class Unmask:
    """shares  (member, SELF_SEED or MASK_KEY, 33 bytes), one per member, ascending"""

    shares: tuple[tuple[int, int, bytes], ...]

    TYPE: ClassVar[int] = 16

    def pack(self) -> bytes:
        parts = [struct.pack("<IB", member, kind) + share for member, kind, share in self.shares]
        return struct.pack("<I", len(parts)) + b"".join(parts)

    @staticmethod
    def unpack(reader: Reader) -> Unmask:
        count = reader.count(5 + SHARE, "shares")
        shares = tuple((reader.u32("member"), reader.u8("kind"), reader.take(SHARE, "share")) for _ in range(count))
        if any(a[0] >= b[0] for a, b in itertools.pairwise(shares)):
            raise Malformed("member")
        if any(kind not in (SELF_SEED, MASK_KEY) for _, kind, _ in shares):
            raise Malformed("kind")
        return Unmask(shares)


@dataclass(frozen=True)
class Close:
    """result  hash of the sum; counts  the sum itself where the next pass needs it"""

    result: bytes
    counts: tuple[int, ...]

    TYPE: ClassVar[int] = 17

    def pack(self) -> bytes:
        return self.result + struct.pack(f"<I{len(self.counts)}Q", len(self.counts), *self.counts)

    @staticmethod
    def unpack(reader: Reader) -> Close:
        result = reader.take(32, "result")
        count = reader.count(8, "counts")
        return Close(result, struct.unpack(f"<{count}Q", reader.view(8 * count, "counts")))


@dataclass(frozen=True)
class Abort:
    """code  of a refusal; culprit  roster index, or NOBODY"""

    code: int
    culprit: int

    TYPE: ClassVar[int] = 18

    def pack(self) -> bytes:
        return struct.pack("<HI", self.code, self.culprit)

    @staticmethod
    def unpack(reader: Reader) -> Abort:
        code, culprit = reader.u16("code"), reader.u32("culprit")
        if not 1 <= code <= len(REFUSALS):
            raise Malformed("code")
        return Abort(code, culprit)


AnyBody: TypeAlias = (
    RosterBody | Open | Keys | KeysList | Seed | SeedRelay | Sketch | Signs | Choice | Grouped | Shares | SharesRelay
    | Masked | Alive | AliveSig | AliveProof | Unmask | Close | Abort
)  # fmt: skip
BODIES: tuple[type[AnyBody], ...] = (
    RosterBody, Open, Keys, KeysList, Seed, SeedRelay, Sketch, Choice, Grouped, Shares, SharesRelay, Masked, Alive,
    AliveSig, AliveProof, Unmask, Close, Abort, Signs,
)  # fmt: skip
BY_TYPE = {body.TYPE: body for body in BODIES}
NAMES = {
    1: "ROSTER", 2: "ROUND_OPEN", 3: "KEYS", 4: "KEYS_LIST", 5: "SEED", 6: "SEED_RELAY", 7: "SKETCH", 8: "CHOICE",
    9: "GROUPS", 10: "SHARES", 11: "SHARES_RELAY", 12: "MASKED", 13: "ALIVE", 14: "ALIVE_SIG", 15: "ALIVE_PROOF",
    16: "UNMASK", 17: "CLOSE", 18: "ABORT", 19: "SIGNS",
}  # fmt: skip
FROM_CLIENTS = frozenset({3, 5, 7, 8, 10, 12, 14, 16, 19})
OF_A_SUM = frozenset({10, 11, 12, 13, 14, 15, 16, 17})

_PHASES = {
    5: "seed", 6: "seed", 7: "sketch", 8: "sketch", 19: "sketch", 9: "grouping", 10: "shares", 11: "shares",
    12: "masks", 13: "unmask", 14: "unmask", 15: "unmask", 16: "unmask", 17: "unmask",
}  # fmt: skip


def phase_of(message: bytes) -> str:
    """To which part of a round's cost a message counts; what is no message, to the first."""
    return _PHASES.get(message[5], "keys") if len(message) > 5 else "keys"
