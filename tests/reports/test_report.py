import base64
import doctest
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
from reports_folder import full, minimal

from disue.core.errors import UserError
from disue.reports import axes, images, report, words

NASTY = "<script>alert('x')</script>\"&"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return full(tmp_path_factory.mktemp("runs") / "run")


def page(folder, *more):
    return report([folder, *more], folder / "report.html").read_text()


def test_a_run_with_everything(folder):
    text = page(folder)
    for words_ in (
        "After 60 rounds of disue", "Global accuracy", "Local accuracy, model by model", "Majority class", "Newcomers",
        "On the client&#x27;s own held-out data", "Who is like whom", "Labels by group", "Groups", "Generator samples",
        "Every client", "Where the time went", "The spec, every key", "How to cite", "What happened",
        "cifar10 (prepared), 15,000 training and 10,000 test samples, hash 9f2c51e07ab3", "hash 41d7aa90b2c3",
    ):  # fmt: skip
        assert words_ in text, words_
    assert len(text.encode()) < 600_000


def test_every_table_says_where_its_data_come_from(folder):
    text = page(folder)
    assert text.count("<table>") == text.count('class="from"') > 0


def test_the_file_stands_alone(folder):
    text = page(folder)
    assert "http://" not in text and "https://" not in text
    assert "<script" not in text and "<link" not in text and "@import" not in text and "url(h" not in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert 'content="width=device-width' in text and "prefers-color-scheme: dark" in text and "@media print" in text


def test_pictures_can_be_read_aloud(folder):
    text = page(folder)
    drawn = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(drawn) >= 6
    for one in drawn:
        tree = ET.fromstring(one)  # well-formed
        ids = tree.attrib["aria-labelledby"].split()
        found = {node.attrib.get("id"): node.text for node in tree}
        assert tree.attrib["role"] == "img" and all(found[name] for name in ids)


def test_ids_are_unique_also_with_several_runs(folder, tmp_path):
    text = page(folder, full(tmp_path / "other", method="fedavg", rounds=20, clients=12))
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))


def test_same_bytes_twice(folder, tmp_path):
    assert report([folder], tmp_path / "a.html").read_bytes() == report([folder], tmp_path / "b.html").read_bytes()
    assert str(folder.parent) not in page(folder)


def test_minimal_files(tmp_path):
    text = page(minimal(tmp_path / "run"))
    assert "After 1 rounds" not in text and "After 1 round of fedavg" in text and "15.0 %" in text


def test_nothing_evaluated(tmp_path):
    folder = minimal(tmp_path / "run", metrics={})
    (folder / "rounds.csv").write_text("round,seconds_local\n")
    assert "fedavg" in page(folder)


def test_text_is_escaped(tmp_path):
    run = full(tmp_path / "run", rounds=12, clients=12)
    whole = json.loads((run / "summary.json").read_text())
    whole |= {"method": NASTY, "events": [NASTY], "cite": [NASTY], "seed": NASTY, "mark": NASTY}
    whole["data"] = dict.fromkeys(("name", "variant", "hash", "note", "citation"), NASTY)
    whole["partition"] = {"kind": NASTY, "hash": NASTY, "stats": {NASTY: NASTY}}
    whole["totals"][f"rounds_to_{NASTY}"] = 3
    (run / "summary.json").write_text(json.dumps(whole))
    (run / "env.json").write_text(json.dumps({NASTY: NASTY}))
    (run / "spec.toml").write_text(f"name = '''{NASTY}'''\n")
    other = minimal(tmp_path / "<script>b", method=NASTY)
    for text in (page(run), page(run, other)):
        assert "<script" not in text and "&lt;script&gt;" in text
        assert not re.search(r"<[a-z]+ [^>]*alert", text)


@pytest.mark.parametrize("missing", ["clients.csv", "groups.csv", "arrays.npz", "env.json"])
def test_missing_files_leave_their_sections_out(tmp_path, missing):
    run = full(tmp_path / "run", rounds=12, clients=12)
    (run / missing).unlink()
    assert "Global accuracy" in page(run)


def test_missing_metrics_and_odd_arrays(tmp_path):
    run = full(tmp_path / "run", rounds=12, clients=12)
    whole = json.loads((run / "summary.json").read_text())
    whole["metrics"] = {
        name: pair for name, pair in whole["metrics"].items() if "prior" not in name and "majority" not in name
    }
    (run / "summary.json").write_text(json.dumps(whole))
    np.savez(
        run / "arrays.npz", similarity=np.full((3, 3), np.nan), similarity_ids=np.array([5, 4001, 17]),
        labels=np.zeros((2, 4), np.int64), label_ids=np.array([17, 5]), samples=np.full((3, 9, 16), np.nan),
    )  # fmt: skip
    text = page(run)
    assert "Generator samples" not in text and "Who is like whom" in text and "nan" not in text.replace("resonan", "")
    np.savez(
        run / "arrays.npz", similarity=np.eye(3), similarity_ids=np.arange(4), labels=np.eye(3), label_ids=np.arange(9)
    )
    text = page(run)
    assert "Who is like whom" not in text and "Labels by group" not in text


def test_several_runs_are_compared(folder, tmp_path):
    other = full(tmp_path / "plain", method="fedavg", rounds=20, clients=12, seed=3)
    text = page(folder, other)
    assert "2 runs compared" in text and "points above" in text and text.count('<details class="run" open>') == 2
    third = minimal(tmp_path / "third")
    text = page(folder, other, third)
    assert text.count('<details class="run">') == 3 and "do not share their data" in text
    assert "3 runs side by side" in text  # no winner is named over different test sets


def personal(folder, method, **more):
    levels = {"served_global": 31.0, "personal_local": 77.0, "majority_local": 63.0, **more}
    metrics = {name: {"final": value, "last10": value} for name, value in levels.items()}
    return minimal(folder, method=method, metrics=metrics, complete=True)


def test_models_of_the_clients_own(tmp_path):
    from disue.reports import read

    alone = personal(tmp_path / "fedper", "fedper", personal_clients=100.0)
    both = personal(tmp_path / "ditto", "ditto", group_local=34.0, own_local=60.0, own_clients=4.0)
    assert "the models that clients use get, in the mean, 31.0 %" in words.headline(read(alone))
    assert "the model that clients receive gets 31.0 %" in words.headline(read(both))
    assert any("77.0 % with the model of its own" in text for text in words.below(read(both)))
    text = page(alone)
    assert "Personal model" in text and "100 clients, drawn once" in text
    text = page(both)
    assert "Personal model" in text and "drawn once" not in text and "4 clients of the last cohort" in text
    assert "local, personal model" in page(alone, both)
    plain = minimal(tmp_path / "plain")
    assert "local, personal model" not in page(plain, minimal(tmp_path / "other"))


def test_runs_get_names_that_differ(tmp_path):
    from disue.reports import read

    a, b = read(minimal(tmp_path / "plain", seed=0)), read(minimal(tmp_path / "momentum", seed=0))
    c = read(minimal(tmp_path / "more" / "plain", seed=1))
    assert words.titles([a, b]) == ["plain", "momentum"]
    assert words.titles([a, c]) == ["fedavg, seed 0", "fedavg, seed 1"]
    assert words.titles([a, a]) == ["1. fedavg", "2. fedavg"]


def test_the_headline_does_not_praise_a_loss(tmp_path):
    run = full(tmp_path / "run", rounds=12, clients=12, lift=-20)
    assert "points less than the average" in page(run)


def test_more_clients_than_a_picture_holds(tmp_path):
    run = full(tmp_path / "run", rounds=10, clients=900)
    assert len(page(run).encode()) < 900_000


def test_a_stopped_run_says_so(tmp_path):
    assert "stopped before its last round" in page(minimal(tmp_path / "run", complete=False))


def test_refusals(tmp_path):
    with pytest.raises(UserError) as caught:
        report([], tmp_path / "out.html")
    assert caught.value.key == "run_dirs"
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError) as caught:
        report([minimal(tmp_path / "run")], blocked / "out.html")
    assert caught.value.key == "out"


def test_png_by_hand():
    data = base64.b64decode(images.png(np.array([[0, 255], [7, 9]], np.uint8)).split(",")[1])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[16:24] == b"\0\0\0\2\0\0\0\2" and data[24:26] == b"\x08\0"
    size = int.from_bytes(data[33:37], "big")
    assert zlib.decompress(data[41 : 41 + size]) == b"\0\0\xff\0\x07\x09"


def test_labels_keep_apart_and_inside():
    found = axes.apart([50.0, 50.0, 50.0, 98.0], 10.0, 0.0, 100.0)
    assert np.diff(sorted(found)).min() >= 10 - 1e-9 and max(found) <= 100 and min(found) >= 0
    assert axes.ticks(3, 3) == [2.0, 2.5, 3.0, 3.5, 4.0]


@pytest.mark.parametrize("module", [axes, words])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


def test_no_torch_and_no_plotting_library_is_loaded(folder):
    code = (
        "import sys; from pathlib import Path; from disue.reports import report; "
        f"report([Path({str(folder)!r})], Path({str(folder / 'again.html')!r})); "
        "print(sorted({'torch', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
