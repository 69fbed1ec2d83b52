"""The controls: a method with a fault, and the check that names it. Without the fault every check holds."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from typing import Any

import faults
import numpy as np
import pytest
from faults import method

from disue.core.errors import UserError
from disue.methods import TABLE
from disue.methods._template import by_size
from disue.parts.aggregate import Mean
from disue.parts.expert import Distil
from disue.parts.grouping import Linkage
from disue.parts.local import Erm
from disue.parts.start import FromExpert
from disue.testing import CHECKS, Identity, Scenario, checks, conforms, named, run
from disue.testing.groups import alone_and_alike
from disue.testing.play import trace

ALL = Scenario(share=1.0)
FAULTS: list[tuple[str, Any, str, str]] = [
    ("partition", method(grouping=faults.Positions()), "lean", "is no client's id"),
    ("partition", method(grouping=faults.Vanishing()), "lean", "vanished|in no group"),
    ("places", method(grouping=faults.ByPlace()), "lean", "other places"),
    ("names", method(grouping=faults.ByName()), "lean", "renamed"),
    ("absent", method(grouping=faults.Restless()), "lean", "was moved from group"),
    ("lineage", method(grouping=faults.Leaving()), "lean", "who were not in it"),
    ("lineage", method(grouping=faults.PlacesInGroup()), "lean", "exactly the members"),
    ("one-client", method(grouping=faults.Crowded()), "lean", "Error"),
    ("one-client", method(aggregate=faults.Spread()), "lean", "not finite"),
    ("one-class", method(aggregate=faults.Balanced()), "lean", "not finite"),
    ("one-sample", method(local=faults.Bessel()), "lean", "NaN"),
    ("empty-group", method(grouping=faults.BySize(2), aggregate=faults.Unguarded()), "lean", "not finite"),
    ("silence", faults.Lingering(**vars(method())), "lean", "models moved"),
    ("repeat", method(aggregate=faults.Shaken()), "lean", "two runs differ"),
    ("processes", method(aggregate=faults.Hashed()), "lean", "another hash seed"),
    ("resume", method(aggregate=faults.Hidden()), "lean", "resumed"),
    ("memory", method(grouping=Linkage(k=2, regroup=1), local=faults.InPlace()), "lean", "on the disk"),
    ("memory", method(local=faults.Secretive()), "lean", "`keeps` says"),
    ("untouched", method(aggregate=faults.Writing()), "lean", "`tell` changed"),
    ("order", method(aggregate=faults.FirstComes()), "lean", "in another order"),
    ("rest", method(aggregate=faults.Rotting()), "lean", "at rate zero"),
    ("backends", method(local=faults.Phased(kind=faults.OfBatch)), "stacked", "stacked is not loop"),
    ("backends", method(local=faults.Phased(kind=faults.WrongPull)), "native", "native is not loop"),
    ("toml", faults.counted, "lean", "is another"),
]


CLAIMS = {"identities", "evaluation"}  # whose controls are tests of their own below


def caught(method: Any, check: str, backend: str = "lean", **more: Any) -> str:
    """What a check of a method says; "" where it holds."""
    (found,) = checks(method, backends=[backend], only=[check], **more)
    try:
        found()
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("check", "faulty", "backend", "said"), FAULTS, ids=lambda value: str(value)[:12])
def test_a_fault_is_named_by_its_check(check: str, faulty: Any, backend: str, said: str) -> None:
    if backend == "native" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("no compiler on this machine")
    found = caught(faulty, check, backend, scenario=ALL if check == "lineage" else Scenario())
    assert re.search(said, found), found


def test_a_sound_method_passes_all() -> None:
    report = run(by_size, backends=["lean"])
    assert report.passed and {one.check.name for one in report.verdicts} == set(CHECKS) - {"identities"}, report


@pytest.mark.parametrize(
    ("faulty", "passes"),
    [
        (method(aggregate=faults.Hashed()), "repeat"),
        (method(aggregate=faults.Hidden()), "repeat"),
        (method(grouping=faults.ByPlace()), "partition"),
        (method(grouping=faults.ByName()), "places"),
        (method(grouping=faults.Leaving()), "partition"),
        (method(local=faults.Phased(kind=faults.WrongPull)), "backends"),
    ],
    ids=lambda value: str(value)[-12:],
)
def test_what_other_checks_cannot_see(faulty: Any, passes: str) -> None:
    """Why there are so many: each of these faults passes the check that one would think of first."""
    assert not caught(faulty, passes)


# -- claims ---------------------------------------------------------------------------------------------------


def test_an_identity_that_does_not_hold() -> None:
    other = method(aggregate=Mean(weights="uniform"))
    assert "what is compared" in caught(by_size, "identities", identities=(Identity("equal weights", other),))


def test_an_identity_that_says_nothing() -> None:
    """True of the method as it stands: the switch that it names does not matter."""
    same = method(), method(local=Erm(clip=1e9))
    claim = Identity("without clipping", *same)
    assert "says nothing" in caught(method(), "identities", identities=(claim,))
    assert not caught(method(), "identities", identities=(replace(claim, apart=False),))


def test_a_tolerance_is_one() -> None:
    moved = method(aggregate=faults.Nudged(1e-5))
    claim = Identity("nearly", method(), within=1e-4, apart=False)
    assert not caught(moved, "identities", identities=(claim,))
    assert "off by" in caught(moved, "identities", identities=(replace(claim, within=1e-6),))


def test_rest_beside_an_expert_is_rest_of_what_members_sent() -> None:
    hosted = method(start=FromExpert(), aggregate=faults.Rotting(), expert=Distil())
    assert "from what all of its members sent" in caught(hosted, "rest")
    assert not caught(method(start=FromExpert(), expert=Distil()), "rest")


def test_what_is_said_to_move_must() -> None:
    assert not caught(method(aggregate=faults.Rotting()), "rest", moves="every model, which fades")
    assert "nothing does" in caught(method(), "rest", moves="every model, which fades")


def test_an_evaluation_that_counts() -> None:
    """A part that counts how often it serves: a run that is evaluated goes another way than one that is not."""
    assert "evaluated" in caught(faults.Counting(**vars(method())), "evaluation")


# -- checks that would say nothing ----------------------------------------------------------------------------


def test_a_scenario_in_which_nothing_can_be_seen_is_refused() -> None:
    assert "no model moves" in caught(method(), "rest", scenario=Scenario(lr=1e-30))
    assert "split again" in caught(method(), "lineage", splits=True)


def test_groups_are_empty_where_they_should_be() -> None:
    """Of one client in a round two groups have nobody there; of three that are alike two groups have no members."""
    alone, alike = alone_and_alike(Scenario())
    assert all(len(seen.answered) == 1 for seen in trace(named("ifca"), alone)[1:])
    sizes = trace(named("ifca"), alike)[-1].groups.sizes().tolist()
    assert sorted(sizes) == [0, 0, 3]


def test_renamed_clients_keep_their_streams_and_others_do_not() -> None:
    """The check of names gives a renamed client the streams of its old name. Without that the bits differ."""
    from disue.core.streams import Streams

    plain, other = Scenario(), Scenario().renamed()
    assert sorted(other.names) == sorted(plain.ids)
    assert sorted(plain.ids, key=other.names.__getitem__) == sorted(plain.ids)
    old, new = plain.ids[0], other.names[plain.ids[0]]
    assert other.streams().key("batches", 3, new) == plain.streams().key("batches", 3, old)
    assert Streams(0).key("batches", 3, new) != Streams(0).key("batches", 3, old)


def test_clients_hold_the_same_whatever_their_place_and_name() -> None:
    plain = Scenario()
    assert plain.turned().ids != plain.ids
    for other in (plain.turned(), plain.renamed()):
        (mine, here), (yours, there) = plain.data(), other.data()
        assert mine.x_train.tobytes() == yours.x_train.tobytes()
        for client in plain.ids:
            name = other.names.get(client, client)
            assert np.array_equal(here.rows(client), there.rows(name))
            assert here.transform(client) == there.transform(name)


def test_a_place_is_no_id_and_parity_of_a_place_is_not_kept() -> None:
    plain = Scenario()
    assert min(plain.ids) > 2 * sum(plain.sizes) and list(plain.ids) != sorted(plain.ids)
    at = {client: place for place, client in enumerate(plain.turned().ids)}
    assert {(place + at[client]) % 2 for place, client in enumerate(plain.ids)} == {0, 1}


# -- the front ------------------------------------------------------------------------------------------------


def test_a_report_says_which_and_why() -> None:
    report = run(method(aggregate=faults.Rotting()), backends=["lean"], only=["repeat", "rest"], name="rotting")
    assert not report.passed and len(report.failures) == 1
    text = str(report)
    assert text.startswith("rotting: does not conform (1 of 2 checks failed)") and "rotting-lean-rest: at rate" in text
    with pytest.raises(AssertionError, match="rotting-lean-rest"):
        conforms(method(aggregate=faults.Rotting()), backends=["lean"], only=["repeat", "rest"], name="rotting")


def test_what_is_no_method_and_what_is_no_check() -> None:
    with pytest.raises(UserError, match="takes a method, its constructor"):
        checks(3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="repaet"):
        checks("fedavg", only=["repaet"])
    with pytest.raises(UserError, match="leen"):
        checks("fedavg", backends=["leen"])
    with pytest.raises(UserError, match="fedavgg"):
        checks("fedavgg")


def test_a_method_that_breaks_is_a_failed_check() -> None:
    assert "raised ZeroDivisionError" in caught(method(grouping=faults.Crowded()), "one-client")


def test_a_class_that_cannot_be_sent_is_said() -> None:
    class Inside(Mean):
        pass

    assert "at the top of a module" in caught(method(aggregate=Inside()), "processes")


def test_a_constructor_is_known_to_specs_while_it_is_checked_and_not_after() -> None:
    assert not caught(by_size, "toml")
    assert "by-size" not in TABLE


def test_the_command_gives_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    from disue.testing.__main__ import main

    assert main([]) == 2 and "usage" in capsys.readouterr().out
    assert main(["no-such-method"]) == 2 and "no-such-method" in capsys.readouterr().err
