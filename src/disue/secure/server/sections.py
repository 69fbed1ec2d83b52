"""What the masked vectors of an exchange hold: sections with names, and the way back from sums to a door's answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.layout import Layout, Part
from disue.core.orders import SQUARE, Report
from disue.core.triangles import unpacked
from disue.core.uploads import Moments
from disue.secure.wire import hashes, opening
from disue.secure.wire.opening import FRESH, STATIC, Section
from disue.secure.wire.ring import Ring, decode

UPDATE = "update"
CLIENTS = 2.0**20  # samples of one class that a client may hold
MOST = 2.0**16  # weight of a client, where clients weigh by their samples
SQUARE_BITS, SQUARE_BOUND = 16, 2.0**16
FEATURE, SECOND = 2.0**20, 2.0**24  # the largest entry of one client's Σ φ, and of its Σ φ φᵀ
RING = 62  # bits of a sum's size


@dataclass(frozen=True)
class Named:
    """Sections in their order, each with the name by which a door is asked for it."""

    names: tuple[str, ...]
    sections: tuple[Section, ...]

    def read(self, total: Ring) -> dict[str, Float64]:
        """name → its sums"""
        out, at = {}, 0
        for name, section in zip(self.names, self.sections, strict=True):
            out[name] = decode(total[at : at + section.length], section.bits)
            at += section.length
        return out

    def read_passes(self, first: Sequence[Float64], second: Sequence[Float64]) -> dict[str, Float64]:
        """name → its sums, where what is per class came in a second pass."""
        late = [section.kind in opening.PER_CLASS for section in self.sections]
        passes = (iter(first), iter(second))
        return {name: next(passes[late[at]]) for at, name in enumerate(self.names)}


def training(layout: Layout, report: Report, sizes: Mapping[str, int], bound: float, bits: int) -> Named:
    """Of an exchange in which clients train: weight, members, update, and the extras that are summed."""
    most = 1.0 if report.weights == "uniform" else MOST
    names = ["weight", "members", UPDATE]
    out = [
        Section(opening.WEIGHT, FRESH, 1, 0, most),
        Section(opening.MEMBERS, FRESH, 1, 0, 1.0),
        Section(opening.UPDATE, FRESH, layout.d, bits, bound),
    ]
    for name in report.extras:
        names.append(name)
        if name == SQUARE:
            out.append(Section(opening.SQNORM, FRESH, 1, SQUARE_BITS, SQUARE_BOUND))
        else:
            out.append(Section(opening.EXTRA, FRESH, sizes[name], bits, bound))
    return Named(tuple(names), tuple(out))


def holders(classes: int) -> Section:
    """How many clients hold a class: the first pass of everything that is per class."""
    return Section(opening.CONTRIBUTORS, STATIC, classes, 0, 1.0)


def counts(classes: int) -> Named:
    """Of a lot: how many samples of each class there are."""
    return Named(("holders", "counts"), (holders(classes), Section(opening.LABELS, STATIC, classes, 0, CLIENTS)))


def scale(bound: float, members: int) -> int:
    """As many bits behind the point as the sum of so many leaves room for."""
    return RING - math.ceil(math.log2(bound)) - max(members - 1, 1).bit_length()


def moments(classes: int, features: int, members: int, *, per_class: bool, crossed: bool) -> Named:
    """Of a lot of so many members: counts, Σ φ by class, Σ φ φᵀ as upper triangles, and what transport needs."""
    feature, second = scale(FEATURE, members), scale(SECOND, members)
    upper = features * (features + 1) // 2
    names = ["holders", "counts", "sums", "second"]
    out = [
        holders(classes),
        Section(opening.MOMENT_COUNTS, STATIC, classes, 0, CLIENTS),
        Section(opening.MOMENT_SUMS, STATIC, classes * features, feature, FEATURE),
        Section(opening.MOMENT_SECOND, STATIC, (classes if per_class else 1) * upper, second, SECOND),
    ]
    if crossed:
        names += ["xx", "xy"]
        square = (features + 1) * (features + 2) // 2
        out.append(Section(opening.CROSS_BEFORE, STATIC, square, second, SECOND))
        out.append(Section(opening.CROSS_BETWEEN, STATIC, (features + 1) * features, second, SECOND))
    return Named(tuple(names), tuple(out))


def as_moments(
    lots: IntVector,
    found: Sequence[Mapping[str, Float64]],
    classes: int,
    features: int,
    *,
    per_class: bool,
    crossed: bool,
) -> Moments:
    """The sums of some lots, a row for each; what transport needs is summed over all."""
    g, f = lots.size, features
    leading = (classes,) if per_class else ()
    second = np.zeros((g, *leading, f, f))
    xx, xy = np.zeros((f + 1, f + 1)), np.zeros((f + 1, f))
    for row, sums in enumerate(found):
        second[row] = unpacked(sums["second"], f, leading)
        if crossed:
            xx += unpacked(sums["xx"], f + 1)
            xy += sums["xy"].reshape(f + 1, f)
    by_class = [sums["sums"].reshape(classes, f) for sums in found]
    return Moments(
        lots,
        np.array([np.rint(sums["counts"]) for sums in found], np.int64).reshape(g, classes),
        np.array(by_class).reshape(g, classes, f),
        second,
        xx if crossed else None,
        xy if crossed else None,
    )


def fingerprint(layout: Layout, parts: Sequence[Part] = ()) -> bytes:
    """Of the model's layout and of the parts that are compared: 32 bytes that both sides work out."""
    words = "\n".join([layout.fingerprint, *(",".join(part.patterns) + ":" + part.kind for part in parts)])
    return hashes.H("layout", words.encode())
