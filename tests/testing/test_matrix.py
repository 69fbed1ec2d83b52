"""Every method of the table, and every method of groups with an expert, on every backend.

`make conformance` runs all of it. `make test` runs the identities of every method, and all checks of a few methods that
between them have everything that a method can have: memories, an exchange beside the model, choices, splits, a survey,
an expert of either family.
"""

from __future__ import annotations

import pytest

from disue.methods.table import CLUSTERED, TABLE
from disue.testing import BACKENDS, CHECKS, conforms, named, names
from disue.testing.checks import trained_by
from disue.testing.named import EXPERT
from disue.testing.play import trace

FEW = {
    "scaffold": "lean",
    "feddyn": "stacked",
    "ifca+expert": "lean",
    "cfl": "lean",
    "disue": "stacked",
    "disue-generator": "lean",
}
DEAR = ("processes", "resume", "identities")  # one process more, disks, and what is run for every method anyway


@pytest.mark.conformance
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", names())
def test_every_method_on_every_backend(name: str, backend: str) -> None:
    subject = named(name)
    if why := trained_by(subject, backend):
        pytest.skip(f"{backend} leaves it to lean: {why}")
    conforms(subject, backends=[backend])


@pytest.mark.parametrize("name", names())
def test_identities(name: str) -> None:
    conforms(named(name), backends=["lean"], only=["identities"])


@pytest.mark.parametrize(("name", "backend"), FEW.items())
def test_a_few_methods(name: str, backend: str) -> None:
    conforms(name, backends=[backend], without=DEAR)


def test_a_few_methods_elsewhere_and_resumed() -> None:
    for name in ("scaffold", "disue", "disue-generator"):
        conforms(name, backends=["lean"], only=["processes"])
    for name in ("scaffold", "disue-generator"):
        conforms(name, backends=["lean"], only=["resume"])


@pytest.mark.parametrize("name", ["scaffold", "fedprox", "moon", "ifca"])
def test_backends(name: str) -> None:
    """Those with a local part of their own or a choice; native where the part and the machine let it."""
    conforms(name, backends=["lean", "stacked", "native"], only=["backends"])


def test_every_check_has_a_control() -> None:
    """Every check has a method in `test_controls` that it catches."""
    from test_controls import CLAIMS, FAULTS

    assert {check for check, *_ in FAULTS} | CLAIMS == set(CHECKS)


def test_methods_of_groups_make_groups() -> None:
    """What is checked of groups is checked of several."""
    for name in CLUSTERED:
        assert trace(named(name))[-1].groups.present().size > 1, name


def test_methods_of_groups_are_there_with_an_expert() -> None:
    assert set(names()) == {*TABLE, *(name + EXPERT for name in CLUSTERED)}
    for name in CLUSTERED:
        assert named(name + EXPERT).method.expert.serves and not named(name).method.expert.serves
