"""The choice of a backend, and training in this process. `pool` gives the same bits in others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from disue.core.checks import Array
from disue.core.clients import Context, Local
from disue.engine.interface import Backend, Job, Trained, Work
from disue.engine.registry import make
from disue.engine.shelf import Shelf


@dataclass(frozen=True)
class Choice:
    """Which backend trains, and how many clients at once (0: its default).

    why   how that was found: "given", "by rule", "measured"     costs  µs per sample and candidate, where measured
    """

    backend: str
    block: int = 0
    why: str = "given"
    costs: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        name = f"{self.backend}, {self.block} clients at once" if self.block else self.backend
        costs = ", ".join(f"{one} {cost:.0f}" for one, cost in sorted(self.costs.items(), key=lambda pair: pair[1]))
        return f"{name} ({self.why}{f': µs a sample: {costs}' if costs else ''})"


class Here:
    """What this process does clients' work with: their data, backends that are made once, memory that is shared.

    view   where a chore writes what another process reads
    """

    def __init__(self, shelf: Shelf, view: Callable[[Any], Array] | None = None) -> None:
        self.shelf, self._view = shelf, view
        self._backends: dict[tuple[str, int], Backend] = {}

    def made(self, backend: str, block: int = 0) -> Backend:
        """The backend itself."""
        key = (backend, block)
        if key not in self._backends:
            self._backends[key] = make(*key)
        return self._backends[key]

    def backend(self, choice: Choice) -> Backend:
        return self.made(choice.backend, choice.block)

    def view(self, ref: Any) -> Array:
        assert self._view is not None
        return self._view(ref)

    def job(self, client: int, local: Local, context: Context) -> Job:
        data = self.shelf.get(client)
        return Job(client, local, context, data.inputs, data.labels)

    def train(
        self, work: Work, local: Local, contexts: Mapping[int, Context], sizes: Mapping[int, int], choice: Choice
    ) -> Iterator[Trained]:
        backend = self.backend(choice)
        for block in backend.cut(local, sizes):
            yield from backend.train(work, (self.job(i, local, contexts[i]) for i in block))

    def close(self) -> None:
        self._backends.clear()
