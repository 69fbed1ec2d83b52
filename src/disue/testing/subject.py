"""What is put to the test: a method, and what it needs beyond the standard federation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeAlias

from disue.methods.composed import Composed
from disue.testing.scenario import Scenario

AnyMethod: TypeAlias = Composed[Any, Any, Any]


@dataclass(frozen=True)
class Identity:
    """`ours` is the same method as `theirs`, after every round of a scenario.

    name    what is claimed, in words
    theirs  the method that it must be
    ours    the method with its settings; None: the subject itself
    within  0: bit for bit; else the largest difference of an entry
    of      "served": what clients receive and their groups' models; "used": the model that each client uses, its own
            where it makes one; "average", "models", "expert": the state's
    under   the scenario; None: the subject's own
    apart   the subject itself, on its own scenario, is another method than `theirs`: the control, without which the
            claim could say nothing
    """

    name: str
    theirs: AnyMethod
    ours: AnyMethod | None = None
    within: float = 0.0
    of: str = "served"
    under: Scenario | None = None
    apart: bool = True


@dataclass(frozen=True)
class Subject:
    """A method under test.

    name        for messages
    method      the value; every check takes fresh copies of it
    scenario    the federation that it is run on
    tables      [method] and [local] of a spec that says the method; None: no spec can say it, and the check of the
                round trip through TOML is left out
    listing     a context in which a spec knows the method's name, where the table does not list it
    regroups    groups are made anew while the method runs, so a new one may hold members of several old ones
    splits      the scenario makes it split a child of a split: the check of lineage insists on seeing that
    moves       what the server moves although no client does, beside an expert, as in "the classifier, which is
                calibrated"; "": nothing
    identities  what it must be the same as
    """

    name: str
    method: AnyMethod
    scenario: Scenario = Scenario()
    tables: Mapping[str, Any] | None = None
    listing: Callable[[], AbstractContextManager[object]] = nullcontext
    regroups: bool = False
    splits: bool = False
    moves: str = ""
    identities: tuple[Identity, ...] = field(default=())

    def fresh(self, scenario: Scenario | None = None) -> AnyMethod:
        """The method, as new: nothing that an earlier run may have hidden in it is there."""
        return fitted(copy.deepcopy(self.method), self.scenario if scenario is None else scenario)


def fitted(method: AnyMethod, scenario: Scenario) -> AnyMethod:
    """The method with no more groups than there are clients, where its grouping says a number."""
    k, clients = getattr(method.grouping, "k", None), len(scenario.ids)
    if not isinstance(k, int) or k <= clients:
        return method
    return replace(method, grouping=changed(method.grouping, k=clients))


def changed(part: Any, **settings: Any) -> Any:
    """A part with those of the settings that it has."""
    if not is_dataclass(part) or isinstance(part, type):
        return part
    known = {one.name for one in fields(part) if one.init}
    return replace(part, **{name: value for name, value in settings.items() if name in known})


def small(method: AnyMethod, scenario: Scenario) -> AnyMethod:
    """The method with short local training, where its local part has the usual settings."""
    local = changed(method.local, epochs=scenario.epochs, steps=0, batch=scenario.batch, lr=scenario.lr)
    return replace(method, local=local)
