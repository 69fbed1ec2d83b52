"""ROUND_OPEN: everything that a round is about, in one body that all masks are bound to."""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from disue.secure.wire.header import Reader
from disue.secure.wire.names import Malformed

NONE, SKETCH, BITS, ASSIGN = 0, 1, 2, 3  # how groups are found
ALL_STARTS = 0xFFFFFFFF  # the client receives every start and chooses
OWN_START = 0xFFFFFFFE  # the client starts from its own model, which the server does not know

WEIGHT, MEMBERS, UPDATE, SQNORM, LABELS, MOMENT_COUNTS, MOMENT_SUMS, MOMENT_SECOND, EXTRA, CONTRIBUTORS = range(1, 11)
CROSS_BEFORE, CROSS_BETWEEN = 11, 12
KINDS = {
    WEIGHT: "weight", MEMBERS: "members", UPDATE: "update", SQNORM: "sqnorm", LABELS: "labels",
    MOMENT_COUNTS: "moment counts", MOMENT_SUMS: "moment sums", MOMENT_SECOND: "moment second", EXTRA: "extra",
    CONTRIBUTORS: "contributors", CROSS_BEFORE: "cross before", CROSS_BETWEEN: "cross between",
}  # fmt: skip
WEIGHTED = (UPDATE, SQNORM, EXTRA)  # these hold weight · value, so their bound is per unit of weight
# These wait for the contributors where there are two passes: what they are of leaves out classes of too few.
PER_CLASS = (LABELS, MOMENT_COUNTS, MOMENT_SUMS, MOMENT_SECOND, CROSS_BEFORE, CROSS_BETWEEN)
UNCHANGING = (*PER_CLASS, CONTRIBUTORS)  # of the same data the same every round
FRESH, STATIC = 0, 1
FEW, MANY = 64, 4096  # slices and sections, start models of a round


@dataclass(frozen=True)
class Section:
    """A part of the masked vector.

    kind    what it holds, one of `KINDS`
    policy  FRESH: of this round's training, dropouts are recovered; STATIC: summed over whole lots or not at all
    length  numbers in it
    bits    of scale: a value is sent as rint(value · 2^bits)
    bound   the largest |value| of one client, per unit of weight in update, sqnorm and extra
    """

    kind: int
    policy: int
    length: int
    bits: int
    bound: float

    SIZE: ClassVar[int] = 24

    @property
    def name(self) -> str:
        return KINDS[self.kind]

    def pack(self) -> bytes:
        return struct.pack("<HHQhHd", self.kind, self.policy, self.length, self.bits, 0, self.bound)

    @staticmethod
    def unpack(reader: Reader) -> Section:
        kind, policy, length = reader.u16("section kind"), reader.u16("section policy"), reader.u64("section length")
        bits, reserved, bound = reader.i16("section bits"), reader.u16("section reserved"), reader.f64("section bound")
        if kind not in KINDS:
            raise Malformed("section kind")
        if policy not in (FRESH, STATIC):
            raise Malformed("section policy")
        if not 1 <= length <= 2**29:
            raise Malformed("section length")
        if not 0 <= bits <= 62:
            raise Malformed("section bits")
        if reserved:
            raise Malformed("section reserved")
        if math.isinf(bound):
            raise Malformed("section bound")
        return Section(kind, policy, length, bits, bound)


@dataclass(frozen=True)
class Open:
    """The body of ROUND_OPEN.

    roster       hash of the roster
    layout       fingerprint of the model's layout
    reference    hash of the vector that ends are counted from
    similarity   NONE, SKETCH, BITS or ASSIGN
    consistency  whether holders compare the alive set before they unmask
    passes       1, or 2: contributors per class first, then what is per class
    k, m         numbers per sketch, buckets before it (0 without sketches)
    min_group    fewest alive members of a sum
    min_cell     fewest members of a group with one start
    min_class    fewest contributors of a class
    quorum       fewest clients with whom the round goes on after KEYS
    epsilon      of the randomised choice; inf: as it is
    slices       (start, length) of the parts of the update that are sketched
    sections     of the masked vector, in order
    starts       hashes of the start models
    cohort       (roster index, start) of each, ascending
    """

    roster: bytes
    layout: bytes
    reference: bytes
    similarity: int
    cohort: tuple[tuple[int, int], ...]
    sections: tuple[Section, ...] = ()
    starts: tuple[bytes, ...] = ()
    slices: tuple[tuple[int, int], ...] = ()
    k: int = 0
    m: int = 0
    min_group: int = 3
    min_cell: int = 1
    min_class: int = 3
    quorum: int = 3
    consistency: bool = True
    passes: int = 1
    epsilon: float = math.inf

    TYPE: ClassVar[int] = 2

    @cached_property
    def members(self) -> tuple[int, ...]:
        return tuple(index for index, _ in self.cohort)

    @cached_property
    def starts_of(self) -> dict[int, int]:
        """The start of each member."""
        return dict(self.cohort)

    def part(self, pass_: int) -> tuple[Section, ...]:
        """The sections of one pass."""
        if self.passes == 1:
            return self.sections
        return tuple(section for section in self.sections if (section.kind in PER_CLASS) == (pass_ == 1))

    def length(self, pass_: int) -> int:
        return sum(section.length for section in self.part(pass_))

    @property
    def static(self) -> bool:
        return any(section.policy == STATIC for section in self.sections)

    @property
    def classes(self) -> int:
        """Number of classes whose contributors are counted."""
        return next((section.length for section in self.sections if section.kind == CONTRIBUTORS), 0)

    def weight_bound(self) -> float:
        """The largest weight of a client."""
        return max((section.bound for section in self.sections if section.kind == WEIGHT), default=1.0)

    def limit(self, section: Section) -> float:
        """The largest |value| that one client may put into a section."""
        return section.bound * (self.weight_bound() if section.kind in WEIGHTED else 1.0)

    def pack(self) -> bytes:
        parts = [self.roster, self.layout, self.reference]
        parts.append(struct.pack("<BBBB", self.similarity, 64, int(self.consistency), self.passes))
        numbers = (self.k, self.m, self.min_group, self.min_cell, self.min_class, self.quorum, self.epsilon)
        parts.append(struct.pack("<6Id", *numbers))
        parts.append(struct.pack("<I", len(self.slices)))
        parts += [struct.pack("<QQ", start, length) for start, length in self.slices]
        parts.append(struct.pack("<I", len(self.sections)))
        parts += [section.pack() for section in self.sections]
        parts.append(struct.pack("<I", len(self.starts)))
        parts += self.starts
        parts.append(struct.pack("<I", len(self.cohort)))
        parts += [struct.pack("<II", index, start) for index, start in self.cohort]
        return b"".join(parts)

    @staticmethod
    def unpack(reader: Reader) -> Open:
        roster, layout, reference = (reader.take(32, field) for field in ("roster", "layout", "reference"))
        similarity, ring = reader.u8("similarity"), reader.u8("ring")
        consistency, passes = reader.u8("consistency"), reader.u8("passes")
        k, m = reader.u32("k"), reader.u32("m")
        min_group, min_cell, min_class = reader.u32("min_group"), reader.u32("min_cell"), reader.u32("min_class")
        quorum, epsilon = reader.u32("quorum"), reader.f64("epsilon")
        slices = tuple((reader.u64("slice"), reader.u64("slice")) for _ in range(reader.count(16, "slices", FEW)))
        sections = tuple(Section.unpack(reader) for _ in range(reader.count(Section.SIZE, "sections", FEW)))
        starts = tuple(reader.take(32, "start") for _ in range(reader.count(32, "starts", MANY)))
        cohort = tuple((reader.u32("cohort"), reader.u32("cohort")) for _ in range(reader.count(8, "cohort")))
        opened = Open(
            roster, layout, reference, similarity, cohort, sections, starts, slices, k, m,
            min_group, min_cell, min_class, quorum, bool(consistency), passes, epsilon,
        )  # fmt: skip
        _check(opened, ring, consistency)
        return opened


def _check(opened: Open, ring: int, consistency: int) -> None:
    """What the fields may be, each by itself and with the others; a policy is the client's matter, not the format's."""
    sketched = opened.similarity in (SKETCH, BITS)
    m = opened.m
    indices = opened.members
    starts = len(opened.starts)
    kinds = [section.kind for section in opened.sections if section.kind != EXTRA]
    length = {section.kind: section.length for section in opened.sections}
    classes = opened.classes
    rows = [length[kind] for kind in (LABELS, MOMENT_COUNTS) if kind in length]
    wrong = {
        "similarity": opened.similarity > ASSIGN,
        "ring": ring != 64,
        "consistency": consistency > 1,
        "passes": opened.passes not in (1, 2),
        "k": (opened.k % 8 != 0 or not 0 < opened.k <= 2**16) if sketched else opened.k != 0,
        "m": (m & (m - 1) != 0 or not 0 < m <= 2**24) if sketched else m != 0,
        "epsilon": opened.similarity != ASSIGN and not math.isinf(opened.epsilon),
        "slices": bool(opened.slices) != sketched or any(not 0 < n <= 2**29 or s > 2**29 for s, n in opened.slices),
        "section kind": len(set(kinds)) < len(kinds) or (opened.passes == 2) != (classes > 0),
        "sections": opened.passes == 2 and not opened.part(1),
        "section length": sum(section.length for section in opened.sections) >= 2**29
        or (classes > 0 and (any(n != classes for n in rows) or length.get(MOMENT_SUMS, 0) % classes != 0)),
        "cohort": any(a >= b for a, b in itertools.pairwise(indices)) or not indices,
        "start": any(start >= starts and start < OWN_START for _, start in opened.cohort),
    }
    # A choice is a number of a start; whoever does not choose has one.
    wrong["start"] |= any((start == ALL_STARTS) != (opened.similarity == ASSIGN) for _, start in opened.cohort)
    for field, is_so in wrong.items():
        if is_so:
            raise Malformed(field)
