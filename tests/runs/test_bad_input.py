"""What a user can get wrong: one sentence each, exit code 2 (or the round goes on), nothing lost."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import disue
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

BASE: dict[str, Any] = {
    "rounds": 2,
    "data": {"name": "digits"},
    "partition": {"clients": 10, "alpha": 0.5},
    "cohort": {"share": 0.5},
    "local": {"epochs": 1},
    "method": {"name": "fedavg"},
}


def tables(**changes: Any) -> dict[str, Any]:
    out = {name: dict(value) if isinstance(value, dict) else value for name, value in BASE.items()}
    for dotted, value in changes.items():
        table, _, key = dotted.partition("__")
        if key:
            out.setdefault(table, {})[key] = value
        else:
            out[table] = value
    return out


def arrays(folder: Path, **changes: Any) -> dict[str, Any]:
    """A small own data set with something wrong in it; `None` leaves an array out."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {
        "x_train": rng.normal(size=(200, 6)).astype(np.float32),
        "y_train": np.arange(200) % 4,
        "x_test": rng.normal(size=(40, 6)).astype(np.float32),
        "y_test": np.arange(40) % 4,
    } | changes
    np.savez(folder / "mine.npz", **{name: value for name, value in found.items() if value is not None})
    return tables(data={"path": str(folder / "mine.npz")})


def nan(shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, np.float32)
    out[3, 0] = np.nan
    return out


def partition_file(folder: Path, harm: Callable[[bytes], bytes]) -> dict[str, Any]:
    setup = prepare(Spec.of(tables()))
    setup.partition.save(folder / "p.npz")
    (folder / "p.npz").write_bytes(harm((folder / "p.npz").read_bytes()))
    return tables(partition={"file": str(folder / "p.npz")})


Case = Callable[[Path], dict[str, Any]]
CASES: dict[str, tuple[Case, str]] = {
    "unknown table": (lambda p: tables(partitoin={}), 'partitoin: unknown key.*Did you mean "partition"'),
    "mistyped key": (lambda p: tables(local__epcohs=2), 'local.epcohs: unknown key.*Did you mean "epochs"'),
    "mistyped slot key": (
        lambda p: tables(method={"name": "disue", "expert": {"famliy": "moments"}}),
        'method.expert.famliy: unknown key.*Did you mean "family"',
    ),
    "wrong type": (lambda p: tables(rounds="ten"), "rounds must be integer"),
    "boolean for a number": (lambda p: tables(local__lr=True), "local.lr must be number"),
    "out of range": (lambda p: tables(partition__alpha=0.0), "partition.alpha must be .*> 0"),
    "negative rate": (lambda p: tables(local__lr=-1.0), "local.lr must be > 0"),
    "share and size": (lambda p: tables(cohort={"share": 0.5, "size": 3}), "both given"),
    "cohort too large": (lambda p: tables(cohort={"size": 11}), "cohort.size is 11, but there are 10 clients"),
    "unknown method": (lambda p: tables(method={"name": "disu"}), 'unknown name "disu".*Did you mean "disue"'),
    "unknown data": (lambda p: tables(data={"name": "cifar"}), 'unknown name "cifar"'),
    "unknown model": (lambda p: tables(model={"name": "lenett"}), 'Did you mean "lenet"'),
    "unknown partition": (lambda p: tables(partition={"kind": "dirichelt"}), 'Did you mean "dirichlet"'),
    "model that does not fit": (lambda p: tables(model={"name": "lenet"}), 'model "lenet" needs images of at least 28'),
    "more clients than samples": (lambda p: tables(partition__clients=5000), "5,?000 clients|samples"),
    "more groups than clients": (
        lambda p: tables(method={"name": "disue", "k": 11}),
        "method.k is 11, but there are 10",
    ),
    "no group": (lambda p: tables(method={"name": "clustered", "k": 0}), "k must be ≥ 1"),
    "array missing": (lambda p: arrays(p, y_test=None), "y_test"),
    "lengths differ": (lambda p: arrays(p, y_train=np.zeros(199, np.int64)), "199"),
    "label outside": (lambda p: arrays(p, y_test=np.full(40, 9)), "y_test has label 9"),
    "negative label": (lambda p: arrays(p, y_train=np.arange(200) % 4 - 1), "label -1"),
    "NaN in data": (lambda p: arrays(p, x_train=nan((200, 6))), "x_train.* nan.*row 3"),
    "labels no integers": (lambda p: arrays(p, y_train=np.linspace(0, 1, 200)), "integers"),
    "no such file": (lambda p: tables(data={"path": str(p / "none.npz")}), "none.npz"),
    "no npz": (lambda p: ((p / "x.npz").write_text("hello"), tables(data={"path": str(p / "x.npz")}))[1], "x.npz"),
    "name and path": (lambda p: tables(data={"name": "digits", "path": "x.npz"}), "both given"),
    "partition cut off": (lambda p: partition_file(p, lambda b: b[: len(b) // 2]), "p.npz"),
    "partition foreign": (lambda p: partition_file(p, lambda b: b"hello"), "p.npz"),
    "freeze nothing": (lambda p: tables(model={"freeze": ["nothing*"]}), "meets no tensor"),
    "freeze everything": (lambda p: tables(model={"freeze": ["*"]}), "nothing is left to train"),
    "weights missing": (lambda p: tables(model={"weights": str(p / "w.safetensors")}), "there is no file"),
    "loss that does not exist": (lambda p: tables(local__loss="math:nothing"), "has no function|nothing"),
    "expert combination": (
        lambda p: tables(method={"name": "disue", "expert": {"vector": "received"}}),
        "expert.transport needs",
    ),
    "oracle without truth": (lambda p: tables(method={"name": "disue-oracle"}), "truth|planted"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_sentence(name: str, tmp_path: Path) -> None:
    case, words = CASES[name]
    with pytest.raises(disue.UserError, match=words) as found:
        disue.run(case(tmp_path), tmp_path / "out", report=False)
    message = str(found.value)
    assert "\n" not in message, message
    assert found.value.key, message
    assert not (tmp_path / "out" / "summary.json").exists()


def test_tiny_clients_are_fine(tmp_path: Path) -> None:
    """One sample, and a batch larger than any client: one full batch a pass."""
    x = np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)
    y = np.arange(23) % 3
    owners = np.array([900] + [17] * 2 + [4001] * 20)
    np.savez(tmp_path / "m.npz", x_train=x, y_train=y, x_test=x, y_test=y, client_train=owners)
    summary = disue.run(
        {
            **tables(data={"path": str(tmp_path / "m.npz")}, partition={"kind": "natural"}, cohort={"share": 1.0}),
            "local": {"batch": 500, "epochs": 2},
            "method": {"name": "disue", "k": 2},
        },
        tmp_path / "out",
        report=False,
    )
    assert summary["complete"] is True


def test_a_client_with_one_sample_cannot_be_split(tmp_path: Path) -> None:
    x = np.zeros((11, 5), np.float32)
    y = np.arange(11) % 3
    owners = np.array([900] + [17] * 10)
    np.savez(tmp_path / "m.npz", x_train=x, y_train=y, x_test=x, y_test=y, client_train=owners)
    spec = tables(data={"path": str(tmp_path / "m.npz")}, partition={"kind": "natural"}, evaluate={"local": "split"})
    with pytest.raises(disue.UserError, match="client 900 has one sample"):
        disue.run(spec)


def test_a_client_whose_training_blows_up_is_left_out_and_named(tmp_path: Path) -> None:
    """Client 4001's inputs are astronomically large: its update is not finite. The others go on."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 5)).astype(np.float32)
    owners = np.repeat([17, 902, 4001], 30)
    x[owners == 4001] = 3e38
    y = np.arange(90) % 3
    np.savez(tmp_path / "m.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30], client_train=owners)
    spec = tables(data={"path": str(tmp_path / "m.npz")}, partition={"kind": "natural"}, cohort={"share": 1.0})
    setup = prepare(Spec.of(spec))
    huge = dataclasses.replace(setup.dataset, mean=np.zeros(5), std=np.full(5, 1.0))
    federation = dataclasses.replace(setup.federation, dataset=huge)
    federate = SimulatedRun(dataclasses.replace(setup, federation=federation), None)
    for record in federate:
        if record.round:
            assert record.row["clients_dropped"] == 1
            assert record.row["answered"] == 2
    assert np.isfinite(federate.state.average).all()


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 25:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(disue.UserError, match="the disk is full"):
        disue.run(tables(rounds=12, checkpoint={"every": 1}), tmp_path / "out", report=False)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "out").rglob(".*")] == [".lock"]
    disue.resume(tmp_path / "out", report=False)
    disue.run(tables(rounds=12, checkpoint={"every": 1}), tmp_path / "whole", report=False)
    for name in ("clients.csv", "groups.csv"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    disue.run(tables(), tmp_path / "out", report=False)
    before = (tmp_path / "out" / "rounds.csv").read_bytes()
    with pytest.raises(disue.UserError, match="already holds a run"):
        disue.run(tables(), tmp_path / "out", report=False)
    assert (tmp_path / "out" / "rounds.csv").read_bytes() == before


def test_the_resolved_spec_is_a_spec_with_the_same_result(tmp_path: Path) -> None:
    for method in (
        {"name": "disue", "k": 3, "expert": {"scale": 0.4}},
        {"name": "fedavg", "local": {"kind": "logit-adjusted"}, "aggregate": {"momentum": 0.5}},
        {
            "name": "clustered",
            "k": 2,
            "expert": {"kind": "distil", "family": "generator", "iterations": 1, "share": 0.5},
        },
    ):
        spec = Spec.of(tables(method=method))
        (tmp_path / "s.toml").write_text(spec.toml())
        again = Spec.read(tmp_path / "s.toml")
        assert again.tables() == spec.tables()
        assert again.build() == spec.build()


def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    import subprocess
    import sys

    def second(record: Any) -> None:
        if record.round == 1:
            other = subprocess.run(
                [sys.executable, "-c", f"import sys, disue; disue.resume({str(tmp_path / 'out')!r})"],
                capture_output=True,
                text=True,
            )
            assert "another process is writing this run" in other.stderr

    disue.run(tables(), tmp_path / "out", on_round=second, report=False)


@pytest.mark.parametrize(
    ("method", "words"),
    [({"name": "disue-one"}, "moments expert"), ({"name": "clustered", "k": 2}, "compares")],
    ids=["expert", "grouping"],
)
def test_a_frozen_head_is_refused_where_the_method_needs_it(method: dict[str, Any], words: str) -> None:
    with pytest.raises(disue.UserError, match=words):
        disue.run(tables(method=method, model={"freeze": ["head*"]}))
