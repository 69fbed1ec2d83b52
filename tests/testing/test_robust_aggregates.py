"""Every robust aggregate in place of the mean through the conformance suite."""

from __future__ import annotations

import pytest

from disue.parts.aggregate.robust import KINDS
from disue.runs.spec import Spec
from disue.testing import Subject, conforms
from disue.testing.named import pace
from disue.testing.scenario import Scenario

QUICK = ("repeat", "places", "names", "order", "untouched", "absent", "toml")
FEW = {kind: {"liars": 0} for kind in ("krum", "bulyan")}  # a cohort has six


def subject(kind: str, name: str = "fedavg", **keys: object) -> Subject:
    scenario = Scenario()
    method = {"name": name, "aggregate": {"kind": kind, **FEW.get(kind, {}), **keys}}
    tables = {"method": method, "local": pace(scenario)}
    return Subject(f"{name}+{kind}", Spec.of({**scenario.tables(), **tables}).build(), scenario, tables)


@pytest.mark.parametrize("kind", KINDS)
def test_each(kind: str) -> None:
    conforms(subject(kind), backends=["lean"], only=QUICK)


@pytest.mark.parametrize("kind", ["centred", "foolsgold"])
def test_those_that_remember_are_resumed(kind: str) -> None:
    conforms(subject(kind), backends=["lean"], only=["resume"])


@pytest.mark.parametrize("kind", ["trimmed", "clipped"])
def test_degenerate_federations(kind: str) -> None:
    keys = {"liars": 0, "trim": 0.2} if kind == "trimmed" else {}
    conforms(subject(kind, **keys), backends=["lean"], only=["one-sample", "one-class", "silence"])


def test_groups_that_start_apart_with_buckets() -> None:
    conforms(subject("centred", "ifca", buckets=2), backends=["lean"], only=("names", "order", "empty-group", "absent"))


@pytest.mark.conformance
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_it(kind: str) -> None:
    # both ask one client alone, and a cohort of one is refused where a rule needs several
    conforms(subject(kind), without=["one-client", "empty-group"] if KINDS[kind]().least > 1 else [])
