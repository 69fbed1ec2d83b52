"""What a study's tables say, from figures that are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_bed import results, study
from test_plan import ROWS

from disue import methods
from disue.runs.assemble import mark_of
from disue.runs.spec import Spec
from disue.study import pairs as compared
from disue.study.latex import escaped, latex
from disue.study.markdown import markdown
from disue.study.pairs import hosts, pairs, plain_fedavg
from disue.study.whole import sections

PAIRS = """
evaluate.targets = [40.0]
[study]
seeds = [0, 1, 2, 3, 4]
[study.tune]
grid."local.lr" = [0.1, 0.2]
[[study.setting]]
name = "Dir(0.1)"
[[study.method]]
label = "FedAvg"
name = "fedavg"
[[study.method]]
label = "IFCA"
name = "ifca"
metric = "group_local"
[[study.method]]
label = "IFCA + expert"
name = "ifca"
expert.kind = "distil"
[[study.method]]
label = "ours"
name = "disue"
[[study.method]]
label = "ours, no expert"
name = "disue"
expert.enabled = false
tuned_as = "ours"
[[study.comparison]]
a = "ours"
b = "FedAvg"
[[study.comparison]]
a = "IFCA + expert"
b = "IFCA"
[[study.comparison]]
a = "ours"
b = "ours, no expert"
"""
LABELS = ("FedAvg", "IFCA", "IFCA + expert", "ours", "ours, no expert")


def test_a_mark_is_that_of_the_parts() -> None:
    for name, listed in methods.TABLE.items():
        assert mark_of(Spec.of({"method": {"name": name}}).build()) == listed.mark, name
    changed = {"name": "disue-generator-real", "expert": {"source": "generator"}}
    assert mark_of(Spec.of({"method": changed}).build()) == ""
    assert mark_of(Spec.of({"method": {"name": "clustered", "grouping": {"kind": "oracle"}}}).build()) == (
        "knows the groups"
    )


def test_rows_with_privileges_are_marked_in_the_tables(tmp_path: Path) -> None:
    plan = study(tmp_path, ROWS)
    found = results(plan, {("digits", label, 0): {"served_global": 50.0} for label in ("fedavg", "real")})
    page = markdown(sections(found))
    assert "| fedavg | 1 | 50.0 |" in page
    assert "| real (real data) | 1 | 50.0 |" in page


def test_hosts_are_found_by_their_parts(tmp_path: Path) -> None:
    plan = study(tmp_path, PAIRS)
    assert hosts(plan, "Dir(0.1)") == {"IFCA + expert": "IFCA", "ours": "ours, no expert"}
    named = study(tmp_path, PAIRS.replace('label = "ours"', 'label = "ours"\nhost = "IFCA"'))
    assert hosts(named, "Dir(0.1)")["ours"] == "IFCA"
    fedavg = plain_fedavg(plan, "Dir(0.1)")
    assert fedavg is not None and fedavg.label == "FedAvg"


def figures(seeds: int) -> dict[tuple[str, str, int], dict[str, float | None]]:
    """Row r has 10 r + seed at seed s, except that `ours` has s · 2; local accuracies are half of it."""
    out: dict[tuple[str, str, int], dict[str, float | None]] = {}
    for at, label in enumerate(LABELS):
        for seed in range(seeds):
            value = 10.0 * at + seed * (2 if label == "ours" else 1)
            out["Dir(0.1)", label, seed] = {"served_global": value, "group_local": value / 2, "majority_local": 7.0}
    return out


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    plan = study(tmp_path, PAIRS)
    found = pairs(plan, results(plan, figures(5)).values(), "Dir(0.1)")
    said = {(one.row, one.other, one.metric): (one.why, one.difference.mean) for one in found}
    assert said["IFCA", "FedAvg", "served_global"] == ("FedAvg", 10.0)
    assert said["IFCA", "FedAvg", "group_local"] == ("FedAvg", 5.0)  # what its tuning maximises
    assert said["IFCA + expert", "IFCA", "served_global"] == ("host", 10.0)
    assert said["ours", "ours, no expert", "served_global"] == ("host", -8.0)  # −10 + the mean of 0 … 4
    assert said["ours", "FedAvg", "served_global"] == ("FedAvg", 32.0)
    assert len(said) == len(found) == 7


def test_comparisons_are_tested_from_five_seeds_on(tmp_path: Path) -> None:
    """ours − FedAvg: 30 … 34, mean 32, t = 32 / √(2.5 / 5) = 45.25; the constant difference has p = 0."""
    plan = study(tmp_path, PAIRS)
    found = compared.tested(plan, results(plan, figures(5)).values())
    assert [one.difference.mean for one in found if one.difference] == [32.0, 10.0, -8.0]
    p = [one.p for one in found]
    assert p[1] == 0.0 and p[0] == pytest.approx(1.427e-6, rel=1e-3) and p[2] is not None and p[0] is not None
    assert [one.adjusted for one in found] == [pytest.approx(p[0] * 2), 0.0, pytest.approx(p[2])]
    page = markdown(sections(results(plan, figures(5))))
    assert "| Dir(0.1): ours − FedAvg, served_global | 5 | +32.0 ± 2.0 | < 0.0001 | < 0.0001 |" in page
    assert "Of 3 comparisons 3 differ at the 5 % level after Holm's correction." in page
    few = markdown(sections(results(plan, figures(3))))
    assert "| Dir(0.1): ours − FedAvg, served_global | 3 | +31.0 ± 2.5 | – | – |" in few
    assert "3 comparisons are not tested: below 5 seeds a table describes and proves nothing." in few
    assert "INCOMPLETE: 15 of 25 runs." in few


def test_the_family_is_what_was_planned(tmp_path: Path) -> None:
    """Of three planned tests one is there: its p is still multiplied by three."""
    plan = study(tmp_path, PAIRS)
    some = {cell: v for cell, v in figures(5).items() if cell[1] in ("FedAvg", "ours")}
    (one, *others) = compared.tested(plan, results(plan, some).values())
    assert one.p is not None and one.adjusted == pytest.approx(one.p * 3)
    assert [other.adjusted for other in others] == [None, None]


def test_rounds_bytes_and_seconds_to_a_target(tmp_path: Path) -> None:
    """Two seeds of three reach it, after 10 and 21 rounds: 16 rounds on average, and the table says of how many."""
    plan = study(tmp_path, PAIRS)
    found = {
        ("Dir(0.1)", "FedAvg", seed): {
            "served_global": 41.0,
            "totals.rounds_to_40": rounds,
            "totals.bytes_to_40": None if rounds is None else rounds * 1e6,
            "totals.client_seconds_to_40": None if rounds is None else rounds * 2.0,
        }
        for seed, rounds in enumerate((10, 21, None))
    }
    found["Dir(0.1)", "IFCA", 0] = {"served_global": 20.0, "totals.rounds_to_40": None}
    page = markdown(sections(results(plan, found)))
    for words, cell in (("Rounds to", "16"), ("Bytes, up and down, to", "15.5 MB"), ("Client-seconds to", "31.0 s")):
        block = page.split(f"{words} a served accuracy")[1].split("\n\n")[1]
        assert f"| FedAvg | {cell} (2 of 3 seeds) |" in block
        assert "| IFCA | – |" in block


@pytest.mark.parametrize("render", [markdown, latex])
def test_every_table_says_what_it_rests_on(tmp_path: Path, render) -> None:  # type: ignore[no-untyped-def]
    plan = study(tmp_path, PAIRS)
    chosen = {("Dir(0.1)", label): (("local.lr", 0.2),) for label in LABELS[:-1]}
    page = render(sections(results(plan, figures(5), chosen))).replace("\\", "")
    for words in (
        "hash seed 0: partition000, seed 1",
        "SHA-256 0123456789ab",
        "each client's test is the test set re-weighted to its training labels",
        "Tuning of local.lr on validation data, seed 100: 2 runs of 30 rounds each",
        "taken over from another row, without runs of their own: ours, no expert",
        "Chosen on validation data: FedAvg: local.lr = 0.2",
        "All rows of a seed share partition, initial weights and cohorts (checked by hash).",
    ):
        assert words in page, words


def test_unequal_budgets_and_conditions_are_said(tmp_path: Path) -> None:
    text = PAIRS.replace("[study.tune]\n", "[study.tune]\nequal = false\n")
    text = text.replace('name = "ifca"\nmetric', 'name = "ifca"\ngrid."local.lr" = [0.1]\nmetric')
    plan = study(tmp_path, text)
    chosen = {("Dir(0.1)", label): (("local.lr", 0.1),) for label in LABELS[:-1]}
    odd = {("Dir(0.1)", "ours", 2): {"start": "elsewhere"}}
    page = markdown(sections(results(plan, figures(5), chosen, odd)))
    assert "2 runs of 30 rounds: FedAvg, IFCA + expert, ours; 1 run of 30 rounds: IFCA" in page
    assert "The budgets differ." in page
    assert "NOT the same conditions: ours, seed 2: other initial weights than FedAvg." in page


def test_the_majority_class_stands_beside_local_accuracy(tmp_path: Path) -> None:
    plan = study(tmp_path, PAIRS)
    page = markdown(sections(results(plan, figures(5))))
    assert "| FedAvg | 5 | 1.0 ± 1.0 | 7.0 ± 0.0 |" in page
    alone = {cell: {k: v for k, v in row.items() if k != "group_local"} for cell, row in figures(5).items()}
    assert "Local accuracy" not in markdown(sections(results(plan, alone)))


def test_latex_is_booktabs_and_escaped(tmp_path: Path) -> None:
    plan = study(tmp_path, PAIRS.replace("Dir(0.1)", "50 % of a_b & c"))
    renamed = {("50 % of a_b & c", label, seed): row for (_, label, seed), row in figures(5).items()}
    page = latex(sections(results(plan, renamed)))
    assert page.count("\\begin{table}") == page.count("\\end{table}") == page.count("\\toprule") == 4
    assert "\\caption{50 \\% of a\\_b \\& c. Global test accuracy, \\%.}" in page
    assert "    FedAvg & 5 & $2.0 \\pm 2.0$ \\\\" in page
    assert "ours $-$ FedAvg & 5 & $+32.0 \\pm 2.0$ \\\\" in page
    assert escaped("x ≥ 3 {α} ~ \\") == "x $\\geq$ 3 \\{$\\alpha$\\} \\textasciitilde{} \\textbackslash{}"
