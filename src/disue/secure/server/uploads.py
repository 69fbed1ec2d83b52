"""The protected door: a method's questions become exchanges, in which the server sees sketches and sums alone.

cosine          SEEDING, SKETCHING: one sketch from each client, from which cosines are estimated
choice          each client's choice among the models, by randomised response where an ε is set
sums            one masked sum for each group, in one pass, at most once in an exchange
labels          sums over standing lots, taken once in a run (`statics`)
moments         a round of its own for each lot that is whole: no training, one masked sum
gram, vectors   not offered: lengths and single updates are what is hidden
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64, IntVector, Matrix, Vector
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import WHOLE, Part
from disue.core.orders import Orders, Sight, common_of
from disue.core.statics import Statics
from disue.core.uploads import Gram, GroupSums, Moments
from disue.core.world import World
from disue.secure.server import sections
from disue.secure.server.sections import UPDATE
from disue.secure.server.session import Asked, Session
from disue.secure.wire.estimate import cosines, cosines_of_bits
from disue.secure.wire.tasks import Count, Measure, Train


class SecureUploads:
    """See `core.uploads.Uploads` for the questions. A client that is lost on the way is absent from what follows."""

    def __init__(self, world: World, orders: Orders, session: Session, statics: Statics | None = None) -> None:
        self._world, self._orders, self._session, self._statics = world, orders, session, statics
        report, terms = orders.report, session.terms
        self._parts = report.parts or (WHOLE,)
        self._reference = common_of(orders)
        sizes = session.where.extra_sizes(orders)
        self._named = sections.training(world.layout, report, sizes, terms.update_bound, terms.scale_bits)
        similar, chosen = Sight.COSINE in report.sight and terms.sketches, Sight.CHOICE in report.sight
        asked = Asked(
            sections.fingerprint(world.layout, self._parts),
            self._reference,
            orders.starts,
            orders.which,
            tuple(int(world.layout.mask(part).sum()) for part in self._parts) if similar else (),
            orders.which.shape[1] if chosen else 0,
            orders.own,
        )
        self._exchange, self._present = session.exchange(Train(orders), orders.ids, self._named, asked)
        self._similar: dict[Part, Gram] | None = None
        self._chosen = np.zeros(0, np.int64)
        self._summed: tuple[Groups, dict[str, GroupSums]] | None = None
        if similar and self._present.size:
            self._sketched()
        if chosen and self._present.size:
            self._present, self._chosen = self._exchange.choices()

    @property
    def ids(self) -> IntVector:
        """Who answered: with a sketch or a choice where one is asked for, else with keys."""
        return self._session.ids(self._present)

    def _sketched(self) -> None:
        self._present, sketches = self._exchange.sketches()
        if not self._present.size:
            return
        k = self._session.terms.k
        values = [
            cosines_of_bits(rows.astype(np.uint8), k) if rows.dtype == np.uint8 else cosines(rows.astype(np.int16))
            for rows in sketches
        ]
        self._similar = {part: Gram.of(self.ids, rho) for part, rho in zip(self._parts, values, strict=True)}

    def cosine(self, of: Part = WHOLE, anchors: Matrix | None = None) -> Gram:
        self._asked(Sight.COSINE)
        if anchors is not None and len(anchors):
            raise UserError(
                "the protected door compares clients with each other, not with vectors of the server's: give the part "
                "a rule without anchors",
                key="privacy.similarity",
            )
        if of not in self._parts:
            raise UserError(
                f"similarity of {', '.join(of.patterns)} was not asked for: name the part in report.parts",
                key="report.parts",
                found=of.patterns,
            )
        if self._similar is None:
            return Gram.of(self.ids, np.zeros((0, 0)))
        return self._similar[of]

    def gram(self, of: Part = WHOLE, anchors: Matrix | None = None) -> Gram:
        raise self._hidden(Sight.GRAM)

    def vectors(self, of: str = UPDATE) -> Matrix:
        raise self._hidden(Sight.VECTORS)

    def choice(self) -> Float64:
        """One-hot of what each reported."""
        self._asked(Sight.CHOICE)
        return np.asarray(np.eye(self._orders.which.shape[1])[self._chosen], np.float64)

    def sums(self, groups: Groups, of: str = UPDATE, shares: Float64 | None = None) -> GroupSums:
        self._asked(Sight.SUMS)
        if shares is not None:
            raise UserError(
                "the protected door sums over groups of whole clients, not over shares of them",
                key="privacy.similarity",
            )
        if of != UPDATE and of not in self._orders.report.extras:
            raise UserError(f'"{of}" was not asked for: name it in report.extras', key="report.extras", found=of)
        present = groups.among(self.ids)
        if self._summed is None:
            self._summed = present, self._take(present)
        elif self._summed[0] != present:
            raise UserError(
                "sums over other groups in the same exchange would give single clients away: ask once",
                key="privacy.similarity",
            )
        return self._summed[1][of]

    def labels(self, groups: Groups) -> IntVector:
        self._asked(Sight.LABELS)
        return self._standing().of_groups(groups.among(self.ids))

    def finest(self) -> Groups:
        return self._standing().finest(self.ids)

    def moments(
        self, groups: Groups, under: Vector | None = None, against: Vector | None = None, *, per_class: bool = False
    ) -> Moments:
        self._asked(Sight.MOMENTS)
        statics, layout = self._standing(), self._world.layout
        if under is None and self._orders.starts.shape[0] > 1:
            raise UserError(
                "moments under what each received differ from client to client, and are not released over lots: give "
                'the expert vector = "fresh"',
                key="method.expert.vector",
            )
        vector = self._orders.starts[0] if under is None else under
        crossed = against is not None
        lots, rows = [], []
        for lot in statics.whole(self.ids).tolist():
            task = Measure(vector, against, per_class)
            members = statics.lots.members(lot)
            asked = sections.moments(
                layout.classes, layout.features, members.size, per_class=per_class, crossed=crossed
            )
            found = self._session.of_lot(task, members, asked)
            if found is not None:
                lots.append(lot)
                rows.append(found)
        there = np.array(lots, np.int64)
        sums = sections.as_moments(there, rows, layout.classes, layout.features, per_class=per_class, crossed=crossed)
        return statics.mixed(groups.among(self.ids), there, sums)

    # -- inside -----------------------------------------------------------------------------------

    def _take(self, groups: Groups) -> dict[str, GroupSums]:
        """All sections of the one pass, by name."""
        floor = self._session.terms.min_group
        asked = {number: groups.members(number) for number in groups.numbers.tolist()}
        large = {number: ids for number, ids in asked.items() if ids.size >= floor}
        found = self._session.sums(self._exchange, large, self._named) if large else {}
        weights, counts = np.zeros(groups.numbers.size), np.zeros(groups.numbers.size, np.int64)
        lengths = zip(self._named.names, self._named.sections, strict=True)
        totals = {name: np.zeros((groups.numbers.size, section.length)) for name, section in lengths}
        for row, number in enumerate(groups.numbers.tolist()):
            if number in found:
                weights[row], counts[row] = found[number]["weight"][0], int(found[number]["members"][0])
                for name, value in found[number].items():
                    totals[name][row] = value
        if self._orders.origin is None:  # sums are of the plain ends then
            totals[UPDATE] += weights[:, None] * self._reference.astype(np.float64)
        return {
            name: GroupSums(groups.numbers, value, weights, counts, value.sum(axis=0)) for name, value in totals.items()
        }

    def _standing(self) -> Statics:
        if self._statics is None:
            raise UserError(
                "label counts and moments are released over standing lots only: set method.expert.lot",
                key="method.expert.lot",
            )
        return self._statics

    def _asked(self, sight: Sight) -> None:
        if sight not in self._orders.report.sight:
            asked = ", ".join(sorted(self._orders.report.sight)) or "nothing"
            raise UserError(
                f"the protected door shows {sight.value} only where the orders ask for it; these ask for {asked}: name "
                "it in report.sight",
                key="report.sight",
                found=sight.value,
            )

    def _hidden(self, sight: Sight) -> UserError:
        return UserError(f"the protected door never shows {sight.value}", key="privacy.similarity", found=sight.value)


def counted(session: Session, statics: Statics, least: int) -> Statics:
    """Label counts of all lots that are not known yet.

    A lot that did not come whole tells nothing of itself, and is not measured until it does: which of its classes too
    few hold is not known, and what transport needs is summed over classes before that would be found out. Counting it
    again tells nothing more, since it is the same lot.
    """
    for lot in np.flatnonzero(statics.broken).tolist():
        found = session.of_lot(Count(), statics.lots.members(lot), sections.counts(session.layout.classes))
        if found is not None:
            counts, holders = (np.rint(found[name]).astype(np.int64) for name in ("counts", "holders"))
            statics = statics.told(lot, counts, holders, least)
    return statics
