"""What a study file says: its rows, their budgets, its scales; and mistakes, each refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_bed import study

from disue import methods
from disue.core.errors import UserError
from disue.runs.assemble import method_keys
from disue.study.keys import ROW
from disue.study.plan import Study
from disue.study.queue import run_all

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
SCALED = """
rounds = 60
partition.clients = 20
[study]
seeds = [0, 1, 2]
[study.tune]
grid."local.lr" = [0.1, 0.2]
[[study.setting]]
name = "one"
k = 4
[[study.setting]]
name = "two"
partition = { clients = 50, alpha = 1.0 }
[[study.method]]
name = "fedavg"
set.cohort.share = 0.2
[[study.method]]
name = "clustered"
seeds = [7]
against = ["fedavg"]
[[study.comparison]]
a = "clustered"
b = "fedavg"
[study.scale.smoke]
seeds = [3]
settings = ["two"]
rounds = 2
k = 3
partition.clients = 12
cohort.size = 4
[study.scale.lone]
methods = ["clustered"]
"""


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


GRID = "[study.tune]\ngrid.'local.lr' = [0.1, 0.2]\n"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("study = 3", "study"),
        ("[study]\nmethod = [3]", "study.method"),
        ("[study]\nsetting = [3]\nmethod = [{name = 'fedavg'}]", "study.setting"),
        ("[[study.setting]]\nk = 3\n[[study.method]]\nname = 'disue'\ngrouping = 3", "method.grouping"),
        ("[study]\nseeds = []\n[[study.method]]\nname = 'fedavg'", "study.seeds"),
        ("[study]\nseeds = [1, 1]\n[[study.method]]\nname = 'fedavg'", "study.seeds"),
        ("[study.tune]\nseed = 1\ngrid = {'local.lr' = 1}\n[[study.method]]\nname = 'fedavg'", "study.tune.seed"),
        (TUNED.format("tuned_as = 'a'", "tuned_as = 'b'"), "study.method"),
        (TUNED.format("settings = ['s']", "tuned_as = 'a'"), "study.method"),
        (TUNED.format("", "tuned_as = 'a'\ngrid.'local.lr' = [0.1]"), "study.method"),
        ("[study.tune.grid]\n'local.lr' = []\n[[study.method]]\nname = 'fedavg'", "study.tune.grid"),
        (
            GRID + "[[study.method]]\nname = 'fedprox'\ngrid = {'local.mu' = [0.1], 'local.clip' = [1.0]}",
            "study.method",
        ),
        (GRID + "[[study.method]]\nname = 'fedavg'\n[study.chosen.all]\nfedavg = {'local.lr' = 0.3}", "study.chosen"),
        (GRID + "[[study.method]]\nname = 'fedavg'\n[study.chosen.al]\nfedavg = {'local.lr' = 0.1}", "study.chosen"),
        (GRID + "[[study.method]]\nname = 'fedavg'\n[study.chosen.all]\nfedav = {'local.lr' = 0.1}", "study.chosen"),
        (GRID + "[[study.method]]\nname = 'fedavg'\ngrid.'local.lr' = ['fast', 'slow']", "local.lr"),
        (ROWS + "[[study.comparison]]\na = 'real'\nb = 'fedavgg'", "study.comparison"),
        (ROWS + "[[study.comparison]]\na = 'real'\nb = 'real'", "study.comparison"),
        (ROWS + "[[study.comparison]]\na = 'real'\nb = 'fedavg'\nsettings = ['mnist']", "study.comparison"),
        (ROWS + "[study.scale.smoke]\nmethods = ['fedprox']", "study.scale.smoke"),
        (ROWS + "[study.scale]\nsmoke = 3", "study.scale.smoke"),
    ],
)
def test_a_study_that_cannot_run_is_refused(text: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        study(tmp_path, text)
    assert caught.value.key == key


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="jobs must be"):
        run_all([], tmp_path, at_once=0)


def test_no_method_has_a_key_of_a_row() -> None:
    """Else a row could not give it."""
    for name in methods.TABLE:
        assert not set(method_keys(name)) & set(ROW), name


def test_rows_have_the_same_budget_or_it_is_said(tmp_path: Path) -> None:
    """FedProx tries its mu beside the common grid; FedAvg then needs as many values, or `equal = false`."""
    text = GRID + "{}\n[[study.method]]\nname = 'fedavg'\n{}\n[[study.method]]\nname = 'fedprox'\n"
    text += "grid.'local.mu' = [0.01, 0.1]\n"
    with pytest.raises(UserError, match='"fedprox" would try 4 values and "fedavg" 2') as caught:
        study(tmp_path, text.format("", ""))
    assert caught.value.key == "study.tune"
    for plan in (
        study(tmp_path, text.format("equal = false", "")),
        study(tmp_path, text.format("", "grid.'local.lr' = [0.05, 0.1, 0.2, 0.4]")),
    ):
        fedprox = [dict(job.choice) for job in plan.tuning() if job.method == "fedprox"]
        assert fedprox == [{"local.lr": lr, "local.mu": mu} for lr in (0.1, 0.2) for mu in (0.01, 0.1)]
        assert len([job for job in plan.tuning() if job.method == "fedavg"]) in (2, 4)
    for job in plan.tuning():
        assert (job.spec.seed, job.spec.rounds, job.spec.evaluate.on) == (100, 30, "validation")
        assert {key: job.spec.tables()[key.split(".")[0]][key.split(".")[1]] for key, _ in job.choice} == dict(
            job.choice
        )


def test_what_is_chosen_is_not_tuned_again(tmp_path: Path) -> None:
    text = GRID + "[[study.setting]]\nname = 's'\n[[study.setting]]\nname = 't'\n[[study.method]]\nname = 'fedavg'\n"
    text += "[[study.method]]\nlabel = 'again'\nname = 'fedavg'\ntuned_as = 'fedavg'\n"
    assert len(study(tmp_path, text).tuning()) == 4
    plan = study(tmp_path, text + "[study.chosen.t]\nfedavg = {'local.lr' = 0.2}")
    assert [(job.setting, dict(job.choice)["local.lr"]) for job in plan.tuning()] == [("s", 0.1), ("s", 0.2)]
    rates = {(job.setting, job.method): job.spec.local.get("lr") for job in plan.finals(plan.given())}
    assert rates["t", "fedavg"] == rates["t", "again"] == 0.2 and rates["s", "fedavg"] != 0.2


def test_a_scale_is_the_same_study_smaller(tmp_path: Path) -> None:
    whole, smoke = study(tmp_path, SCALED), study(tmp_path, SCALED, "smoke")
    assert {job.seed for job in whole.finals({})} == {0, 1, 2, 7} and len(whole.tuning()) == 8
    assert study(tmp_path, SCALED, "cpu") == whole
    found = {(job.setting, job.method, job.seed): job.spec for job in smoke.finals({})}
    assert set(found) == {("two", "fedavg", 3), ("two", "clustered", 3)}
    for spec in found.values():  # the scale stands above settings and rows
        assert (spec.rounds, spec.partition["clients"], spec.partition["alpha"], spec.cohort.size) == (2, 12, 1.0, 4)
    assert found["two", "clustered", 3].method["k"] == 3
    assert [job.spec.rounds for job in smoke.tuning()] == [1] * 4
    assert [(one.a, one.b) for one in smoke.comparisons] == [("clustered", "fedavg")]
    lone = study(tmp_path, SCALED, "lone")
    assert ([row.label for row in lone.rows], lone.rows[0].against, lone.comparisons) == (["clustered"], (), ())
    with pytest.raises(UserError, match="'cpu', 'smoke', 'lone'"):
        Study.read(tmp_path / "s.toml", "paper")


def test_a_scale_keeps_the_row_whose_values_another_takes_over(tmp_path: Path) -> None:
    text = TUNED.format("", "tuned_as = 'a'") + "[study.scale.smoke]\nmethods = ['b']\n"
    study(tmp_path, text)
    with pytest.raises(UserError, match="left out"):
        study(tmp_path, text, "smoke")
