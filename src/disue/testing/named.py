"""The methods of `disue list methods` as subjects: every name of the table, and NAME+expert for every method of groups.

A name that is in no table below is run on the standard federation with its default settings (three groups, where it
takes a number of them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from disue.core.errors import unknown
from disue.methods import table
from disue.runs.assemble import method_keys
from disue.runs.spec import Spec
from disue.testing.identities import of_expert, of_host
from disue.testing.scenario import Scenario
from disue.testing.subject import Subject

EXPERT = "+expert"
GROUPS = 3


@dataclass(frozen=True)
class Needs:
    """What a method needs to be put to the test.

    method    keys of [method], the tables of its slots among them
    local     keys of [local]
    scenario  fields of `Scenario`
    expert    [method.expert] of NAME+expert
    regroups, splits, moves   see `Subject`
    """

    method: Mapping[str, Any] = field(default_factory=dict)
    local: Mapping[str, Any] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)
    expert: Mapping[str, Any] = field(default_factory=lambda: {"kind": "distil"})
    regroups: bool = False
    splits: bool = False
    moves: str = ""


# A short D-phase that begins in round 0; sixteen noise inputs to a batch.
GENERATOR = {"iterations": 2, "student_steps": 2, "batch": 16, "nz": 8, "width": 4, "warmup": 0, "ramp": 1, "void": 1.0}
COHORT = Needs(method={"expert": GENERATOR}, regroups=True)

# Clients start from no single group's model, so an expert is a by-product there: its share must be 0.
BESIDE = {"kind": "distil", "share": 0.0}
SUM = Needs(expert={**BESIDE, "family": "generator", **GENERATOR})  # a sum of two models has no head to replace

NEEDS: Mapping[str, Needs] = {
    "fedsoft": Needs(
        expert=BESIDE,
        moves="a group's model, which is a mean of clients that started from several,",
    ),
    "ifca-cam": SUM,
    "fesem-cam": SUM,
    # splits what it can from the first round on: eight clients are split twice and more
    "cfl": Needs(
        method={"grouping": {"eps1": 1e6, "eps2": 0.0, "after": 0}},
        scenario={"share": 1.0},
        splits=True,
    ),
    # images large enough that a batch of two has a variance in the last block: else rounding grows a millionfold
    "fedbn": Needs(scenario={"model": {"name": "resnet8", "norm": "batch", "width": 4}, "shape": (1, 8, 8)}),
    "pfedme": Needs(scenario={"lr": 0.05}),  # lr · tether must not pass 1
    "ccvr": Needs(method={"features": 20, "steps": 10}),
    "fedftg": Needs(method={"expert": {"iterations": 2, "student_steps": 2, "batch": 16, "nz": 8, "width": 4}}),
    "dfrd": Needs(method={"expert": {"iterations": 2, "student_steps": 2, "batch": 16, "nz": 8, "width": 4}}),
    "fedgen": Needs(
        method={"aggregate": {"steps": 3, "batch": 8, "noise": 4, "hidden": 8}}, local={"a": 1.0, "b": 1.0}
    ),
    "dense": Needs(method={"expert": {"epochs": 2, "generator_steps": 2, "batch": 16, "nz": 8, "width": 4}}),
    "fedpft": Needs(method={"steps": 10, "warmup": 2}),
    "feddf": Needs(method={"steps": 4, "batch": 8}),
    "flhc": Needs(method={"after": 1}),  # groups within the few rounds of a scenario
    "disue-generator": COHORT,
    "disue-generator-no-gls": COHORT,
    "disue-generator-no-gwf": COHORT,
    "disue-generator-neither": COHORT,
    "disue-generator-real": COHORT,
}


def names() -> list[str]:
    """All names that `named` takes."""
    return [*table.TABLE, *(name + EXPERT for name in table.CLUSTERED)]


def needs_of(name: str) -> Needs:
    return NEEDS.get(name, Needs())


def named(name: str) -> Subject:
    """A method of the table, or one of its groups with an expert ("ifca+expert"), with what it needs."""
    host = name.removesuffix(EXPERT)
    if host not in table.TABLE:
        raise unknown("method", name, names())
    needs = needs_of(host)
    method = {"name": host, **_groups(host), **needs.method}
    if name != host:
        method["expert"] = {**needs.expert}
    scenario = replace(Scenario(), **needs.scenario)
    tables = {"method": method, "local": {**pace(scenario), **needs.local}}
    built = Spec.of({**scenario.tables(), **tables}).build()
    return Subject(
        name,
        built,
        scenario,
        tables,
        regroups=needs.regroups,
        splits=needs.splits,
        moves=needs.moves,
        identities=of_host(host, scenario) if name == host else of_expert(method, built, scenario),
    )


def _groups(name: str) -> dict[str, int]:
    return {"k": GROUPS} if "k" in method_keys(name) else {}


def pace(scenario: Scenario) -> dict[str, Any]:
    """[local] for short training."""
    return {"epochs": scenario.epochs, "batch": scenario.batch, "lr": scenario.lr}
