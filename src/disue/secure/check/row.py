"""One line of the table: what an attack got, what it may get, and that it gets more where the protection is off."""

from __future__ import annotations

from dataclasses import dataclass

from disue.core.streams import Streams
from disue.secure.client.sketch import Streams as Keys


@dataclass(frozen=True)
class Row:
    """An experiment and its control.

    number, name   which experiment, and what its value is
    value, must    the value under protection and what it must be, in words
    passed         whether it is; None where it is only reported
    control        what is switched off in the control; empty where there is none
    against, needs the control's value and what it must be
    caught         whether the control was caught: an experiment whose control is not proves nothing
    """

    number: str
    name: str
    value: float
    must: str
    passed: bool | None
    control: str = ""
    against: float | None = None
    needs: str = ""
    caught: bool | None = None

    def __post_init__(self) -> None:
        for name, kind in (("value", float), ("against", float), ("passed", bool), ("caught", bool)):
            if (found := getattr(self, name)) is not None:
                object.__setattr__(self, name, kind(found))  # numpy's own booleans are not `False`

    @property
    def good(self) -> bool:
        return self.passed is not False and self.caught is not False


def keys(streams: Streams, *numbers: int) -> Keys:
    """The stream keys of a sketch as a client would have them, for one seed among many."""
    drawn = streams("seed", *numbers)
    return Keys(drawn.bytes(32), drawn.bytes(32), drawn.bytes(32))
