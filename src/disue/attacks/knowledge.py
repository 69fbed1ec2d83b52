"""What a liar knows of an exchange, by the threat model of its attack, and what every attack has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Mask, Matrix, Vector
from disue.core.streams import Streams

OWN, LIARS, ALL = "own", "liars", "all"
Moments = tuple[IntVector, Float64, Float64, Float64 | None, Float64 | None]  # counts, sums, second, xx, xy


@dataclass(frozen=True, eq=False)
class Said:
    """What a client is about to send in one exchange, as the client itself knows it.

    start, end  (d,) what it trained from, and where that led
    choice      (c,) over the vectors it was sent             froms     (c, d) what it trains from if it chooses each
    moves       (d,) of bool: entries that are trained and sent; no lie touches others, as a tracked variance below
                zero would break the model for everybody at once
    inside      whether it belongs to the group under attack
    survey      nothing is summed of this exchange: it is for grouping only
    sketched    (d,) the update that it has compared, under protection; None: the one it sends
    """

    id: int
    start: Vector
    end: Vector
    choice: Float64
    froms: Matrix
    moves: Mask
    inside: bool = False
    survey: bool = False
    sketched: Vector | None = None

    @property
    def update(self) -> Float64:
        """(d,) end − start; zero where nothing moves."""
        return np.where(self.moves, self.end.astype(np.float64) - self.start, 0.0)

    def sending(self, update: Float64) -> Said:
        """The same with another update; the truth where nothing moves."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out like any other answer
            end = np.where(self.moves, self.start + update, self.end).astype(np.float32)
        return replace(self, end=end)

    def choosing(self, row: int) -> Said:
        """As if it had chosen another of the vectors that it was sent, and moved as far from it."""
        update = self.update
        there = replace(self, choice=np.eye(self.choice.size)[row], start=np.ascontiguousarray(self.froms[row]))
        return there.sending(update)


@dataclass(frozen=True, eq=False)
class Seen:
    """All that some liars know together of an exchange in which they trained from the same vector.

    liars   their honest answers: one where the attack knows its own only
    honest  the answers of the honest clients who trained from the same vector; () unless the attack knows all
    asked   how many clients trained from that vector: papers suppose that to be known
    guide   (d,) the mean update that liars inside the group under attack would send from the same vector
    liked   which of the vectors sent fits the data of liars inside that group best
    """

    liars: tuple[Said, ...]
    honest: tuple[Said, ...]
    asked: int
    rng: np.random.Generator
    guide: Float64 | None = None
    liked: int | None = None


@dataclass(frozen=True)
class Attack:
    """What all attacks have; each says what it changes of this."""

    knows: ClassVar[str] = OWN
    needs_target: ClassVar[bool] = False
    guided: ClassVar[bool] = False  # whether `Seen.guide` is wanted
    likes: ClassVar[bool] = False  # whether `Seen.liked` is wanted
    compared: ClassVar[bool] = False  # whether it has no meaning where the server compares no updates
    measured: ClassVar[bool] = False  # … where the server takes no class moments
    counted: ClassVar[bool] = False  # … where the server takes neither label counts nor class moments
    sketches: ClassVar[bool] = False  # … where the server takes no sketches

    def sight(self) -> str:
        """What it knows: a key of some attacks."""
        return str(getattr(self, "knowledge", self.knows))

    def lie(self, seen: Seen) -> Sequence[Said]:
        """What each of `seen.liars` sends."""
        return seen.liars

    def counts(self, labels: IntVector) -> IntVector:
        """(C,) the label counts that a liar declares."""
        return labels

    def moments(self, true: Moments, without: IntVector) -> Moments:
        """The class moments that a liar sends; `without` are classes that it is asked to leave out."""
        return true


def lies(
    attack: Attack,
    answers: Mapping[int, Said],
    liars: IntVector,
    same: Mapping[int, int],
    streams: Streams,
    round: int,
    guide: Callable[[int, Sequence[Said]], Float64 | None] = lambda row, inside: None,
    liked: Callable[[], int | None] = lambda: None,
) -> dict[int, Said]:
    """id → what it sends, of the liars among those who answered.

    same   id → row of the vector that it trained from      guide, liked   see `Seen`; asked for only where wanted
    """
    out: dict[int, Said] = {}
    lying = set(liars.tolist())
    for row in sorted({same[i] for i in answers if i in lying}):
        there = [answers[i] for i in sorted(answers) if same[i] == row]
        mine = tuple(said for said in there if said.id in lying)
        others = tuple(said for said in there if said.id not in lying)
        led = guide(row, [said for said in mine if said.inside]) if attack.guided else None
        best = liked() if attack.likes else None
        sets = [(said,) for said in mine] if attack.sight() == OWN else [mine]
        for some in sets:
            seen = Seen(
                some,
                others if attack.sight() == ALL else (),
                len(there),
                streams("lie", round, some[0].id),
                led,
                best,
            )
            out |= {said.id: said for said in attack.lie(seen)}
    return out


def updates(said: Sequence[Said]) -> Float64:
    """(n, d)"""
    return np.stack([one.update for one in said])


def norm(value: Array) -> float:
    return float(np.linalg.norm(value))
