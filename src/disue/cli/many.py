"""What is shown while many runs are made: a live block on a terminal, else a line per finished run."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from disue.cli.tables import console, percent, seconds

if TYPE_CHECKING:
    from disue.study.plan import Job
    from disue.study.progress import Progress, Said


class Many:
    """Shows the progress of a study on stderr; give it to `compare` or `tune` as `on_progress`."""

    def __init__(self, title: str, *, quiet: bool = False, to: Console | None = None) -> None:
        self.title, self.quiet = title, quiet
        self.console = to or console(err=True)
        self.progress: Progress | None = None
        self._live: Live | None = None
        self._titled = False
        self._ending = False

    def __enter__(self) -> Self:
        if not self.quiet and self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, progress: Progress) -> None:
        self.progress = progress
        if self.quiet:
            return
        if progress.lost:
            self.console.print(progress.lost, markup=False)
        if self._live is not None:
            return
        if not self._titled:
            self._titled = True
            self.console.print(f"{self.title}: {progress.done} of {progress.total} runs are there", markup=False)
        if progress.ending and not self._ending:
            self._ending = True
            self.console.print(ENDING, markup=False)
        if progress.finished is not None:
            by = f"  on {progress.by}" if progress.by else ""
            self.console.print(
                f"{progress.done}/{progress.total}  {progress.finished}{by}  {_left(progress)}", markup=False
            )

    def __rich__(self) -> Group:
        head = Text(self.title, style="bold")
        progress = self.progress
        if progress is None:
            return Group(head, Text("checking what is there …", style="dim"))
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            Text(f"{progress.done} of {progress.total} runs"),
            ProgressBar(total=max(progress.total, 1), completed=progress.done, width=30),
            Text(_left(progress)),
            Text(f"{seconds(progress.passed)} passed", style="dim"),
        )
        going = Table.grid(padding=(0, 2))
        for job, said in progress.going:
            going.add_row(*_row(job, said))
        for host, runs in sorted(progress.others.items()):
            going.add_row(Text(f"{runs} run{'s' if runs > 1 else ''} on {host or 'another machine'}", style="dim"))
        more = [Text(ENDING, style="yellow")] if progress.ending else []
        return Group(head, bar, going, *more)


ENDING = "stopping: the runs in hand finish their round; the same command goes on; another Ctrl-C breaks off at once"


def _left(progress: Progress) -> str:
    return "" if progress.left is None else f"{seconds(progress.left)} left"


def _row(job: Job, said: Said) -> list[Text | ProgressBar]:
    return [
        Text(str(job)),
        ProgressBar(total=said.rounds, completed=max(said.round, 0), width=16),
        Text(f"round {said.round} of {said.rounds}" if said.round >= 0 else "starts", style="dim"),
        Text(f"served {percent(said.served)} %" if said.served is not None else ""),
    ]
