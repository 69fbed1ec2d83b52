"""The plain door: a simulation's answers, shown as far as the orders asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from disue.core.checks import Array, Float64, IntVector, Matrix, Vector, matrix
from disue.core.clients import Memory
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import WHOLE, Part
from disue.core.orders import Orders, Sight, common_of
from disue.core.sketches import Sketched
from disue.core.statics import Statics
from disue.core.uploads import PLAIN, Gram, GroupSums, Moments
from disue.core.world import World
from disue.engine.answers import Answer, fault
from disue.engine.chores import Measuring
from disue.engine.linear import EXACT, blocks, gram, sketch
from disue.engine.measure import ClientMoments, summed
from disue.engine.traffic import Traffic

T = TypeVar("T")
UPDATE, END, START = "update", "end", "start"


class PlainUploads:
    """Answers from memory; see `core.uploads.Uploads` for the door itself. With `statics`, label counts and moments are
    those of whole lots. For the simulator besides:

    dropped         id → why its answer was left out
    notes           sentences for the run's log
    memories        what newcomers would keep of a trial
    ends, losses    id → its end, (d,); its mean training loss (NaN where nothing was trained)
    extras          id → the further arrays that it sent, by name
    bytes_down, bytes_up, client_seconds   so far: questions through the door add to them
    """

    def __init__(
        self,
        world: World,
        orders: Orders,
        answers: Sequence[Answer],
        measure: Callable[[Measuring, int], Iterable[tuple[int, ClientMoments, float]]],
        dropped: Mapping[int, str],
        traffic: Traffic,
        notes: tuple[str, ...] = (),
        memories: Mapping[int, Memory] | None = None,
        statics: Statics | None = None,
    ) -> None:
        self._world, self._orders, self._measure, self._traffic = world, orders, measure, traffic
        self._statics = statics
        self._answers = tuple(sorted(answers, key=lambda answer: answer.id))
        self._ids = np.array([answer.id for answer in self._answers], np.int64)
        self.dropped, self.notes, self.memories = dict(dropped), notes, dict(memories or {})

    # -- the door ----------------------------------------------------------------------------------

    @property
    def ids(self) -> IntVector:
        return self._ids

    def cosine(self, of: Part = WHOLE, anchors: Matrix | None = None) -> Gram:
        self._asked(Sight.COSINE)
        return self._gram(of, anchors).cosine()

    def gram(self, of: Part = WHOLE, anchors: Matrix | None = None) -> Gram:
        self._asked(Sight.GRAM)
        return self._gram(of, anchors)

    def choice(self) -> Float64:
        self._asked(Sight.CHOICE)
        c = self._orders.which.shape[1]
        return np.array([answer.choice for answer in self._answers], np.float64).reshape(-1, c)

    def sums(self, groups: Groups, of: str = UPDATE, shares: Float64 | None = None) -> GroupSums:
        self._asked(Sight.SUMS)
        counted = self._counted(groups, shares)
        weights, counts = np.zeros(groups.numbers.size), np.zeros(groups.numbers.size, np.int64)
        rows = [self._row(answer, of) for answer in self._answers]
        d = self._world.layout.d if of == UPDATE else (rows[0].size if rows else 0)
        totals, whole = np.zeros((groups.numbers.size, d)), np.zeros(d)
        # the same origin for all, or none: sums of the plain ends
        origin = np.float64(0.0) if of != UPDATE or self._orders.origin is None else self._orders.origin
        for row, weight in (pair for pairs in counted for pair in pairs):
            weights[row] += weight
            counts[row] += 1
        for block in blocks(d):
            about = origin if isinstance(origin, np.float64) else origin[block].astype(np.float64)
            for value, pairs in zip(rows, counted, strict=True):
                if pairs:
                    moved = value[block].astype(np.float64) - about
                    for row, weight in pairs:
                        term = weight * moved
                        totals[row, block] += term
                        whole[block] += term
        return GroupSums(groups.numbers, totals, weights, counts, whole)

    def labels(self, groups: Groups) -> IntVector:
        self._asked(Sight.LABELS)
        if self._statics is not None:
            return self._statics.of_groups(groups.among(self._ids))
        self._traffic.labels(self._ids)
        out = np.zeros((groups.numbers.size, self._world.layout.classes), np.int64)
        for answer, row in self._members(groups):
            out[row] += answer.labels
        return out

    def finest(self) -> Groups:
        return Groups.alone(self._ids) if self._statics is None else self._statics.finest(self._ids)

    def moments(
        self,
        groups: Groups,
        under: Vector | None = None,
        against: Vector | None = None,
        *,
        per_class: bool = False,
    ) -> Moments:
        self._asked(Sight.MOMENTS)
        if self._statics is None:
            return self._moments(groups, under, against, per_class=per_class)
        lots = self._statics.whole(self._ids)
        of_lots = self._moments(self._statics.lots.as_groups(lots), under, against, per_class=per_class)
        return self._statics.mixed(groups.among(self._ids), lots, of_lots)

    def _moments(self, groups: Groups, under: Vector | None, against: Vector | None, *, per_class: bool) -> Moments:
        members, layout = list(self._members(groups)), self._world.layout
        self._traffic.moments([answer for answer, _ in members], under, against, per_class)
        asked = Measuring(
            self._world.network,
            layout.classes,
            {answer.id: answer.received if under is None else under for answer, _ in members},
            against,
            per_class,
            {} if self._statics is None else {answer.id: self._statics.without(answer.id) for answer, _ in members},
        )
        found = {}
        for client, moments, seconds in self._measure(asked, self._orders.round):
            found[client] = moments
            self._traffic.seconds += seconds
        rows = ((row, found[answer.id]) for answer, row in members if answer.id in found)  # a network loses some
        return summed(groups, layout.classes, layout.features, rows, per_class=per_class, crossed=against is not None)

    def vectors(self, of: str = UPDATE) -> Matrix:
        self._asked(Sight.VECTORS)
        if of in (UPDATE, END, START):
            rows = [_vector(answer, of) for answer in self._answers]
            return np.array(rows, np.float32).reshape(len(rows), self._world.layout.d)
        shapes = {self._extra(answer, of).shape for answer in self._answers}
        if len(shapes) > 1:
            raise UserError(f'vectors("{of}"): clients sent different shapes {sorted(shapes)}', key=of)
        rows = [self._extra(answer, of) for answer in self._answers]
        return np.array(rows).reshape(len(rows), -1) if rows else np.zeros((0, 0), np.float32)

    # -- the simulator's --------------------------------------------------------------------------

    def told(
        self,
        instead: Mapping[int, Answer],
        measure: Callable[[Measuring, int], Iterable[tuple[int, ClientMoments, float]]],
    ) -> PlainUploads:
        """The same exchange where some said something else: `instead` of their answers, and of what all measure.

        What is not finite in it is left out, as from anybody.
        """
        dropped, kept = dict(self.dropped), []
        for true in self._answers:
            answer = instead.get(true.id, true)
            why = fault(self._world.layout, answer.end, answer.extras) if answer is not true else None
            if why is None:
                kept.append(answer)
            else:
                dropped[answer.id] = f"client {answer.id} left out of round {self._orders.round}: {why}"
        out = PlainUploads(self._world, self._orders, kept, measure, dropped, self._traffic, self.notes, self.memories)
        out._statics = self._statics
        return out

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Everything that was answered, in the order of ids."""
        return self._answers

    @property
    def ends(self) -> dict[int, Array]:
        return {answer.id: answer.end for answer in self._answers}

    @property
    def extras(self) -> dict[int, Mapping[str, Array]]:
        return {answer.id: answer.extras for answer in self._answers}

    @property
    def losses(self) -> dict[int, float]:
        return {answer.id: answer.loss for answer in self._answers}

    @property
    def steps(self) -> dict[int, int]:
        return {answer.id: answer.steps for answer in self._answers}

    @property
    def bytes_down(self) -> int:
        return self._traffic.down

    @property
    def bytes_up(self) -> int:
        return self._traffic.up

    @property
    def client_seconds(self) -> float:
        return self._traffic.seconds

    # -- inside -----------------------------------------------------------------------------------

    def _asked(self, sight: Sight) -> None:
        if sight not in self._orders.report.sight:
            asked = ", ".join(sorted(self._orders.report.sight)) or "nothing"
            raise UserError(
                f"the {PLAIN.name} door shows {sight.value} only where the orders ask for it; "
                f"these ask for {asked}: name it in report.sight",
                key="report.sight",
                found=sight.value,
            )

    def _gram(self, of: Part, anchors: Matrix | None) -> Gram:
        parts = self._orders.report.parts or (WHOLE,)
        if of not in parts:
            raise UserError(
                f"similarity of {', '.join(of.patterns)} was not asked for: name the part in report.parts",
                key="report.parts",
                found=of.patterns,
            )
        layout = self._world.layout
        columns = np.flatnonzero(layout.mask(of))
        given = np.zeros((0, layout.d), np.float32) if anchors is None else matrix("anchors", anchors, None, layout.d)
        common = common_of(self._orders) if self._orders.report.about == "common" else None
        rows = [(answer.end, answer.start if common is None else common) for answer in self._answers]
        if len(rows) <= EXACT:
            return Gram(self._ids, *gram(rows, given, columns))
        streams, round = self._world.streams, self._orders.round
        return Sketched(self._ids, *sketch(rows, given, columns, lambda block: streams("sketch", round, block)))

    def _counted(self, groups: Groups, shares: Float64 | None) -> list[list[tuple[int, float]]]:
        """Of each who answered: (row of a group, its weight there), where it counts at all."""
        if shares is None:
            at = groups.rows(groups.at(self._ids)).tolist()
            return [[(row, self._weight(a))] if row >= 0 else [] for a, row in zip(self._answers, at, strict=True)]
        if shares.shape != (self._ids.size, groups.numbers.size):
            raise UserError(
                f"sums: shares must be ({self._ids.size}, {groups.numbers.size}), a row for each who answered and a "
                f"column for each group, got {shares.shape}",
                key="shares",
            )
        return [
            [(int(row), self._weight(answer) * float(of[row])) for row in np.flatnonzero(of)]
            for answer, of in zip(self._answers, shares, strict=True)
        ]

    def _members(self, groups: Groups) -> Iterator[tuple[Answer, int]]:
        """(answer, row of its group) of those who answered, in the order of ids."""
        for answer, row in zip(self._answers, groups.rows(groups.at(self._ids)).tolist(), strict=True):
            if row >= 0:
                yield answer, row

    def _weight(self, answer: Answer) -> float:
        return float(answer.size) if self._orders.report.weights == "samples" else 1.0

    def _row(self, answer: Answer, of: str) -> Array:
        return answer.end if of == UPDATE else self._extra(answer, of).reshape(-1)

    def _extra(self, answer: Answer, name: str) -> Array:
        if name not in self._orders.report.extras:
            raise UserError(
                f'"{name}" was not asked for: name it in report.extras '
                f"(these orders ask for {', '.join(self._orders.report.extras) or 'none'})",
                key="report.extras",
                found=name,
            )
        return answer.extras[name]


def _vector(answer: Answer, of: str) -> Array:
    if of == UPDATE:
        return answer.end - answer.start
    return answer.end if of == END else answer.start
