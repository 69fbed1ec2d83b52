"""Tables of the docs made again: where they lie, what is stored of them, and how a deviation is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from disue.cli.main import cli
from disue.core.errors import UserError
from disue.runs.folder import read_table
from disue.study import shelf
from disue.study.plan import Study
from disue.study.reproduce import deviations, keep, reproduce
from disue.study.tables import SHOWN

STUDY = """# A study of nothing much
rounds = 2
partition.clients = 6
local.epochs = 1
[study]
seeds = [0, 1]
[[study.method]]
name = "fedavg"
[study.scale.smoke]
seeds = [0]
rounds = 1
"""


def test_every_study_is_on_the_shelf_with_a_line_about_it() -> None:
    found = shelf.tables()
    assert {"first_results", "local_tables", "head_scale"} <= set(found) and "digits" not in found
    for name, path in found.items():
        assert shelf.find(name) == path and len(shelf.summary(path)) > 10
    assert shelf.find("mine/table.toml") == Path("mine/table.toml")
    with pytest.raises(UserError, match='Did you mean "first_results"'):
        shelf.find("first_result")


@pytest.mark.parametrize("name", sorted(shelf.tables()))
def test_what_is_stored_belongs_to_the_study(name: str) -> None:
    """Each figure to a setting and a row that the study has at its scale, with that row's number of seeds."""
    path = shelf.tables()[name]
    rows = read_table(shelf.stored(path))
    for scale in {str(row["scale"]) for row in rows}:
        plan = Study.read(path, scale)
        seeds = {(setting, row.label): len(row.seeds) for row in plan.rows for setting in plan.of(row)}
        here = [row for row in rows if row["scale"] == scale]
        for row in here:
            assert int(row["n"]) <= seeds[str(row["setting"]), str(row["method"])], row
            assert row["metric"] in SHOWN
        assert {(row["setting"], row["method"]) for row in here} == set(seeds)
    assert shelf.stored(path).stat().st_size < 200_000 if rows else True


def row(mean: float, n: int = 1, **more: float) -> dict[str, object]:
    return {"setting": "s", "method": "m", "metric": "served_global", "n": n, "mean": mean, **more}


@pytest.mark.parametrize(
    ("here", "stored", "beyond"),
    [
        (50.04, row(50.0), False),  # one seed: the rounding of a table
        (50.06, row(50.0), True),
        (51.0, row(50.0, 2, low=49.0, high=51.0), False),  # two: their range
        (51.1, row(50.0, 2, low=49.0, high=51.0), True),
        (48.0, row(50.0, 5, half=2.0, low=44.0, high=56.0), False),  # more: the interval
        (47.9, row(50.0, 5, half=2.0, low=44.0, high=56.0), True),
    ],
)
def test_a_deviation_is_measured_against_what_the_stored_figure_leaves_open(
    here: float, stored: dict[str, object], beyond: bool
) -> None:
    other = {**row(1.0), "method": "another"}
    (found,) = deviations([row(here), {**other, "metric": "group_local"}], [stored, other])
    assert (found.points, found.beyond) == (pytest.approx(here - 50.0), beyond)


def test_only_the_means_of_that_scale_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "results" / "s.csv"
    keep(path, "cpu", [row(40.12345, 3, half=1.0, low=39.0, high=41.0)])
    keep(path, "smoke", [row(9.0)])
    keep(path, "smoke", [row(10.0)])
    found = [(line["scale"], line["mean"], line["n"]) for line in read_table(path)]
    assert found == [("cpu", 40.123, 3), ("smoke", 10, 1)]


def test_a_table_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(STUDY)

    def called(*words: str) -> Result:
        return CliRunner().invoke(cli, ["reproduce", "s.toml", *words])

    first = called("--scale", "smoke", "--jobs", "1", "--store", "results/s.csv")
    assert first.exit_code == 0, first.output
    assert "Nothing is stored at scale smoke" in first.stdout
    again = called("--scale", "smoke", "--out", "elsewhere", "-j", "1")
    assert "the largest deviation is +0.00 points, 0 are beyond the stored interval" in again.stdout
    text = Path("results/s.csv").read_text()
    (line,) = [line for line in text.splitlines() if ",served_global," in line]
    mean = line.split(",")[5]
    changed = line.replace(mean, str(round(float(mean) - 7.5, 3)))
    Path("results/s.csv").write_text(text.replace(line, changed))
    far = called("--scale", "smoke", "-j", "1")
    assert "the largest deviation is +7.50 points, 1 is beyond the stored interval" in far.stdout
    assert "+7.50" in far.stdout.split("deviation")[-1]
    deviation = read_table(Path("runs/s-smoke/deviation.csv"))
    assert [one["points"] for one in deviation if one["metric"] == "served_global"] == [pytest.approx(7.5, abs=1e-3)]
    with pytest.raises(UserError, match='no scale "paper"'):
        reproduce("s.toml", scale="paper")
