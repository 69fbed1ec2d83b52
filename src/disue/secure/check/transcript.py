"""13: does anything of a single client stand in the bytes that reached the server?

Two searches. `images` looks for the bytes of given arrays as they would be written: float32, float64, integers, fixed
point. `likeness` correlates the signs of every window of the stream with an array, so that scaled or noisy copies are
found as well; floats and integers carry their sign in the same bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from disue.core.checks import Array, Float64
from disue.core.streams import Streams
from disue.secure.check.cohort import Cohort
from disue.secure.check.row import Row
from disue.secure.wire.ring import encode

TO_SERVER = b"u"
LEAST = 12  # bytes of the shortest image that is looked for: a single number stands anywhere
WHOLE = 1024  # bytes up to which an image is looked for in one piece
PIECE = 32
PROBES = 64
SMALL = 1 << 20  # an integer below is a count or an index; of floats only what is next to zero
CHUNK = 1 << 20  # bytes of a stream that are looked at in one go
TABLE = 22  # 2^22 places: of a million words, few that are not looked for meet a place that is taken


@dataclass(frozen=True)
class Found:
    """`name` stands in the stream at `offset`, written as `kind`."""

    name: str
    kind: str
    offset: int


def images(stream: bytes, hidden: Mapping[str, Array], bits: Sequence[int] = (32,)) -> list[Found]:
    """Where pieces of arrays stand in a stream, one entry per array and way of writing it.

    hidden  what must not be there; images shorter than 12 bytes, and zeros, would be found anywhere and are left out
    bits    scales of the fixed point
    """
    needles = _Needles()
    for name, values in hidden.items():
        for kind, image in _written(np.ravel(values), bits):
            for piece in _pieces(image):
                needles.add(name, kind, piece)
    return needles.found(stream)


class _Needles:
    """Many byte strings that are looked for at once, by eight bytes of each that differ most among themselves."""

    def __init__(self) -> None:
        self.by_key: dict[int, list[tuple[str, str, bytes, int]]] = {}

    def add(self, name: str, kind: str, piece: bytes) -> None:
        at = max(range(0, len(piece) - 7, 4), key=lambda start: len(set(piece[start : start + 8])))
        key = int.from_bytes(piece[at : at + 8], "little")
        self.by_key.setdefault(key, []).append((name, kind, piece, at))

    def found(self, stream: bytes) -> list[Found]:
        keys = np.array(sorted(self.by_key), np.uint64)
        out: dict[tuple[str, str], Found] = {}
        if not keys.size:
            return []
        likely = np.zeros(1 << TABLE, bool)
        likely[_slot(keys)] = True
        for start in range(0, len(stream), CHUNK):
            for shift in range(8):
                first = start + shift
                count = min(CHUNK // 8, max(len(stream) - first, 0) // 8)
                if count == 0:
                    continue
                words = np.frombuffer(stream, "<u8", count, first)
                maybe = np.flatnonzero(likely[_slot(words)])
                for at in maybe[np.isin(words[maybe], keys)].tolist():
                    self._look(stream, first + 8 * at, int(words[at]), out)
        return sorted(out.values(), key=lambda one: one.offset)

    def _look(self, stream: bytes, at: int, key: int, out: dict[tuple[str, str], Found]) -> None:
        for name, kind, piece, shift in self.by_key[key]:
            begins = at - shift
            known = out.get((name, kind))
            if begins >= 0 and (known is None or begins < known.offset) and stream.startswith(piece, begins):
                out[name, kind] = Found(name, kind, begins)


def _slot(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - TABLE)


def joined(messages: Iterable[bytes]) -> bytes:
    """Messages one after the other, each once, from a multiple of 8 bytes on, as its numbers are within it."""
    return b"".join(message + bytes(-len(message) % 8) for message in dict.fromkeys(messages))


def likeness(stream: bytes, values: Array) -> tuple[float, float]:
    """(largest |correlation| · √L of the signs of L words in a row with `values`, what random bytes stay below).

    Words of 4 and of 8 bytes from every multiple of 4 on: the stream is one of `joined` messages. Words made of small
    counts count as zero: a list of them has one sign over a stretch, and so may a stretch of an update.
    """
    wanted = np.ravel(values).astype(np.float64)
    wanted = wanted - wanted.mean()
    wanted /= np.linalg.norm(wanted) or 1.0
    halves = np.frombuffer(stream, "<i4", len(stream) // 4)
    signs, small = np.where(halves < 0, -1.0, 1.0), (halves >= 0) & (halves < SMALL)
    largest, windows = 0.0, 1
    views = [np.where(small, 0.0, signs)]
    for start in (0, 1):
        count = (halves.size - start) // 2
        low, high = slice(start, start + 2 * count, 2), slice(start + 1, start + 2 * count, 2)
        views.append(np.where(small[low] & small[high], 0.0, signs[high]))
    for seen in views:
        if seen.size >= wanted.size:
            windows += seen.size
            largest = max(largest, float(np.abs(_sliding(seen, wanted)).max()))
    return largest, max(5.0, float(np.sqrt(2 * np.log(windows))) + 2)


def transcript(streams: Streams, quick: bool = False) -> list[Row]:
    """The scan of all bytes that clients sent in a round with sketches and sums; control: their uploads in plain."""
    cohort = Cohort(streams, 8, 2000 if quick else 20_000)
    exchange = cohort.exchange(cohort.sketched())
    exchange.open()
    exchange.sketches()
    sums = exchange.sums({0: range(0, 8, 2), 1: range(1, 8, 2)})
    assert len(sums) == 2, "the round went through"
    hidden: dict[str, Array] = {}
    plain = []
    for index in range(cohort.n):
        update, counts = cohort.updates[index], cohort.counts[index]
        hidden |= {f"update {index}": update, f"counts {index}": counts}
        hidden[f"weighted update {index}"] = cohort.weights[index] * update.astype(np.float64)
        plain += [update.tobytes(), counts.tobytes(), hidden[f"weighted update {index}"].tobytes()]
    sent = joined(message for way, _, message in cohort.heard.messages if way == TO_SERVER)
    return scanned("13", "a round", sent, joined(plain), hidden)


def scanned(number: str, what: str, sent: bytes, plain: bytes, hidden: Mapping[str, Array]) -> list[Row]:
    """Two rows about a transcript, beside the one that a plain run would have left."""
    found, control = images(sent, hidden), images(plain, hidden)
    names = {one.name for one in control}
    long = [values for values in hidden.values() if np.size(values) >= 100]
    worst, most = (max(found) for found in zip(*(likeness(sent, values) for values in long), strict=True))
    against = max(likeness(plain, values)[0] for values in long)
    return [
        Row(number, f"images of clients' arrays in the bytes of {what}", len(found), "0", not found,
            "plain uploads", len(names), f"all {len(hidden)}", len(names) == len(hidden)),
        Row(number, f"largest correlation · √L of any window of {what}", worst, f"< {most:.1f}", worst < most,
            "plain uploads", against, f"> {most:.1f}", against > most),
    ]  # fmt: skip


def _written(values: Array, bits: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    floats = values.astype(np.float64)
    yield "float32", floats.astype("<f4").tobytes()
    yield "float64", floats.astype("<f8").tobytes()
    if np.array_equal(floats, np.rint(floats)) and np.abs(floats).max(initial=0) < 2**31:
        yield "int32", floats.astype("<i4").tobytes()
        yield "int64", floats.astype("<i8").tobytes()
    for scale in bits:
        if np.isfinite(floats).all() and np.abs(floats).max(initial=0) * 2.0**scale < 2**62:
            yield f"fixed point {scale}", encode(floats, scale, np.inf, "scan").astype("<u8").tobytes()


def _pieces(image: bytes) -> Iterator[bytes]:
    """A short image whole, for lists of small numbers stand in messages too; of a long one pieces all over it."""
    if len(image) <= WHOLE:
        if len(image) >= LEAST and len(set(image)) > 1:
            yield image
        return
    for start in np.unique(np.linspace(0, len(image) // PIECE - 1, PROBES).astype(int)) * PIECE:
        piece = image[start : start + PIECE]
        if len(set(piece)) >= PIECE // 4:
            yield piece


def _sliding(seen: Float64, wanted: Float64) -> Float64:
    """Inner products of `wanted` with every window of its length, by one transform."""
    size = 1 << (seen.size + wanted.size - 2).bit_length()
    product = np.fft.irfft(np.fft.rfft(seen, size) * np.conj(np.fft.rfft(wanted, size)), size)
    return np.asarray(product[: seen.size - wanted.size + 1], np.float64)
