"""The protected protocol in a run: the server's session, its door for the method, and what it cost and met.

The engine's answers stay on the clients' side: the method is given a `SecureUploads`, which talks to clients by bytes.
What the run's record shows of single clients (their losses, their ends for evaluation) is the experimenter's view of a
simulation; a network shows none of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from disue.core.checks import Array, IntVector, Vector
from disue.core.clients import Clients as Holding
from disue.core.errors import UserError, unwritable
from disue.core.lots import Lots
from disue.core.orders import Orders
from disue.core.statics import Statics
from disue.core.world import World
from disue.engine.plain import PlainUploads
from disue.runs.bring import Measures
from disue.runs.folder import Folder, Row
from disue.runs.lots import least
from disue.runs.privacy import Privacy
from disue.runs.protected import warned
from disue.runs.side import Beside
from disue.secure.server.exchange import Cost, Kept
from disue.secure.server.session import Session, Terms
from disue.secure.server.uploads import SecureUploads, counted
from disue.secure.wire.roster import Roster
from disue.secure.wire.tasks import Field

if TYPE_CHECKING:
    from disue.runs.setup import Setup
    from disue.runs.simulation import Simulation

TRANSCRIPT = "transcript.bin"
PHASES = (
    "keys",
    "seed",
    "sketch",
    "grouping",
    "shares",
    "masks",
    "unmask",
    "models",
)  # models: to measure moments under


class RunField(Field, Protocol):
    """Where the clients of a run are, with what its record needs besides.

    models_down  bytes of vectors that clients were sent to measure under, in this round
    """

    @property
    def roster(self) -> Roster: ...
    @property
    def ids(self) -> IntVector:
        """(n,) of the roster, in its order."""
        ...

    @property
    def models_down(self) -> int: ...
    def begin(self) -> None: ...
    def seconds(self) -> Mapping[str, Mapping[int, float]]:
        """phase → roster index → process seconds, of this round."""
        ...

    def plain(self) -> dict[str, Any]: ...
    def restore(self, plain: Mapping[str, Any]) -> None: ...


def terms(privacy: Privacy) -> Terms:
    """What the server asks for."""
    return Terms(
        similarity=privacy.similarity,
        k=privacy.k,
        m=privacy.buckets,
        min_group=privacy.min_group,
        min_cell=privacy.min_group if privacy.strict else 1,
        min_class=privacy.class_floor,
        update_bound=privacy.update_bound,
        scale_bits=privacy.scale_bits,
        consistency=privacy.consistency,
        epsilon=privacy.epsilon,
    )


class ProtectedDoor(SecureUploads):
    """A `SecureUploads` with what the run's record needs of the clients besides."""

    bytes_up: int = 0  # updates, counts and moments go up within the protocol, which counts its own bytes

    def __init__(self, world: World, orders: Orders, session: Session, statics: Statics | None, beside: Beside) -> None:
        self._beside = beside
        super().__init__(world, orders, session, statics)

    @property
    def dropped(self) -> Mapping[int, str]:
        return self._beside.dropped

    @property
    def notes(self) -> Sequence[str]:
        return self._beside.notes

    @property
    def ends(self) -> Mapping[int, Array]:
        return self._beside.ends

    @property
    def losses(self) -> Mapping[int, float]:
        return self._beside.losses

    @property
    def bytes_down(self) -> int:
        return self._beside.bytes_down

    @property
    def client_seconds(self) -> float:
        return self._beside.client_seconds


class Protection:
    """The server's side of a run's protocol.

    start  how often the server began on this run: see `Session`
    """

    def __init__(self, setup: Setup, field: RunField, start: int = 0) -> None:
        self.world, self.field, self.privacy = setup.world, field, setup.spec.privacy
        self.transcript = Kept() if self.privacy.transcript else None
        self.session = Session(
            field.roster,
            field.ids,
            terms(self.privacy),
            self.world.layout,
            field,
            self.transcript,
            start,
        )
        self.statics: Statics | None = None
        self._least = least(setup.method)
        self._size = 0  # of transcript.bin

    def begin(self, round: int) -> None:
        self.session.begin(round)
        self.field.begin()
        self._count()

    def door(self, orders: Orders, beside: Beside) -> ProtectedDoor:
        """What the method sees of the answers to these orders."""
        return ProtectedDoor(self.world, orders, self.session, self.statics, beside)

    def stand(self, lots: Lots) -> None:
        """These lots stand from here on. Counts their labels, unless they were counted before."""
        if self.statics is None:
            self.statics = Statics.unknown(lots, self.world.layout.classes)
            self._count()

    def _count(self) -> None:
        """Lots that broke are asked again in every round until they come whole."""
        if self.statics is not None and self.statics.broken.any():
            self.statics = counted(self.session, self.statics, self._least)

    def ended(self, row: Row, folder: Folder | None) -> tuple[str, ...]:
        """What the protocol cost in a round: its bytes in the round's row, its phases in privacy.csv.

        Returns a sentence where the sketch is too short for what the grouping measured.
        """
        costs = self.costs(int(row["round"]))
        row["bytes_up"] += sum(cost["bytes_up"] for cost in costs)
        row["bytes_down"] += sum(cost["bytes_down"] for cost in costs)
        row["privacy.seconds_client"] = sum(cost["seconds_client"] for cost in costs)
        row["privacy.seconds_server"] = sum(cost["seconds_server"] for cost in costs)
        if folder is not None:
            folder.append("privacy", costs)
            self.written(folder.path)
        return warned(row, self.field.ids.size, self.privacy)

    def said(self) -> list[str]:
        """What the round's exchanges met."""
        return self.session.said()

    def costs(self, round: int) -> list[Row]:
        """The rows of privacy.csv for the round that was played: of clients the median and the most, in seconds."""
        self.session.end()
        client = self.field.seconds()
        server: dict[str, Cost] = {"models": Cost(down=self.field.models_down)}
        for exchange in self.session.exchanges:
            for phase, cost in exchange.cost.items():
                total = server.setdefault(phase, Cost())
                total.seconds, total.up, total.down = (
                    total.seconds + cost.seconds, total.up + cost.up, total.down + cost.down,
                )  # fmt: skip
        out: list[Row] = []
        for phase in PHASES:
            took, there = list(client.get(phase, {}).values()), server.get(phase, Cost())
            if took or there.up or there.down:
                out.append(
                    {
                        "round": round,
                        "phase": phase,
                        "clients": len(took),
                        "seconds_client": float(np.median(took)) if took else 0.0,
                        "seconds_client_most": max(took, default=0.0),
                        "seconds_server": there.seconds,
                        "bytes_up": there.up,
                        "bytes_down": there.down,
                    }
                )
        return out

    def written(self, folder: Path) -> None:
        """Adds to transcript.bin what the server saw since the last time, and forgets it."""
        if self.transcript is None or not self.transcript.messages:
            return
        path = folder / TRANSCRIPT
        try:
            with path.open("ab") as file:
                file.write(self.transcript.pack())
        except OSError as error:
            with contextlib.suppress(OSError):  # what is half written is cut off again, where that is allowed
                os.truncate(path, self._size)
            raise unwritable(path, error) from error
        self._size = path.stat().st_size
        self.transcript.messages.clear()

    # -- for a checkpoint ---------------------------------------------------------------------------------

    def plain(self) -> dict[str, Any]:
        """What clients remember of the protocol, and what was released over lots."""
        out: dict[str, Any] = {"memories": self.field.plain(), "transcript": self._size}
        if self.statics is not None:
            for name in ("labels", "held", "broken"):
                out[name] = getattr(self.statics, name).astype(int).tolist()
        return out

    def restore(self, plain: Mapping[str, Any], lots: Lots | None, folder: Path) -> None:
        self._size = int(plain.get("transcript", 0))
        path = folder / TRANSCRIPT
        there = path.stat().st_size if path.exists() else 0
        if there < self._size:
            raise UserError(
                f"{path}: holds {there} bytes, and {self._size} were written by the round to go on from; a transcript "
                "with a gap shows nothing, so the run does not go on",
                key="privacy.transcript",
            )
        if path.exists():
            os.truncate(path, self._size)
        self.field.restore(plain.get("memories", {}))
        if lots is not None:
            if "labels" not in plain:
                raise UserError("the checkpoint lacks the label counts of the lots", key="checkpoint")
            held, broken = (np.array(plain[name], bool) for name in ("held", "broken"))
            self.statics = Statics(lots, np.array(plain["labels"], np.int64), held, broken)


class Simulated(Protection):
    """Both sides of a simulation's protocol."""

    def __init__(self, setup: Simulation, engine: Measures, held: Holding) -> None:
        from disue.runs.crowded import Clients

        self.clients = Clients(setup, engine, held)
        super().__init__(setup, self.clients)

    def over(self, orders: Orders, plain: PlainUploads, sketched: Mapping[int, Vector] | None = None) -> ProtectedDoor:
        """What the method sees of these answers; sketched: see `bring.Trained`."""
        self.clients.sketched = sketched or {}
        self.clients.answers = {answer.id: answer for answer in plain.answers}
        return self.door(orders, plain)
