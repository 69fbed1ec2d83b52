"""States go to files and come back the same, and files cannot choose what is made of them."""

import json
from dataclasses import dataclass, field, make_dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.tree import classes_of, put, take


@dataclass(frozen=True, eq=False)
class Leaf:
    values: np.ndarray
    note: str | None = None


@dataclass(frozen=True, eq=False)
class State:
    round: int
    rate: float
    groups: Groups
    leaves: tuple[Leaf, ...]
    by_id: dict[int, np.ndarray] = field(default_factory=dict)
    later: Leaf | None = None
    on: bool = False


def state():
    return State(
        3,
        0.1,
        Groups.make({4001: 0, 17: 1}),
        (Leaf(np.arange(6, dtype=np.float32).reshape(3, 2).T), Leaf(np.zeros((0, 4)), "none")),
        {4001: np.array(7), 17: np.array([True, False])},
        on=np.bool_(True),
    )


def round_trip(value):
    arrays, skeleton = take(value)
    return put(arrays, json.loads(json.dumps(skeleton)), classes_of(value))


def test_round_trip_keeps_every_bit_and_type():
    before = state()
    after = round_trip(before)
    assert (after.round, after.rate, after.on, after.later) == (3, 0.1, True, None)
    assert after.groups == before.groups and after.groups.gone.shape == (0, 2)
    assert after.leaves[0].values.tolist() == before.leaves[0].values.tolist()
    assert after.leaves[1].values.shape == (0, 4) and after.leaves[1].note == "none"
    assert list(after.by_id) == [4001, 17] and after.by_id[4001].shape == ()
    assert take(after)[1] == take(before)[1]


def test_floats_that_json_lacks():
    after = round_trip(Leaf(np.zeros(1), note=None))
    assert after.note is None
    arrays, skeleton = take((float("inf"), float("nan"), -0.0, 1e-320))
    found = put(arrays, json.loads(json.dumps(skeleton)), {})
    assert found[0] == np.inf and np.isnan(found[1]) and np.signbit(found[2]) and found[3] == 1e-320


def test_classes_are_found_in_annotations_too():
    kinds = classes_of(state())
    assert {Leaf, Groups, State} <= set(kinds.values())


def test_two_classes_of_one_name_are_told_apart():
    one = make_dataclass("Memory", [("a", int)], frozen=True)
    two = make_dataclass("Memory", [("b", int)], frozen=True)
    one.__module__, two.__module__ = "parts.one", "parts.two"
    after = round_trip((one(1), two(2)))
    assert type(after[0]) is one and type(after[1]) is two


def test_what_is_no_state_is_refused():
    with pytest.raises(TypeError, match="found list"):
        take(Leaf([1, 2]))


def broken(change):
    arrays, skeleton = take(state())
    change(arrays, skeleton["fields"])
    return arrays, skeleton


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, f: a.pop("state.groups.ids"), "found nothing"),
        (lambda a, f: a.update({"state.groups.of": np.zeros(2, np.float32)}), "float32"),
        (lambda a, f: a.update({"state.groups.of": np.zeros(3, np.int64)}), r"\(3,\)"),
        (lambda a, f: f.pop("round"), "has fields"),
        (lambda a, f: f.update(round=5), "damaged"),
        (lambda a, f: f.update(round={"strange": 1}), "damaged"),
        (lambda a, f: f["groups"].update({"class": "os.system"}), "belongs to another method"),
    ],
)
def test_files_that_do_not_fit_are_refused_in_a_sentence(change, message):
    arrays, skeleton = broken(change)
    with pytest.raises(UserError, match=message):
        put(arrays, skeleton, classes_of(state()))


JUNK = st.sampled_from([None, 5, "x", [], {}, [[1]], {"class": 3, "fields": []}, {"array": []}, {"map": [1]}])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_descriptions_are_refused_or_make_a_state_but_never_crash(data):
    arrays, skeleton = take(state())

    def damage(node):
        """Replaces one node on a random way down."""
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 3)):
            damage(node[key])
        else:
            node[key] = data.draw(JUNK)

    damage(skeleton)
    try:
        put(arrays, skeleton, classes_of(state()))
    except UserError as error:
        assert str(error).startswith("state: ")
