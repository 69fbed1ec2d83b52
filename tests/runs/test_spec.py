"""Specs: what is filled in, what is refused, and that a resolved spec is the same spec again."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any

import pytest

from disue import data, methods, models
from disue.core.errors import UserError
from disue.runs import assemble
from disue.runs.keys import Known, bind, convert, describe, meanings
from disue.runs.spec import Spec, assignment, put

SLOTS: list[dict[str, Any]] = [
    {"start": {"kind": "expert", "share": 0.5}},
    {"local": {"kind": "logit-adjusted"}},
    {"grouping": {"kind": "linkage", "distance": 0.5}},
    {"grouping": {"kind": "fixed", "groups": {"4001": 0, "17": 1}}},
    {"aggregate": {"momentum": 0.5, "nesterov": True}},
    {"expert": {"kind": "distil", "family": "generator", "iterations": 3, "share": 0.5}},
    {"expert": {"kind": "distil", "head": "ridge"}},
    {"expert": {"kind": "average"}},
    {"expert": {"kind": "none"}},
]


def same(spec: Spec, folder: Path) -> None:
    (folder / "s.toml").write_text(spec.toml())
    again = Spec.read(folder / "s.toml")
    assert again.tables() == spec.tables()
    assert again.toml() == spec.toml()
    assert again.build() == spec.build()


@pytest.mark.parametrize("name", methods.TABLE)
def test_a_resolved_spec_is_a_spec_for_every_method(name: str, tmp_path: Path) -> None:
    spec = Spec.of({"method": {"name": name}})
    same(spec, tmp_path)
    assert spec.build() == assemble.plain({"name": name}, spec.local)


@pytest.mark.parametrize("slots", SLOTS, ids=lambda slots: "-".join(map(str, next(iter(slots.values())).values())))
@pytest.mark.parametrize("name", ["fedavg", "disue"])
def test_a_resolved_spec_is_a_spec_for_every_slot(name: str, slots: dict[str, Any], tmp_path: Path) -> None:
    same(Spec.of({"method": {"name": name, **slots}}), tmp_path)


@pytest.mark.parametrize("kind", data.KINDS)
def test_a_resolved_spec_is_a_spec_for_every_partition(kind: str, tmp_path: Path) -> None:
    same(Spec.of({"partition": {"kind": kind}}), tmp_path)


@pytest.mark.parametrize("name", models.NAMES)
def test_a_resolved_spec_is_a_spec_for_every_model(name: str, tmp_path: Path) -> None:
    same(Spec.of({"model": {"name": name, "freeze": ["a*"]}}), tmp_path)


def test_the_other_tables_come_back_too(tmp_path: Path) -> None:
    tables = {
        "seed": 5,
        "rounds": 7,
        "data": {"path": "m.npz", "augment": ["flip", "crop"]},
        "partition": {"file": "p.npz"},
        "cohort": {"size": 3, "dropout": 0.1, "newcomers": 0.2},
        "model": {"name": "mine.models:Net", "depth": 3, "words": ["a"]},
        "local": {"steps": 10, "loss": "mine.losses:focal"},
        "evaluate": {"every": 2, "on": "validation", "local": "both", "targets": [40, 50.5]},
        "engine": {"backend": "loop", "device": "cuda:1"},
        "checkpoint": {"every": 3},
    }
    spec = Spec.of(tables)
    same(spec, tmp_path)
    resolved = spec.tables()
    assert resolved["cohort"]["size"] == 3 and "share" not in resolved["cohort"]
    assert resolved["data"] == {"path": "m.npz", "augment": ["flip", "crop"]}
    assert resolved["model"]["depth"] == 3
    assert resolved["evaluate"]["targets"] == [40.0, 50.5]


def test_the_empty_spec_is_a_spec(tmp_path: Path) -> None:
    spec = Spec.of({})
    same(spec, tmp_path)
    assert (spec.rounds, spec.data.name, spec.method["name"], spec.partition["kind"]) == (
        60,
        "digits",
        "fedavg",
        "dirichlet",
    )


def test_tables_given_are_not_changed() -> None:
    tables: dict[str, Any] = {"cohort": {"share": 0.5}, "method": {"name": "disue", "expert": {"steps": 3}}}
    before = repr(tables)
    Spec.of(tables, {"cohort.size": 3, "method.expert.draws": 10, "rounds": 2})
    assert repr(tables) == before


# -- slots -------------------------------------------------------------------------------------------------


def test_without_kind_a_slot_overrides_and_with_kind_it_replaces() -> None:
    over = Spec.of({"method": {"name": "disue", "aggregate": {"balance": 0.0}}}).build().aggregate
    new = Spec.of({"method": {"name": "disue", "aggregate": {"kind": "mean", "balance": 0.0}}}).build().aggregate
    assert (over.momentum, over.balance) == (0.7, 0.0)
    assert (new.momentum, new.balance) == (0.0, 0.0)


def test_an_expert_changes_the_start_and_none_takes_it_back() -> None:
    filled = Spec.of({"method": {"name": "fedavg", "expert": {"kind": "distil", "share": 0.25}}}).build()
    assert filled.start == assemble.SLOTS["start"]["expert"](share=0.25)
    chosen = Spec.of({"method": {"name": "ifca", "expert": {"kind": "distil"}}}).build()
    assert chosen.start == assemble.SLOTS["start"]["every"](share=1.0)  # all of an expert unless said otherwise
    empty = Spec.of({"method": {"name": "disue", "expert": {"kind": "none"}}}).build()
    assert empty.start == assemble.SLOTS["start"]["group"]()
    other = Spec.of({"method": {"name": "disue", "share": 0.5, "expert": {"family": "generator"}}}).build()
    assert type(other.expert).__name__ == "GeneratorDistil"
    assert other.start == assemble.SLOTS["start"]["expert"](share=0.5)


def test_a_start_that_is_given_outlasts_the_expert() -> None:
    start = {"kind": "self"}
    built = Spec.of({"method": {"name": "disue", "start": start, "expert": {"gamma": 0.2}}}).build()
    assert built.start == assemble.SLOTS["start"]["self"]()
    assert built.expert.gamma == 0.2
    bare = Spec.of({"method": {"name": "disue", "start": start, "expert": {"kind": "none"}}}).build()
    assert bare.start == assemble.SLOTS["start"]["self"]()
    every = {"start": {"kind": "every"}, "expert": {"kind": "distil", "share": 0.5}}
    assert Spec.of({"method": {"name": "clustered", **every}}).build().start.share == 0.5


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ({"name": "disue", "k": 5, "grouping": {"kind": "random"}}, "method.k"),
        ({"name": "disue", "share": 0.5, "start": {"kind": "group"}}, "method.share"),
        ({"name": "disue", "start": {"kind": "group"}, "expert": {"share": 0.5}}, "method.expert.share"),
        ({"name": "disue", "expert": {"kind": "none", "share": 0.5}}, "method.expert.share"),
    ],
)
def test_a_key_without_effect_is_refused(method: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match="has no effect") as caught:
        Spec.of({"method": method})
    assert caught.value.key == key


def test_a_partition_from_a_file_takes_no_other_key() -> None:
    assert Spec.of({"partition": {"file": "p.npz"}}).tables()["partition"] == {"file": "p.npz"}
    with pytest.raises(UserError, match=r"partition\.clients has no effect"):
        Spec.of({"partition": {"file": "p.npz", "clients": 5}})


def test_local_and_method_local_are_one_part() -> None:
    spec = Spec.of({"local": {"lr": 0.1}, "method": {"local": {"kind": "logit-adjusted", "smooth": 0.5}}})
    assert (spec.build().local.lr, spec.build().local.smooth) == (0.1, 0.5)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"local\.lr and method\.local\.lr were both given") as caught:
        Spec.of({"method": {"local": {"lr": 0.1}}}, {"local.lr": 0.2})
    assert caught.value.key == "local.lr"


def test_parts_of_a_method() -> None:
    assert assemble.parts_of("disue") == {
        "start": "expert",
        "local": "erm",
        "grouping": "linkage",
        "aggregate": "mean",
        "expert": "distil, moments",
    }


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"method": {"name": "clustered", "k": 0}}, "method.k"),
        ({"local": {"lr": -1.0}}, "local.lr"),
        ({"method": {"aggregate": {"momentum": 2.0}}}, "method.aggregate.momentum"),
        ({"method": {"name": "disue", "expert": {"share": 2.0}}}, "method.expert.share"),
        ({"method": {"name": "disue", "expert": {"head": "svm"}}}, "method.expert.head"),
        ({"method": {"name": "disue", "grouping": {"floor": 0}}}, "method.grouping.floor"),
        ({"method": {"grouping": {"kind": "random", "k": 0}}}, "method.grouping.k"),
        ({"partition": {"kind": "shards", "shards": 0}}, "partition.shards"),
        ({"data": {"name": "cifar"}}, "data.name"),
    ],
)
def test_a_refusal_names_the_key_of_the_spec(tables: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as found:
        Spec.of(tables)
    assert found.value.key == key
    assert str(found.value).startswith(key)


# -- overrides ---------------------------------------------------------------------------------------------


def test_of_two_keys_an_override_replaces_the_other() -> None:
    assert Spec.of({"cohort": {"share": 0.5}}, {"cohort.size": 3}).cohort.size == 3
    assert Spec.of({"cohort": {"size": 3}}, {"cohort.share": 0.5}).tables()["cohort"]["share"] == 0.5
    assert Spec.of({"data": {"name": "har"}}, {"data.path": "m.npz"}).data.name == ""
    with pytest.raises(UserError, match="both given"):
        Spec.of({}, {"cohort.size": 3, "cohort.share": 0.5})


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("local.lr=0.1", "local.lr", 0.1),
        ("rounds = 3", "rounds", 3),
        ("data.name=har", "data.name", "har"),
        ('data.name="har"', "data.name", "har"),
        ("evaluate.targets=[1, 2.5]", "evaluate.targets", [1, 2.5]),
        ("method.expert.enabled=false", "method.expert.enabled", False),
        ("local.loss=a.b:c", "local.loss", "a.b:c"),
        ("x=", "x", ""),
        ("x=a=b", "x", "a=b"),
    ],
)
def test_assignments(text: str, name: str, value: object) -> None:
    assert assignment(text) == (name, value)


def test_put_makes_tables_and_refuses_to_go_through_values() -> None:
    tables: dict[str, Any] = {"a": 1}
    put(tables, "b.c.d", 2)
    assert tables == {"a": 1, "b": {"c": {"d": 2}}}
    with pytest.raises(UserError, match=r"a\.b: a is a value, not a table"):
        put(tables, "a.b", 3)


# -- keys --------------------------------------------------------------------------------------------------


class Base:
    """One.

    lr        the rate
    """


class Documented(Base):
    """First line: not read.

    size, width   how large; and
                  more of it
    labels (a, tau)   three at once
    group_…   all of the group

    In prose it says also when: never. skip: what is left
    out. every, for some: on one more line.
    """

    def __init__(
        self, lr: int, size: int, width: int, labels: int, a: int, tau: int, group_one: int, group_two: int,
        skip: int, every: int, none: int,
    ) -> None: ...  # fmt: skip


def test_meanings_are_read_off_docstrings() -> None:
    assert meanings(Documented) == {
        "lr": "the rate",
        "size": "how large; and more of it",
        "width": "how large; and more of it",
        "labels": "three at once",
        "a": "three at once",
        "tau": "three at once",
        "group_one": "all of the group",
        "group_two": "all of the group",
        "skip": "what is left out",
        "every": "for some: on one more line",
    }


@pytest.mark.parametrize(
    ("kind", "value", "out"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (str, "a", "a"),
        (bool, True, True),
        (int | None, 3, 3),
        (float | str, "match", "match"),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[float, ...], [1, 2], (1.0, 2.0)),
        (dict, {"a": 1}, {"a": 1}),
        (list, [1, "a"], [1, "a"]),
    ],
)
def test_values_are_taken_in_their_type(kind: Any, value: object, out: object) -> None:
    found = convert("k", Known("k", kind, None), value)
    assert found == out
    assert type(found) is type(out)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 3.0),
        (int, True),
        (int, "3"),
        (float, True),
        (float, "1"),
        (bool, 1),
        (str, 3),
        (tuple[int, ...], [1, 2.5]),
        (tuple[int, ...], 3),
        (dict, 3),
    ],
)
def test_values_of_another_type_are_refused(kind: Any, value: object) -> None:
    with pytest.raises(UserError, match=f"^k must be {describe(kind)}".replace("|", r"\|")) as found:
        convert("k", Known("k", kind, None), value)
    assert found.value.found == value


def test_ranges_hold_for_every_item_of_a_list() -> None:
    known = Known("k", tuple[float, ...], (), metadata={"low": 0, "high": 100})
    with pytest.raises(UserError, match="≥ 0 and ≤ 100"):
        convert("k", known, [1, 101])
    words = Known("k", tuple[str, ...], (), metadata={"choices": ("flip", "crop")})
    assert convert("k", words, ["crop"]) == ("crop",)
    with pytest.raises(UserError, match='Did you mean "flip"'):
        convert("k", words, ["flop"])


def test_bind_fills_nothing_in_and_misses_nothing() -> None:
    known = {"a": Known("a", int, 1), "b": Known("b", int, inspect.Parameter.empty, "what it is")}
    assert bind("t", {"a": known["a"]}, {}) == {}
    with pytest.raises(UserError, match=r"^t\.b is missing: what it is"):
        bind("t", known, {"a": 2})
    with pytest.raises(UserError, match=r"^t\.c: unknown key\. Known keys: a, b\."):
        bind("t", known, {"c": 1})
    with pytest.raises(UserError, match=r"^c: unknown key"):
        bind("", known, {"c": 1})


def test_the_experiments_are_specs() -> None:
    folder = Path(__file__).parents[2] / "experiments"
    found = [path for path in sorted(folder.glob("*.toml")) if "study" not in tomllib.loads(path.read_text())]
    assert found
    for path in found:
        Spec.read(path)
