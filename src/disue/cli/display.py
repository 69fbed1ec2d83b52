"""What a run shows while it runs: a live block on a terminal, else a plain line per evaluation; never both."""

from __future__ import annotations

import signal
import threading
from collections import deque
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from disue.cli.tables import console, percent, seconds, size

if TYPE_CHECKING:
    from disue.runs.federate import Record

EVENTS = 4  # that stay in sight
GROUPS = 12  # whose sizes are shown


class Display:
    """Shows the records of a run; give it to `disue.run` as `on_round`.

    title   what runs        again   the command that goes on with the run after Ctrl-C
    """

    def __init__(self, title: str, again: str = "", *, quiet: bool = False, to: Console | None = None) -> None:
        self.title, self.again, self.quiet = title, again, quiet
        self.console = to or console()
        self.events: deque[str] = deque(maxlen=EVENTS)
        self.record: Record | None = None
        self.found: dict[str, Any] = {}  # the last evaluation
        self.bytes = [0, 0]
        self.ending = False
        self._live: Live | None = None
        self._chained = False
        self._titled = False

    # -- as a context ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self.quiet:
            return self
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    # -- records -----------------------------------------------------------------------------------------

    def __call__(self, record: Record) -> None:
        self._watch_interrupt()
        self.record = record
        self.bytes[0] += int(record.row["bytes_up"])
        self.bytes[1] += int(record.row["bytes_down"])
        events = list(record.notes)
        if record.row.get("clients_dropped"):
            events.append(f"{record.row['clients_dropped']} clients left out: their updates were not finite")
        missing = int(record.row["cohort"]) - int(record.row["answered"]) - int(record.row.get("clients_dropped", 0))
        if missing > 0:
            events.append(f"{missing} of {record.row['cohort']} clients did not answer")
        self.events.extend(f"round {record.round}: {event}" for event in events)
        if record.evaluated:
            self.found = dict(record.row)
        if self.quiet:
            return
        if self._live is not None:
            self._live.refresh()
            return
        if not self._titled:
            self._titled = True
            self.console.print(self.title, markup=False)
        for event in list(self.events)[-len(events) :] if events else ():
            self.console.print(event, markup=False)
        if record.evaluated:
            self.console.print(self.line(record), markup=False)

    def line(self, record: Record) -> str:
        """One evaluation as one line."""
        words = [f"round {record.round}/{record.rounds}"]
        words += [f"{name} {value}" for name, value in accuracies(record.row)]
        words += [f"groups {len(record.groups)}", f"left {seconds(record.left)}"]
        return "  ".join(words)

    # -- the live block ----------------------------------------------------------------------------------

    def __rich__(self) -> Group:
        head = Text(self.title, style="bold")
        if self.record is None:
            return Group(head, Text("loading data, building the model …", style="dim"))
        record = self.record
        bar = Table.grid(padding=(0, 2))
        state = "finishing this round" if self.ending else f"{seconds(record.left)} left"
        bar.add_row(
            Text(f"round {record.round} of {record.rounds}"),
            ProgressBar(total=record.rounds, completed=record.round, width=30),
            Text(state, style="yellow" if self.ending else ""),
            Text(f"{seconds(record.seconds)} a round", style="dim"),
        )
        facts = Table.grid(padding=(0, 2))
        facts.add_row(Text("cohort", style="dim"), Text(_cohort(record)))
        facts.add_row(Text("groups", style="dim"), Text(_groups(record)))
        facts.add_row(Text("bytes", style="dim"), Text(f"{size(self.bytes[0])} up, {size(self.bytes[1])} down"))
        if self.found:
            scores = Text(f"round {self.found['round']}: ")
            for at, (name, value) in enumerate(accuracies(self.found)):
                scores.append(("   " if at else "") + f"{name} ", style="dim")
                scores.append(value, style="bold")
            facts.add_row(Text("accuracy", style="dim"), scores)
        return Group(head, bar, facts, *(Text(event, style="yellow") for event in self.events))

    # -- Ctrl-C ------------------------------------------------------------------------------------------

    def _watch_interrupt(self) -> None:
        """Puts a sentence before what the run itself does at the first Ctrl-C; the run takes it off at its end."""
        if self._chained or threading.current_thread() is not threading.main_thread():
            return
        self._chained = True
        before = signal.getsignal(signal.SIGINT)
        if not callable(before):
            return

        def note(number: int, frame: FrameType | None) -> None:
            if not self.ending:
                self.ending = True
                then = f", then: {self.again}" if self.again else ""
                self.events.append(f"Ctrl-C: finishing this round{then}; once more breaks off at once")
                if self._live is None and not self.quiet:
                    self.console.print(self.events[-1], markup=False)
            before(number, frame)

        signal.signal(signal.SIGINT, note)


def accuracies(row: dict[str, Any]) -> list[tuple[str, str]]:
    """What an evaluation found, as (name, value): served, expert with its effect, local, the majority's."""
    out = []
    if "served_global" in row:
        out.append(("served", percent(row["served_global"])))
    if "expert_global" in row:
        effect = f"{row['expert_effect']:+.1f}".replace("-", "−")
        out.append(("expert", f"{percent(row['expert_global'])} ({effect})"))
    local = [("local", ("served_local", "group_local")), ("with own prior", PRIOR), ("majority", ("majority_local",))]
    for name, columns in local:
        value = first(row, columns)
        if value is not None:
            out.append((name, percent(value)))
    return out


PRIOR = ("expert_prior_local", "group_prior_local", "served_prior_local")


def first(row: dict[str, Any], names: tuple[str, ...]) -> float | None:
    """The first of the named columns that the row has; those of a split test where there is no other."""
    for name in (*names, *(f"{name}_split" for name in names)):
        if name in row:
            return float(row[name])
    return None


def _cohort(record: Record) -> str:
    if not record.cohort.size:
        return "nobody yet"
    ids = record.cohort.tolist()
    some = ", ".join(str(i) for i in ids[:8])
    return f"{len(ids)} clients: {some}{' …' if len(ids) > 8 else ''}"


def _groups(record: Record) -> str:
    sizes = sorted(record.groups.values(), reverse=True)
    some = ", ".join(str(s) for s in sizes[:GROUPS])
    more = f" and {len(sizes) - GROUPS} more" if len(sizes) > GROUPS else ""
    return f"{len(sizes)}, of {some}{more} clients" if sizes else "none"
