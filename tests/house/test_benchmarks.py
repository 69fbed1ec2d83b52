"""The benchmarks: their programs start, their arithmetic is right, what is missing is shown as missing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = ("against", "bench", "clients", "dphase", "evaluation", "floor", "growth", "native", "overhead", "page")
PROGRAMS += ("pool", "scaffold10k", "similarity", "store", "synthetic")


@pytest.fixture()
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a file of benchmarks/; none of their plain names stays behind."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))

    def get(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield get
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_says_what_it_does(name: str) -> None:
    done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"benchmarks/{name}.py" in " ".join(done.stdout.split())


def test_all_train_the_same_model(module: Any) -> None:
    """The loop that is written out here and our backends end at the same weights, batches being whole clients."""
    work = module("work").ALL["w1b18"].chunk(3, 18, 2)
    naive = module("plain").Naive(work)
    naive.round()
    ours = module("federation").Ours(work, "lean")
    ours.round()
    end = torch.cat([w.detach().reshape(-1) for w in naive.module.parameters()]).numpy()
    uploads_end = np.mean(list(ends(ours).values()), axis=0)
    assert np.abs(end - uploads_end).max() < 1e-5  # a pass is one batch of 18, so the order of samples is rounding
    assert np.abs(end - ours.start).max() > 1e-3


def ends(ours: Any) -> dict[int, Any]:
    from disue.core.orders import Orders

    orders = Orders(1, ours.ids, ours.start[None], np.zeros((3, 1), np.int64), origin=ours.start, local=ours.local)
    found: dict[int, Any] = ours.engine.answer(ours.world, orders).ends
    return found


def test_centralised_loops_agree_in_both_layouts(module: Any) -> None:
    work = module("work").ALL["w2"].chunk(1, 50, 2)  # one batch a pass: the order of its samples is rounding
    lean = module("central").Lean
    end = []
    for last in (False, True):
        loop = lean(work, channels_last=last)
        loop.round()
        end.append(torch.cat([weight.detach().reshape(-1) for weight in loop.weights]))
    assert float((end[0] - end[1]).abs().max()) < 1e-5


def test_a_turn_is_paired_and_every_second_one_is_turned_round(module: Any) -> None:
    seen: list[str] = []
    clock = iter(range(100))
    found = module("timing").interleaved(
        {name: (lambda name=name: seen.append(name)) for name in "ab"}, 2, lambda: float(next(clock))
    )
    assert "".join(seen) == "ab" + "ab" + "ba"
    assert found == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_operations_of_lenet_are_those_of_its_layers(module: Any) -> None:
    """Forward, and backward twice as much, without the first layer's gradient of the images."""
    one, two = 28 * 28 * 6 * 75, 10 * 10 * 16 * 150
    linear = 400 * 120 + 120 * 84 + 84 * 10
    assert module("floor").operations(module("work").ALL["w2"]) == 2 * (2 * one + 3 * two + 3 * linear)


RATIOS = {"naive": [2.0] * 5, "central last": [1.0] * 5, "central lean": [1.2] * 5, "stacked": [0.2] * 5}


def recorded() -> dict[str, Any]:
    """A few parts' figures as they are written, and the others missing."""
    row = {"work": "tiny", "passes": 100, "operations": 1e6, "seconds": RATIOS, "left_out": {"native": "no compiler"}}
    peer = {"work": "w1b18", "steady": 2.4, "first": 12.0, "cpu": 1.0, "pss_MiB": 900.0, "processes": 9}
    ours = {**peer, "name": "disue", "setting": "stacked, 2 workers", "steady": 0.1, "first": 3.0, "pss_MiB": 400.0}
    flower = {**peer, "name": "Flower", "setting": "two actors (1 CPU a client)"}
    gone = {"work": "w1b18", "name": "fluke", "setting": "one process, one thread", "left_out": "pip found no wheel"}
    return {
        "clients": {"peak": 80.0, "works": {"w1b18": row, "w2": {**row, "left_out": {"native": "no compiler"}}}},
        "against": {"rows": [ours, flower, gone], "versions": {"Flower": {"flwr": "1.41.0"}, "fluke": {}}},
    }


def test_targets_from_recorded_figures(module: Any) -> None:
    rows = {(row.what, row.work): row for row in module("targets").table(recorded())}
    naive = rows["torch backends against the naive loop, one core", "W1"]
    assert naive.found == 10.0 and naive.met is True and naive.how.startswith("stacked")
    same = rows["torch backends against the centralised loop in the same layout", "W1"]
    assert same.found == 5.0 and same.met is True
    steady = rows["steady round against Flower, two actors (1 CPU a client)", "W1"]
    assert steady.found == pytest.approx(24.0) and steady.met is True
    memory = rows["peak memory of all processes against Flower, two actors", "W1"]
    assert memory.found == pytest.approx(4 / 9) and memory.met is False


def test_what_is_missing_has_its_reason(module: Any) -> None:
    rows = {(row.what, row.work): row for row in module("targets").table(recorded())}
    native = rows["native against the naive loop, one core", "W2"]
    assert native.met is None and native.how == "no compiler"
    fluke = rows["steady round against fluke, CPU seconds", "W1"]
    assert fluke.met is None and "pip found no wheel" in fluke.how
    unread = rows["evaluation, of a run of 200 rounds", "W2"]
    assert unread.met is None and unread.how == "benchmarks/evaluation.py left no figures"


def test_the_page_keeps_what_is_written_by_hand(module: Any, tmp_path: Path) -> None:
    page = module("page")
    for name, found in recorded().items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    to = tmp_path / "docs" / "performance.md"
    to.parent.mkdir()
    to.write_text(page.FRESH.replace(page.END, page.END + "\n\nWhy it fell short: by hand.\n"))
    call = [sys.executable, str(FOLDER / "page.py"), str(tmp_path), "--to", str(to)]
    for _ in range(2):
        subprocess.run(call, check=True, capture_output=True)
    text = to.read_text()
    assert text.count("## Targets") == 1 and "Why it fell short: by hand." in text
    assert "`benchmarks/growth.py` left no figures" in text and "left out: pip found no wheel" in text
    assert "| **no** |" in text and "bench-peers-w1b18.svg" in text
    ET.parse(to.parent / "pictures" / "bench-peers-w1b18.svg")


def test_a_plot_is_svg_with_every_point_inside(module: Any) -> None:
    plots = module("plots")
    series = {"a & b": [(100.0, 50.0), (100_000.0, 49.0)], "c": [(100.0, 5.0), (100_000.0, 0.2)]}
    svg = plots.lines("rounds < clients", "clients", "rounds", series)
    assert "http://" not in svg.replace("http://www.w3.org/2000/svg", "") and "a &amp; b" in svg
    circles = [node for node in ET.fromstring(svg).iter() if node.tag.endswith("circle") and node.get("r") == "2.8"]
    assert len(circles) == 4
    for node in circles:
        assert plots.LEFT <= float(node.get("cx", 0)) <= plots.WIDTH - plots.RIGHT
        assert plots.TOP <= float(node.get("cy", 0)) <= plots.HEIGHT - plots.BOTTOM


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc")
def test_the_memory_of_a_grandchild_counts_and_none_is_left_behind(module: Any) -> None:
    watch = module("watch")
    hold = "import time; held = bytearray(b'1') * 60_000_000; print('there', flush=True); time.sleep(60)"
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {hold!r}], start_new_session=True); "
    code += "import time; time.sleep(2)"
    value = f"test-{os.getpid()}"
    with watch.Watch(value, every=0.05) as seen:
        subprocess.run([sys.executable, "-c", code], env={**os.environ, watch.MARK: value}, check=True)
        assert watch.marked(value), "the grandchild outlives its parent"
    assert seen.peak > 60_000_000 and seen.processes >= 2
    for _ in range(100):
        if not watch.marked(value):
            return
        subprocess.run(["sleep", "0.05"], check=True)
    pytest.fail("a process that the program left behind still runs")


def test_our_side_of_a_comparison_says_the_end_of_each_round(module: Any) -> None:
    """As a program of its own, by `disue.run`, on the clock that the peers use."""
    against = module("against")
    case = against.Case("disue", "stacked, 1 worker", sys.executable, str(FOLDER / "ours.py"), ("stacked", "1"))
    found = against.run(case, "w1b18", 2)
    assert found["first"] > found["steady"] > 0.0 and found["cpu"] > 0.0, found
    gone = against.run(against.Case("none", "", sys.executable, str(FOLDER / "none.py")), "w1b18", 2)
    assert gone["left_out"].startswith("0 of 2 rounds: ")


def test_peers_are_held_to_our_torch(module: Any) -> None:
    envs = module("envs")
    assert envs.pinned("torch") == f"torch=={torch.__version__.partition('+')[0]}"
    assert [peer.name for peer in envs.PEERS] == ["flower", "pfl", "fluke", "cfla"]
    assert all((FOLDER / "peers" / peer.program).exists() for peer in envs.PEERS)
