"""A local part at another pace: the same part, with the settings of its phases' SGD replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

from disue.core.checks import Vector
from disue.core.clients import Context, Finished, Local, Memory, Order, Phase, Sgd


@dataclass(frozen=True)
class Paced:
    """`inner` with `settings` put over the `Sgd` of each of its phases, as in {"steps": 1} or {"lr": 0.0}."""

    inner: Local
    settings: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        """What a part may say besides: `keeps`, `personal`, `private` …"""
        if name.startswith("__") or "inner" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(_at_pace(phase, replace(phase.sgd, **self.settings)) for phase in self.inner.phases)

    def at(self, round: int) -> Paced:
        return Paced(self.inner.at(round), self.settings)

    def brief(self, epochs: int) -> Paced:
        return Paced(self.inner.brief(epochs), self.settings)

    def context(self, order: Order, memory: Memory) -> Context:
        return self.inner.context(order, memory)

    def finish(self, ends: Mapping[str, Vector], steps: int, context: Context, order: Order) -> Finished:
        return self.inner.finish(ends, steps, context, order)


def paced(local: Local, **settings: float) -> Local:
    """The part at this pace."""
    return Paced(local, settings)


class _Phase:
    """A phase that is no dataclass with a field `sgd`, with another one all the same."""

    def __init__(self, phase: Phase, sgd: Sgd) -> None:
        self._phase, self.sgd = phase, sgd

    def __getattr__(self, name: str) -> Any:
        return getattr(self._phase, name)


def _at_pace(phase: Phase, sgd: Sgd) -> Phase:
    if is_dataclass(phase) and not isinstance(phase, type) and any(one.name == "sgd" for one in fields(phase)):
        found: Phase = replace(phase, sgd=sgd)
        return found
    proxy: Any = _Phase(phase, sgd)
    return cast(Phase, proxy)
