"""The commands, each on something small."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from disue import api, data, methods, models
from disue.attacks import KINDS
from disue.cli import demo
from disue.cli.demo import Line, sentence
from disue.runs import assemble

Disue = Callable[..., Result]


def test_run_prints_a_line_per_evaluation_and_leaves_a_summary(disue: Disue, spec: Path) -> None:
    out = spec.parent / "out"
    found = disue("run", spec, "--out", out, "--set", "evaluate.every=1", "--seed", "3")
    assert found.exit_code == 0, found.output
    rounds = re.findall(r"^round (\d)/2 .*served [\d.]+ .*groups 2", found.stdout, re.M)
    assert rounds == ["0", "1", "2"]
    assert found.stdout.rstrip().endswith(str(out / "report.html"))
    assert found.stderr == ""
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["complete"], summary["seed"]) == (True, 3)


def test_run_quiet_says_nothing_and_takes_its_folder_from_the_spec(
    disue: Disue, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    found = disue("run", spec, "--quiet", "--set", "method.name=clustered", "--seed", "7")
    assert (found.exit_code, found.output) == (0, "")
    assert Path("runs/small-clustered-7/summary.json").exists()


def test_a_second_run_into_the_same_folder_is_refused(disue: Disue, spec: Path) -> None:
    out = spec.parent / "out"
    assert disue("run", spec, "--out", out, "--quiet").exit_code == 0
    again = disue("run", spec, "--out", out)
    assert again.exit_code == 2
    assert f"disue resume {out}" in again.stderr


def test_ctrl_c_finishes_the_round_says_how_to_resume_and_resume_goes_on(
    disue: Disue, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = spec.parent / "out", api.run

    def interrupted(*arguments: object, **named: object) -> object:
        show = named.pop("on_round")

        def watch(record: object) -> None:
            show(record)  # type: ignore[operator]
            if record.round == 1:  # type: ignore[attr-defined]
                os.kill(os.getpid(), signal.SIGINT)

        return real(*arguments, on_round=watch, **named)  # type: ignore[arg-type]

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(api, "run", interrupted)
    found = disue("run", spec, "--out", out, "--set", "rounds=3")
    assert found.exit_code == 130
    assert found.stderr == f"stopped by Ctrl-C after round 1 of 3; go on with: disue resume {out}\n"
    assert f"Ctrl-C: finishing this round, then: disue resume {out}; once more breaks off at once" in found.stdout
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((out / "summary.json").read_text())["complete"] is False
    again = disue("resume", out)
    assert again.exit_code == 0, again.output
    assert json.loads((out / "summary.json").read_text())["complete"] is True


def test_report_and_export(disue: Disue, spec: Path) -> None:
    folders = [spec.parent / "a", spec.parent / "b"]
    for at, folder in enumerate(folders):
        disue("run", spec, "--out", folder, "--quiet", "--seed", str(at))
    found = disue("report", *folders, "--out", spec.parent / "both.html")
    assert (found.exit_code, found.stdout) == (0, f"{spec.parent / 'both.html'}\n")
    assert "<html" in (spec.parent / "both.html").read_text()
    (folders[0] / "report.html").unlink()
    assert disue("report", folders[0]).exit_code == 0
    assert (folders[0] / "report.html").exists()
    for what in ("expert", "average", "group:0"):
        to = spec.parent / f"{what.replace(':', '-')}.safetensors"
        assert disue("export", folders[0], "--what", what, "--to", to).exit_code == 0
        assert to.stat().st_size > 0
    wrong = disue("export", folders[0], "--what", "all", "--to", spec.parent / "x")
    assert wrong.exit_code == 2
    assert "what must be expert, average, group:NUMBER or client:ID" in wrong.stderr


NAMES = {
    "methods": list(methods.TABLE),
    "datasets": list(data.NAMES),
    "models": list(models.NAMES),
    "partitions": list(data.KINDS),
    "parts": [f"{slot} {kind}" for slot, kinds in assemble.SLOTS.items() for kind in kinds],
    "attacks": list(KINDS),
}


@pytest.mark.parametrize("what", NAMES)
def test_list_names_everything_on_a_line_with_a_summary(what: str, disue: Disue) -> None:
    found = disue("list", what)
    assert found.exit_code == 0
    for name in NAMES[what]:
        lines = [line for line in found.stdout.splitlines() if re.match(rf"{re.escape(name)}( |$)", line)]
        assert lines and all(re.match(r"\S+.*  +\S", line) for line in lines), name


def test_list_keys_shows_default_range_and_meaning(disue: Disue) -> None:
    found = disue("list", "parts", "--keys")
    assert re.search(r"^  momentum +0 +number in \[0, 1\) +v ← momentum", found.stdout, re.M)
    assert re.search(r'^  head +"lda" +"lda" \| "ncm" \| "ridge" \| "sgd" +"lda" linear', found.stdout, re.M)
    found = disue("list", "models", "--keys")
    assert re.search(r'^  norm +"group" +"group" \| "batch" ', found.stdout, re.M)


def test_data_info_of_a_name_and_of_own_arrays(disue: Disue, tmp_path: Path) -> None:
    found = disue("data", "info", "digits")
    assert found.exit_code == 0
    for words in (r"variant +bundled", r"training samples +1,437", r"test samples +360", r"sha256 [0-9a-f]{64}"):
        assert re.search(words, found.stdout)
    x, y = np.zeros((6, 3), np.float32), np.arange(6) % 2
    np.savez(tmp_path / "m.npz", x_train=x, y_train=y, x_test=x, y_test=y, client_train=np.array([902, 17] * 3))
    found = disue("data", "info", tmp_path / "m.npz")
    assert re.search(r"variant +own", found.stdout) and re.search(r"natural clients +2\n", found.stdout)


def test_data_partition_draws_what_a_run_draws_and_can_be_used_by_one(disue: Disue, spec: Path) -> None:
    to = spec.parent / "p.npz"
    found = disue("data", "partition", "digits", "--clients", "10", "--set", "alpha=0.5", "--to", to)
    assert found.exit_code == 0, found.output
    assert re.search(r"mean top share +0\.\d+", found.stdout) and re.search(r"clients +10\n", found.stdout)
    drawn = data.Partition.load(to)
    assert drawn.hash in found.stdout
    assert api.run(spec, report=False)["partition"]["hash"] == drawn.hash
    text = spec.read_text().replace("clients = 10\nalpha = 0.5", f'file = "{to}"')
    (spec.parent / "filed.toml").write_text(text)
    out = spec.parent / "out"
    assert disue("run", spec.parent / "filed.toml", "--out", out, "--quiet").exit_code == 0
    assert json.loads((out / "summary.json").read_text())["partition"]["hash"] == drawn.hash


def test_data_fetch_of_a_bundled_set(disue: Disue, tmp_path: Path) -> None:
    found = disue("data", "fetch", "digits", "--data-dir", tmp_path)
    assert (found.exit_code, found.stdout) == (0, f"digits needs no files; others go to {tmp_path}\n")


def test_doctor(disue: Disue, tmp_path: Path) -> None:
    (tmp_path / "har.npz").touch()
    found = disue("doctor", "--data-dir", tmp_path)
    assert found.exit_code == 0, found.output
    for words in (r"torch +\d", r"python +3\.", r"har +prepared \.npz", r"cifar10 +not there", r"self-test: .* works"):
        assert re.search(words, found.stdout)


# -- the demo ----------------------------------------------------------------------------------------------


def test_demo_compares_four_methods_and_ends_with_the_report(disue: Disue, tmp_path: Path) -> None:
    found = disue("demo", "--rounds", "2", "--out", tmp_path / "demo")
    assert found.exit_code == 0, found.output
    table = found.stdout[found.stdout.index("method  ") :].splitlines()
    assert [line.split("  ")[0] for line in table[1:5]] == ["FedAvg", "FedAvg with momentum", "clustered", "DisUE"]
    assert "After 2 rounds with 20 clients" in found.stdout
    page = tmp_path / "demo" / "report.html"
    assert found.stdout.rstrip().endswith(f"report: {page}")
    assert page.exists()
    for label in demo.ROWS:
        assert json.loads((tmp_path / "demo" / label / "summary.json").read_text())["complete"]


def test_the_demo_rows_differ_in_nothing_but_method_and_learning_rate() -> None:
    tables = [spec.tables() for spec in demo.specs().values()]
    for one in tables:
        one.pop("method")
        one["local"].pop("lr")
    assert all(one == tables[0] for one in tables)


@pytest.mark.parametrize(
    ("ours", "best", "said"),
    [
        (97.7, 90.0, "7.7 points more than with FedAvg (90.0 %), the best of the other three. This is one seed."),
        (80.0, 90.0, "10.0 points fewer than with FedAvg (90.0 %)"),
        (90.0, 90.0, "as many as with FedAvg"),
        (97.0, 96.5, "within chance"),
        (96.5, 97.0, "0.5 points fewer"),
    ],
)
def test_the_sentence_says_what_the_numbers_say(ours: float, best: float, said: str) -> None:
    lines = [Line("FedAvg", best, 95.0, 1, 1.0, 360), Line("clustered", 50.0, 95.0, 4, 1.0, 360)]
    lines.append(Line("DisUE", ours, 96.0, 4, 1.0, 360))
    text = sentence(lines, 60)
    assert said in text
    assert "is ahead" not in text


def test_the_sentence_names_who_is_ahead_on_the_clients_own_labels() -> None:
    lines = [Line("FedAvg", 90.0, 98.7, 1, 1.0, 360), Line("DisUE", 97.0, 98.3, 4, 1.0, 360)]
    assert "On the clients' own labels FedAvg is ahead (98.7 % against 98.3 %)." in sentence(lines, 60)


def test_a_new_demo_takes_a_new_folder(tmp_path: Path) -> None:
    assert demo.free(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert demo.free(tmp_path / "demo") == tmp_path / "demo-3"


def test_a_mistake_in_a_worker_is_one_sentence(disue: Disue, tmp_path: Path) -> None:
    (tmp_path / "demo" / "FedAvg").mkdir(parents=True)
    (tmp_path / "demo" / "FedAvg" / "spec.toml").write_text("")
    (tmp_path / "demo" / "FedAvg" / "rounds.csv").write_text("round\n0\n")
    found = disue("demo", "--rounds", "1", "--out", tmp_path / "demo")
    assert found.exit_code == 2, found.output
    assert "already holds a run" in found.stderr
