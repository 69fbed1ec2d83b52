"""The controls: a method with a fault, and the check that names it. Without the fault every check holds."""

from __future__ import annotations

import re
import shutil
from typing import Any

import faults
import pytest
from faults import method

from disue.parts.grouping import Linkage
from disue.testing import Scenario, checks

FAULTS: list[tuple[str, Any, str, str]] = [
    ("partition", faults.method(grouping=faults.Positions()), "lean", "is no client's id"),
    ("partition", faults.method(grouping=faults.Vanishing()), "lean", "vanished|in no group"),
    ("places", faults.method(grouping=faults.ByPlace()), "lean", "other places"),
    ("names", faults.method(grouping=faults.ByName()), "lean", "renamed"),
    ("absent", faults.method(grouping=faults.Restless()), "lean", "was moved from group"),
    ("lineage", faults.method(grouping=faults.Leaving()), "lean", "who were not in it"),
    ("lineage", faults.method(grouping=faults.PlacesInGroup()), "lean", "exactly the members"),
    ("one-client", faults.method(grouping=faults.Crowded()), "lean", "Error"),
    ("one-client", faults.method(aggregate=faults.Spread()), "lean", "not finite"),
    ("one-class", faults.method(aggregate=faults.Balanced()), "lean", "not finite"),
    ("one-sample", faults.method(local=faults.Bessel()), "lean", "NaN"),
    ("empty-group", faults.method(grouping=faults.BySize(2), aggregate=faults.Unguarded()), "lean", "not finite"),
    ("silence", faults.Lingering(**vars(method())), "lean", "models moved"),
    ("repeat", faults.method(aggregate=faults.Shaken()), "lean", "two runs differ"),
    ("processes", faults.method(aggregate=faults.Hashed()), "lean", "another hash seed"),
    ("resume", faults.method(aggregate=faults.Hidden()), "lean", "resumed"),
    ("memory", faults.method(grouping=Linkage(k=2, regroup=1), local=faults.InPlace()), "lean", "on the disk"),
    ("memory", faults.method(local=faults.Secretive()), "lean", "`keeps` says"),
    ("untouched", faults.method(aggregate=faults.Writing()), "lean", "`tell` changed"),
    ("order", faults.method(aggregate=faults.FirstComes()), "lean", "in another order"),
    ("rest", faults.method(aggregate=faults.Rotting()), "lean", "at rate zero"),
    ("backends", faults.method(local=faults.Phased(kind=faults.OfBatch)), "stacked", "stacked is not loop"),
    ("backends", faults.method(local=faults.Phased(kind=faults.WrongPull)), "native", "native is not loop"),
    ("toml", faults.counted, "lean", "is another"),
]


@pytest.mark.parametrize(("check", "faulty", "backend", "said"), FAULTS, ids=lambda value: str(value)[:12])
def test_a_fault_is_named_by_its_check(check: str, faulty: Any, backend: str, said: str) -> None:
    if backend == "native" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("no compiler on this machine")
    (found,) = checks(
        faulty, backends=[backend], only=[check], scenario=Scenario(share=1.0 if check == "lineage" else 0.75)
    )
    with pytest.raises(AssertionError) as caught:
        found()
    assert re.search(said, str(caught.value)), caught.value
