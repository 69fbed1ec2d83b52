"""The clients of a run as its loop sees them: in this process (`simulated`), or behind a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from disue.core.checks import Array, IntVector
from disue.core.lots import Lots
from disue.core.method import Info
from disue.core.orders import Orders
from disue.core.uploads import Uploads
from disue.evaluation import Evaluation
from disue.runs.folder import Folder, Row


class Beside(Protocol):
    """What a run's record shows of an exchange beside the method's answers.

    dropped       id → why its answer was left out       notes   sentences for the run's log
    ends, losses  id → its end (d,), its mean training loss, as far as the run's record may show them
    bytes_down, client_seconds   so far: questions through the door add to them
    """

    @property
    def dropped(self) -> Mapping[int, str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def ends(self) -> Mapping[int, Array]: ...
    @property
    def losses(self) -> Mapping[int, float]: ...
    @property
    def bytes_down(self) -> int: ...
    @property
    def client_seconds(self) -> float: ...


class Exchanged(Uploads, Beside, Protocol):
    """The door of one exchange, with what a run's record shows besides. bytes_up: so far."""

    @property
    def bytes_up(self) -> int: ...


class ClientSide(Protocol):
    """Who answers orders and scores models."""

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say before the first round."""
        ...

    @property
    def randomness(self) -> str:
        """Where the secrets of a protected run come from, in words."""
        ...

    def begin(self, round: int) -> None:
        """From here on exchanges belong to this round."""
        ...

    def answer(self, orders: Orders, round: int) -> Exchanged: ...
    def engine(self) -> Mapping[str, Any] | None:
        """What trains the clients, for env.json, once that is known."""
        ...

    def sizes(self, ids: IntVector) -> IntVector:
        """(n,) training samples, as declared."""
        ...

    def stand(self, lots: Lots) -> int:
        """These lots stand from here on, for label counts and moments. Returns the bytes of counts that go up for it
        beside those that the protocol counts."""
        ...

    def evaluate(self, state: Any, info: Info, ends: Mapping[int, Array], round: int) -> Evaluation: ...
    def late(self, state: Any, round: int) -> dict[str, float]:
        """What the models are worth to newcomers; {} where there are none."""
        ...

    def ended(self, row: Row, folder: Folder | None) -> tuple[str, ...]:
        """After a round: adds to its row what the protocol cost. Returns sentences that are said once in a run."""
        ...

    def said(self) -> list[str]:
        """What the round's exchanges met: lost clients, refusals, failed sums."""
        ...

    # -- for a checkpoint, in `path`

    def save(self, path: Path, round: int) -> None:
        """Writes what belongs to this round, before the state is written that names it."""
        ...

    def drop(self, path: Path, keep: Sequence[int]) -> None:
        """Frees what no checkpoint of these rounds needs."""
        ...

    def plain(self) -> dict[str, Any]:
        """What goes into the checkpoint itself."""
        ...

    def restore(self, path: Path, round: int, meta: Mapping[str, Any], lots: Lots | None) -> None:
        """Goes back to a checkpoint; round −1: to the beginning."""
        ...

    def close(self) -> None: ...
