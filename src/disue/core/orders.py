"""What the server asks of some clients in one exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from disue.core import checks
from disue.core.checks import Array, Float64, IntMatrix, IntVector, Mask, Matrix, Vector
from disue.core.clients import Local, Probe
from disue.core.errors import UserError
from disue.core.layout import Layout, Part

SQUARE = "square"  # the extra that every client can send: (1,) the squared length of its update


class Sight(StrEnum):
    """What a part must see of the clients' answers, and what a door can show."""

    COSINE = "cosine"  # cosines between updates
    GRAM = "gram"  # inner products, hence norms and distances too
    CHOICE = "choice"  # which start each client preferred, or its shares over them
    SUMS = "sums"  # weighted sums over groups
    LABELS = "labels"  # label counts of groups
    MOMENTS = "moments"  # class moments of the features, of groups
    VECTORS = "vectors"  # single clients' vectors


@dataclass(frozen=True)
class Report:
    """What to send back. Everything that will be asked at the door is named here, in advance.

    weights  "samples" or "uniform": the weight of a client in every sum
    parts    the parts of the update whose cosine or gram is wanted
    choice   "none"; "loss" (the start with the least mean training loss); "shares" (of its samples)
    extras   names of further arrays of the local part's `finish` that go up; `SQUARE` is the squared length of the
             client's update
    about    "start": similarity is of end − the client's own start; "common": of end − one vector for all, `common_of`
    """

    sight: frozenset[Sight] = frozenset()
    parts: tuple[Part, ...] = ()
    weights: str = "samples"
    choice: str = "none"
    extras: tuple[str, ...] = ()
    about: str = "start"


@dataclass(frozen=True, eq=False)
class Orders:
    """One exchange: who starts from what, does what, and reports what.

    ids     (n,) the clients asked
    starts  (s, d) the distinct starting vectors, never one copy per client
    which   (n, c) rows of `starts` sent to each client; c > 1: it chooses among them, or uses all
    into    (n, c) rows it then trains from, one per choice; None: those of `which`
    origin  (d,) sums are of end − origin; None: of the plain ends
    own     each client starts from its own last end where it has one
    shares  (n, c) what the server knows of their shares over `which`; a row of NaN: the client finds them itself
    tied    (d,) of bool: entries that all of `starts` have in common, so that a client is sent them once
    local   None: a survey in which nothing is trained
    probe   what a client computes from its data in a survey
    stream  the name of the stream its batches come from
    """

    round: int
    ids: IntVector
    starts: Matrix
    which: IntMatrix
    origin: Vector | None = None
    extras: Mapping[str, Array] = field(default_factory=dict)
    local: Local | None = None
    report: Report = Report()
    into: IntMatrix | None = None
    own: bool = False
    probe: Probe | None = None
    stream: str = "batches"
    shares: Float64 | None = None
    tied: Mask | None = None

    def check(self, layout: Layout) -> Orders:
        """This value, or one sentence that says what is wrong with it."""
        checks.matrix("orders.starts", self.starts, None, layout.d)
        checks.ids("orders.ids", self.ids)
        for name, rows in (("which", self.which), ("into", self.into)):
            if rows is None:
                continue
            if rows.ndim != 2 or rows.shape[0] != self.ids.size or (name == "into" and rows.shape != self.which.shape):
                raise UserError(
                    f"orders.{name}: expected one row per client ({self.ids.size}, c), got shape {rows.shape}",
                    key=name,
                )
            if rows.size and (rows.min() < 0 or rows.max() >= self.starts.shape[0]):
                raise UserError(
                    f"orders.{name}: rows must lie in 0 … {self.starts.shape[0] - 1}, "
                    f"got {rows.min() if rows.min() < 0 else rows.max()}",
                    key=name,
                )
        if self.shares is not None and self.shares.shape != self.which.shape:
            raise UserError(
                f"orders.shares: expected {self.which.shape}, as `which`, got shape {self.shares.shape}", key="shares"
            )
        if self.origin is not None:
            checks.vector("orders.origin", self.origin, layout.d)
        if self.report.choice not in ("none", "loss", "shares"):
            raise UserError(
                f'report.choice must be "none", "loss" or "shares", got "{self.report.choice}"', key="choice"
            )
        return self

    def among(self, ids: IntVector) -> Orders:
        """The same orders for some of the clients, in the order given."""
        at = checks.positions(ids, self.ids, "orders")
        return replace(
            self,
            ids=self.ids[at],
            which=self.which[at],
            into=None if self.into is None else self.into[at],
            shares=None if self.shares is None else self.shares[at],
        )

    def told(self) -> dict[int, Float64]:
        """id → the shares that the server knows, for those of whom it knows them."""
        if self.shares is None:
            return {}
        rows = zip(self.ids.tolist(), self.shares, strict=True)
        return {client: row for client, row in rows if not np.isnan(row).any()}


def common_of(orders: Orders) -> Vector:
    """(d,) one vector that all clients know: the origin where there is one, else the mean of the starts sent."""
    if orders.origin is not None:
        return orders.origin
    return np.ascontiguousarray(orders.starts.mean(axis=0, dtype=np.float64).astype(np.float32))


def origin_of(starts: Matrix) -> Vector | None:
    """The one origin of sums: the common start where all start from one vector, else none (plain ends)."""
    same = starts.shape[0] == 1 or bool((starts == starts[:1]).all())
    return np.ascontiguousarray(starts[0]) if same and starts.shape[0] else None
