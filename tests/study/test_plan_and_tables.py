"""A study's rows: their names, and what a reader must know of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from disue import methods
from disue.core.errors import UserError
from disue.runs.assemble import mark_of
from disue.runs.spec import Spec
from disue.study.plan import Study
from disue.study.queue import run_all
from disue.study.tables import markdown

ROWS = """
[study]
[[study.setting]]
name = "digits"
[[study.method]]
name = "fedavg"
[[study.method]]
label = "real"
name = "disue-generator"
expert.source = "real"
"""
TUNED = """
[study]
setting = [{{name = 's'}}, {{name = 't'}}]
[[study.method]]
label = 'a'
{}
[[study.method]]
label = 'b'
{}
"""


def study(folder: Path, text: str) -> Study:
    (folder / "s.toml").write_text(text)
    return Study.read(folder / "s.toml")


def test_a_mark_is_that_of_the_parts() -> None:
    for name, listed in methods.TABLE.items():
        assert mark_of(Spec.of({"method": {"name": name}}).build()) == listed.mark, name
    changed = {"name": "disue-generator-real", "expert": {"source": "generator"}}
    assert mark_of(Spec.of({"method": changed}).build()) == ""
    assert mark_of(Spec.of({"method": {"name": "clustered", "grouping": {"kind": "oracle"}}}).build()) == (
        "knows the groups"
    )


def test_rows_with_privileges_are_marked_in_the_tables(tmp_path: Path) -> None:
    values = {"setting": "digits", "metric": "served_global", "seed": 0, "last10": 50.0}
    page = markdown(study(tmp_path, ROWS), [{**values, "method": m} for m in ("fedavg", "real")], {}, {})
    assert "| fedavg | 1 | 50.0 |" in page
    assert "| real (real data) | 1 | 50.0 |" in page


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('[[study.method]]\nname = "fedavg"\naggregate.momentum = 0.7\n', "study.method"),
        ('[[study.setting]]\nname = "Digits"\nrounds = 3\n', "study.setting"),
    ],
)
def test_two_of_one_name_are_refused(more: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two") as caught:
        study(tmp_path, ROWS + more)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("study = 3", "study"),
        ("[study]\nmethod = [3]", "study.method"),
        ("[study]\nsetting = [3]\nmethod = [{name = 'fedavg'}]", "study.setting"),
        ("[[study.setting]]\nk = 3\n[[study.method]]\nname = 'disue'\ngrouping = 3", "method.grouping"),
        ("[study]\nseeds = []\n[[study.method]]\nname = 'fedavg'", "study.seeds"),
        ("[study]\nseeds = [1, 1]\n[[study.method]]\nname = 'fedavg'", "study.seeds"),
        (
            "[study]\ntune_seed = 1\ngrid = {'local.lr' = 1}\n[[study.method]]\nname = 'fedavg'",
            "study.tune_seed",
        ),
        (TUNED.format("tuned_as = 'a'", "tuned_as = 'b'"), "study.method"),
        (TUNED.format("settings = ['s']", "tuned_as = 'a'"), "study.method"),
        ("[study.grid]\n'local.lr' = []\n[[study.method]]\nname = 'fedavg'", "study.grid"),
    ],
)
def test_a_study_that_cannot_run_is_refused(text: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        study(tmp_path, text)
    assert caught.value.key == key


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="workers must be"):
        run_all([], tmp_path, workers=0)
