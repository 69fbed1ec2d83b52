"""What ends work in good order: Ctrl-C, and the SIGTERM that schedulers send before they kill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interrupt(threading.Event):
    """Set by the first signal; `number` is that signal's."""

    number = 0

    @property
    def name(self) -> str:
        return NAMES[signal.Signals(self.number)]


@contextmanager
def first_interrupt() -> Iterator[Interrupt]:
    """The first signal sets the event, so that the round in hand is finished; Ctrl-C after that breaks off.

    A second SIGTERM says nothing new: who sends it kills when he likes. Outside the main thread nothing is caught.
    """
    event = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:
        if event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        event.number = event.number or number
        event.set()

    before = {number: signal.signal(number, note) for number in NAMES}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
