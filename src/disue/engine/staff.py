"""Who does the clients' work, and with which backend: this process, or workers beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from disue.core.clients import Clients, Context, Local
from disue.core.world import Network
from disue.engine.choice import block_for, choose, predicted, step_of, workers_for
from disue.engine.chores import Chore, portions
from disue.engine.crew import Choice, Here
from disue.engine.interface import Trained, Work
from disue.engine.pool import Pool
from disue.engine.pool.worker import Setup
from disue.engine.shelf import Shelf


def portioned(blocks: list[list[int]]) -> list[list[int]]:
    """What workers are given: blocks as they are; clients that train one by one in some portions, in the same order.

    A message for each of a hundred small clients would take as long as their training.
    """
    if any(len(block) > 1 for block in blocks):
        return blocks
    return portions([client for block in blocks for client in block])


PERSONAL = "personal"  # the stream of what is trained for an evaluation alone


class Staff:
    """Starts its workers when the first long exchange needs them. `choice` is the backend, once it is known.

    The bits of what is done depend on neither the number of workers nor on who does it.
    """

    def __init__(
        self,
        clients: Clients,
        backend: str | Choice,
        block: int,
        *,
        workers: int,
        cache: int,
        dtype: torch.dtype,
        device: str,
    ) -> None:
        self._clients, self._block, self._workers = clients, block, workers
        self._cache, self._dtype, self._device = cache * 2**20, dtype, device
        self.shelf = Shelf(clients, dtype, device, self._cache)
        self._here = Here(self.shelf)
        self.pool: Pool | None = None
        self.choice: Choice | None = None
        self._unsaid = isinstance(backend, Choice)  # a recorded choice, of which a killed run may have said nothing
        if isinstance(backend, Choice):
            self.choice = backend
        elif backend != "auto":
            self.choice = Choice(backend, block if backend == "stacked" else 0)

    def close(self) -> None:
        """Ends the workers."""
        if self.pool is not None:
            self.pool.close()
            self.pool = None

    def each(self, chores: Sequence[Chore], network: Network, round: int) -> Iterator[Any]:
        """What each chore gives, in their order: by the workers, where there are some."""
        if self.pool is None or len(chores) < 2:
            return (chore.do(self._here) for chore in chores)
        try:
            return self.pool.each(chores, network, round)
        except BaseException:
            self.close()  # chores may be under way: no worker of this exchange may answer the next one
            raise

    def train(
        self, work: Work, local: Local, contexts: Mapping[int, Context], rounds: int, notes: list[str]
    ) -> Iterator[Trained]:
        """How each client ended, in the order in which they are done; sentences for the log go to `notes`."""
        sizes = {client: self._clients.size(client) for client in contexts}
        if not sizes:
            return
        choice = self._choose(work, local, contexts, sizes, rounds, notes)
        pool = self._pooled(work, local, sizes, rounds)
        if pool is None:
            yield from self._here.train(work, local, contexts, sizes, choice)
            return
        blocks = portioned(self._here.backend(choice).cut(local, sizes))
        try:
            yield from pool.train(work, local, contexts, blocks, choice)
        except BaseException:
            self.close()
            raise
        notes += pool.notes
        pool.notes.clear()

    def _choose(
        self,
        work: Work,
        local: Local,
        contexts: Mapping[int, Context],
        sizes: Mapping[int, int],
        rounds: int,
        notes: list[str],
    ) -> Choice:
        """The run's backend, or for this work another one, with the reason among the notes."""
        if self.choice is None and work.stream == PERSONAL:
            return Choice("lean")  # what an evaluation trains says little of what the run will
        if self.choice is None:
            self.choice = choose(self._here, work, local, contexts, sizes, rounds)
            if self._block and self.choice.backend == "stacked":
                self.choice = replace(self.choice, block=self._block)
            notes.append(f"engine: {self.choice}")
        elif self._unsaid and work.stream != PERSONAL:
            notes.append(f"engine: {self.choice}")
            self._unsaid = False
        if self.choice.backend == "stacked" and not self.choice.block:
            self.choice = replace(self.choice, block=block_for(len(sizes), step_of(work, local)))
        why = self._here.backend(self.choice).refuses(work, local)
        if why:
            notes.append(f"engine: trained with lean instead of {self.choice.backend}: {why}")
            return Choice("lean")
        return self.choice

    def _pooled(self, work: Work, local: Local, sizes: Mapping[int, int], rounds: int) -> Pool | None:
        """The workers, started when the first long exchange needs them."""
        if self._workers == 0:
            self._workers = workers_for(predicted(work, local, sizes, rounds), self._device)
        if self._workers > 1 and self.pool is None:
            setup = Setup(self._clients, work.network, self._cache, self._dtype, self._device)
            self.pool = Pool(self._workers, setup)
        return self.pool
