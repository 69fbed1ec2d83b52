"""Which backend trains: a rule for short runs, a short measurement for long ones.

The choice decides the last bits of a run, so it is made once and recorded; a run that goes on takes the
record and measures nothing.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from typing import Any

from disue.core.clients import Context, Local
from disue.engine.cost import RATE, flops, passes
from disue.engine.crew import Choice, Here
from disue.engine.interface import Job, Work
from disue.engine.recall import key_of, remember, remembered

FEW = 5  # clients: fewer are not worth stacking
SMALL = 10e6  # operations a step: below, stacking wins everywhere it was measured
WORTH = 20.0  # seconds: a shorter run takes the rule
BUDGET, SHARE = 2.0, 0.01  # the measurement takes at most so many seconds, and so much of the run
BATCHES, TURNS = 4, 3  # what a candidate trains in a turn, and how often
POOLED = 10.0  # seconds of training that make workers worth their start


def predicted(work: Work, local: Local, sizes: Mapping[int, int], rounds: int) -> float:
    """Seconds that a run's training is expected to take on one core; good to a factor of three."""
    return flops(work.network) * passes(local, sizes) * max(rounds, 1) / RATE


def workers_for(seconds: float, device: str) -> int:
    """How many workers a run deserves that trains so long: one per core, none where it would be over sooner."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if seconds >= POOLED and device == "cpu" else 1


def block_for(clients: int, step: float) -> int:
    """Clients at once: four blocks in a cohort where they are not too small, whatever the number of workers.

    step  operations of one client's step: a small one wants ten clients or more beside it, a large one needs no more
          than three
    """
    return max(10 if step < SMALL else 3, min(50, -(-clients // 4)))


def choose(
    here: Here, work: Work, local: Local, contexts: Mapping[int, Context], sizes: Mapping[int, int], rounds: int
) -> Choice:
    """By rule where the run is short, else by measurement on the clients of this exchange."""
    seconds = predicted(work, local, sizes, rounds)
    short = seconds < WORTH or work.device != "cpu"
    offered = _offered(here, work, local, len(sizes), compiled=not short)
    first = _by_rule(work, local, offered)
    if short or len(offered) == 1:
        return first
    key = key_of(work, local, sizes)
    known = remembered(key)
    if known is not None and any((one.backend, one.block) == (known.backend, known.block) for one in offered):
        return dataclasses.replace(known, why="measured before")
    found = _measured(here, work, local, contexts, offered, first, min(BUDGET, SHARE * seconds))
    if found.why != "measured" or known is not None:  # one that is known and not offered here is another's
        return found
    return remember(key, found)


def _offered(here: Here, work: Work, local: Local, clients: int, compiled: bool) -> list[Choice]:
    """The backends that can do this work. Compiled code takes seconds to make, and is never taken by rule:
    whether it lies ready must not decide the bits of a run."""
    found = [Choice("lean", why="by rule")]
    if work.network.input_kind == "image" and work.device == "cpu":
        found.append(Choice("lean-plain", why="by rule"))
    if clients >= FEW or work.device != "cpu":
        found.append(Choice("stacked", block_for(clients, step_of(work, local)), "by rule"))
    if compiled:
        found.append(Choice("native", why="by rule"))
    return [one for one in found if not _refused(here, one, work, local)]


def _refused(here: Here, choice: Choice, work: Work, local: Local) -> str:
    from disue.core.errors import UserError

    try:
        return here.backend(choice).refuses(work, local)
    except UserError as error:
        return str(error)


def _by_rule(work: Work, local: Local, offered: list[Choice]) -> Choice:
    by_name = {one.backend: one for one in offered}
    if "stacked" in by_name and (work.device != "cpu" or step_of(work, local) < SMALL):
        return by_name["stacked"]
    return by_name["lean"]


def step_of(work: Work, local: Local) -> float:
    """Operations of one client's step."""
    return max((phase.sgd.batch for phase in local.phases), default=1) * flops(work.network)


def _measured(
    here: Here,
    work: Work,
    local: Local,
    contexts: Mapping[int, Context],
    offered: list[Choice],
    first: Choice,
    budget: float,
) -> Choice:
    """The least of a few turns in CPU seconds, which neighbours on the machine hardly touch."""
    brief = local.brief(1)
    until = time.perf_counter() + budget
    costs: dict[str, float] = {}
    for turn in range(TURNS + 1):  # turn 0 is not counted: first calls fill caches
        for one in list(offered):
            name = str(one.backend)
            best = min(costs.values(), default=float("inf"))
            if turn > 1 and costs.get(name, 0.0) > 1.5 * best:
                continue
            cost = _cost(here, work, brief, contexts, one)
            if turn:
                costs[name] = min(cost, costs.get(name, cost))
            if time.perf_counter() > until and len(costs) == len(offered):
                break
    if "lean" not in costs:
        return first
    found = min(offered, key=lambda one: costs.get(one.backend, float("inf")))
    if found.backend != "lean" and costs[found.backend] > 0.95 * costs["lean"]:
        found = next(one for one in offered if one.backend == "lean")
    return dataclasses.replace(found, why="measured", costs={name: 1e6 * cost for name, cost in costs.items()})


def _cost(here: Here, work: Work, brief: Local, contexts: Mapping[int, Context], one: Choice) -> float:
    """CPU seconds per sample of a few batches; of as many clients as the candidate trains at once."""
    most = BATCHES * max(phase.sgd.batch for phase in brief.phases)
    clients = sorted(contexts)[: max(one.block, 1)]
    jobs: list[Job] = []
    for client in clients:
        whole: Any = here.job(client, brief, contexts[client])
        jobs.append(dataclasses.replace(whole, inputs=whole.inputs[:most], labels=whole.labels[:most]))
    began = time.process_time()
    for _ in here.backend(one).train(work, jobs):
        pass
    spent = time.process_time() - began
    return spent / passes(brief, {job.id: len(job.labels) for job in jobs})
