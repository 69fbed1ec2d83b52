"""The lots of a run: cut once, before the first round, within the groups that stand by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.lots import Lots
from disue.core.orders import Sight
from disue.runs.assemble import AnyMethod
from disue.runs.setup import Setup
from disue.runs.spec import Spec


@dataclass(frozen=True, eq=False)
class Standing:
    """cohort  who is drawn together, None: clients one by one      static  whose label counts and moments are summed"""

    cohort: Lots | None = None
    static: Lots | None = None

    @staticmethod
    def cut(setup: Setup, groups: Groups | None) -> Standing:
        spec, streams = setup.spec, setup.world.streams
        size = static_size(setup.method)
        static = Lots.cut(setup.ids, size, streams, groups) if size else None
        drawn = spec.cohort.kind == "lots"
        cohort = Lots.cut(setup.ids, spec.cohort.lot, streams, groups, within=size) if drawn else None
        return Standing(cohort, static)

    def plain(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: lots.plain() for name, lots in vars(self).items() if lots is not None}

    @staticmethod
    def read(plain: Mapping[str, Any]) -> Standing:
        return Standing(**{name: Lots.read(lots) for name, lots in plain.items()})


def static_size(method: AnyMethod) -> int:
    """Clients of a lot over which the expert's label counts and moments are summed; 0: no lots."""
    return int(getattr(method.expert, "lot", 0)) if method.expert.sight & {Sight.LABELS, Sight.MOMENTS} else 0


def least(method: AnyMethod) -> int:
    """How many clients of a lot must hold a class."""
    return int(getattr(method.expert, "min_class", 1))


def check(spec: Spec, method: AnyMethod) -> None:
    """Refuses lots whose moments would never be whole."""
    size = static_size(method)
    if not size or Sight.MOMENTS not in method.expert.sight or bool(getattr(method.expert, "releases", 0)):
        return
    if spec.cohort.kind != "lots" or spec.cohort.lot != size:
        raise UserError(
            f'method.expert.lot is {size}, and a cohort seldom holds a whole lot: set cohort.kind = "lots" and '
            f"cohort.lot = {size}, or method.expert.releases",
            key="method.expert.lot",
            found=size,
        )
