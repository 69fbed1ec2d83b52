"""The server's side of a run: its roster, its rising round numbers, and what its exchanges cost and meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from disue.core.checks import Float64, IntMatrix, IntVector, Matrix, Vector
from disue.core.layout import Layout
from disue.secure.server.exchange import Exchange, Kept, Sum
from disue.secure.server.sections import Named, fingerprint
from disue.secure.server.state import Failed, Gone, Refused
from disue.secure.wire.hashes import vector_hash
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import ALL_STARTS, ASSIGN, BITS, NONE, OWN_START, SKETCH, Open
from disue.secure.wire.roster import Roster
from disue.secure.wire.tasks import Count, Field, Measure, Task

MODES = {"sketch": SKETCH, "sketch-bits": BITS, "assign": ASSIGN}
PER_ROUND = 2**20  # numbers of exchanges that one round of training may use
PER_START = 2**12  # of them, those between one start of the server and the next


@dataclass(frozen=True)
class Terms:
    """What a run's protocol asks for; the keys of [privacy]."""

    similarity: str
    k: int = 256
    m: int = 4096
    min_group: int = 3
    min_cell: int = 1
    min_class: int = 3
    update_bound: float = 8.0
    scale_bits: int = 32
    consistency: bool = True
    epsilon: float = float("inf")

    @property
    def sketches(self) -> bool:
        return self.similarity in ("sketch", "sketch-bits")


@dataclass(frozen=True)
class Asked:
    """What an exchange asks for besides its sections.

    slices   lengths of the parts that are sketched      choices  models among which clients choose; 0: none
    """

    layout: bytes
    reference: Vector
    starts: Matrix
    which: IntMatrix
    slices: tuple[int, ...] = ()
    choices: int = 0
    own: bool = False
    passes: int = 1


@dataclass
class Session:
    """One for a run.

    clients     (n,) ids, ascending, as the roster has them
    exchanges   of the round that is being played, to be read for what they cost and met
    transcript  of everything that the server saw, where one is kept
    start       how often a server began on this run: one that goes on after a crash takes higher numbers in the round
                that it plays again, as clients answer no number twice, and none below the last that they answered
    """

    roster: Roster
    clients: IntVector
    terms: Terms
    layout: Layout
    where: Field
    transcript: Kept | None = None
    start: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _number: int = 0

    def begin(self, round: int) -> None:
        """From here on exchanges belong to this round of training: their numbers rise from round to round."""
        self._number = max(self._number, round * PER_ROUND + self.start * PER_START)
        self.exchanges, self.notes = [], []

    def exchange(self, task: Task, ids: IntVector, named: Named, asked: Asked) -> tuple[Exchange, IntVector]:
        """An open exchange, and roster indices of those who take part; nobody where it could not be opened."""
        terms = self.terms
        number, self._number = self._number, self._number + 1
        sketched = bool(asked.slices)
        starts = asked.starts[asked.which[0]] if asked.choices else asked.starts
        indices = np.searchsorted(self.clients, ids).tolist()
        rows = [ALL_STARTS if asked.choices else OWN_START if asked.own else int(row[0]) for row in asked.which]
        opened = Open(
            roster=self.roster.hash,
            layout=asked.layout,
            reference=vector_hash(asked.reference),
            similarity=ASSIGN if asked.choices else MODES[terms.similarity] if sketched else NONE,
            cohort=tuple(zip(indices, rows, strict=True)),
            sections=named.sections,
            starts=tuple(vector_hash(start) for start in starts),
            slices=_slices(asked.slices),
            k=terms.k if sketched else 0,
            m=terms.m if sketched else 0,
            min_group=terms.min_group,
            min_cell=terms.min_cell,
            min_class=terms.min_class,
            consistency=terms.consistency,
            passes=asked.passes,
            epsilon=terms.epsilon if asked.choices else float("inf"),
        )
        wire = self.where.wire(task, ids, number)
        made = Exchange(self.roster, opened, wire, number=number, transcript=self.transcript)
        self.exchanges.append(made)
        try:
            return made, made.open()
        except Refusal as refusal:
            self.notes.append(f"protected: an exchange of {ids.size} clients was not opened: {refusal}")
            return made, np.zeros(0, np.int64)

    def ids(self, indices: IntVector) -> IntVector:
        return self.clients[indices]

    def sums(self, exchange: Exchange, groups: Mapping[int, IntVector], named: Named) -> dict[int, dict[str, Float64]]:
        """group → section → its sums, of those groups whose sum came to be."""
        asked = {g: np.searchsorted(self.clients, ids).tolist() for g, ids in groups.items()}
        return {g: named.read(one.total) for g, one in exchange.sums(asked).items()}

    def of_lot(self, task: Count | Measure, ids: IntVector, named: Named) -> dict[str, Float64] | None:
        """The sums of one whole lot, holders of a class first; None where the lot broke."""
        vectors = [] if isinstance(task, Count) else [v for v in (task.under, task.against) if v is not None]
        starts = np.stack(vectors) if vectors else np.zeros((1, self.layout.d), np.float32)
        which = np.zeros((ids.size, 1), np.int64)
        asked = Asked(fingerprint(self.layout), starts[0], starts, which, passes=2)
        made, there = self.exchange(task, ids, named, asked)
        if there.size < ids.size:
            self.notes.append(f"protected: a lot of {ids.size} was left out, as {ids.size - there.size} did not come")
            return None
        group = {0: np.searchsorted(self.clients, ids).tolist()}
        first: dict[int, Sum] = made.sums(group)
        second = made.second()
        if not first or not second:
            return None
        return named.read_passes(first[0].sections, second[0].sections)

    def end(self) -> None:
        """Closes the exchanges of the round: clients of whom no sum was asked still hold keys, and erase them now."""
        for exchange in self.exchanges:
            exchange.close()

    def said(self) -> list[str]:
        """Sentences about refusals, losses and sums that failed in this round's exchanges."""
        out = list(self.notes)
        for exchange in self.exchanges:
            for event in exchange.events:
                if isinstance(event, Gone):
                    out.append(f"protected: client {self.clients[event.who]} left: {event.refusal}")
                elif isinstance(event, Refused) and event.sender is not None:
                    out.append(f"protected: a message of client {self.clients[event.sender]}: {event.refusal}")
                elif isinstance(event, Failed):
                    what = "the exchange" if event.sum is None else "a sum"
                    out.append(f"protected: {what} ended without a result: {event.refusal}")
        return out


def _slices(lengths: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Parts of the update stand one after the other."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int).tolist()
    return tuple((start, length) for start, length in zip(starts, lengths, strict=False))
