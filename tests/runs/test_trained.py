"""What was trained is there to be used: modules, priors, the group for a newcomer's data, a file to take along."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

import disue
from disue import data
from disue.runs.personal import personal_models
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

SPEC: dict[str, Any] = {
    "rounds": 12,
    "data": {"name": "digits"},
    "partition": {"kind": "disjoint-labels", "clients": 12, "groups": 3},
    "cohort": {"share": 0.5, "newcomers": 0.25},
    "local": {"epochs": 2, "batch": 10, "lr": 0.05, "clip": 5.0},
    "method": {"name": "disue", "k": 3},
    "evaluate": {"every": 6, "targets": [20.0, 99.9]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    disue.run(SPEC, out)
    return out


def test_the_modules_score_what_the_summary_says(folder: Path) -> None:
    trained = disue.load(folder)
    digits = data.load("digits")
    x, y = torch.from_numpy(digits.inputs(digits.x_test)), digits.y_test
    for what, module in (("expert", trained.expert()), ("average", trained.average())):
        with torch.inference_mode():
            right = (module(x).argmax(1).numpy() == y).mean() * 100
        assert right == pytest.approx(trained.metrics[f"{what}_global"]["final"], abs=0.3)


def test_a_prior_is_added_on_the_device(folder: Path) -> None:
    trained = disue.load(folder)
    counts = [0, 0, 30, 0, 0, 10, 0, 0, 0, 0]
    x = torch.from_numpy(data.load("digits").inputs(data.load("digits").x_test[:50]))
    with torch.inference_mode():
        plain, corrected = trained.expert()(x).numpy(), trained.expert(prior=counts)(x).numpy()
    shares = np.array(counts) / 40
    expected = plain / trained.served.scale + np.log((shares + 0.01) / 1.1)
    np.testing.assert_allclose(corrected, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(disue.UserError, match="expected 10 label counts"):
        trained.expert(prior=[1.0, 2.0])


def test_a_newcomer_is_sent_to_the_group_with_its_labels(folder: Path) -> None:
    """Groups hold disjoint labels, so a newcomer's best model is that of its planted group, or the expert."""
    trained = disue.load(folder)
    setup = prepare(Spec.read(folder / "spec.toml"))
    truth = {int(i): setup.federation.truth(int(i)) for i in setup.federation.ids}
    for client in setup.late.tolist():
        placed = trained.group_of(*setup.federation.train(client))
        assert set(placed.losses) == {"expert", *(f"group {g}" for g in trained.groups)}
        best = min(placed.losses, key=lambda name: placed.losses[name])
        assert placed.group == (None if best == "expert" else int(best.split()[1]))
        if placed.group is not None:
            members = trained.groups[placed.group]
            assert {truth[i] for i in members} == {truth[client]}
        assert str(placed).startswith(("group", "the expert"))


def test_an_export_holds_the_model_with_its_layout(folder: Path, tmp_path: Path) -> None:
    trained = disue.load(folder)
    for what in ("expert", "average", f"group:{next(iter(trained.groups))}"):
        file = disue.export(folder, what, tmp_path / "model.safetensors")
        with safe_open(file, framework="numpy") as found:
            about = json.loads(found.metadata()["disue"])
            vector = np.concatenate([found.get_tensor(e["name"]).reshape(-1) for e in about["layout"]])
        assert vector.tobytes() == trained.vector(what).tobytes()
        assert about["model"] == "tiny"
        assert about["what"] == what
    with pytest.raises(disue.UserError, match="there is no group 77"):
        disue.export(folder, "group:77", tmp_path / "x")
    with pytest.raises(disue.UserError, match="what must be expert"):
        disue.export(folder, "everything", tmp_path / "x")


def test_the_summary_counts_newcomers_targets_and_totals(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("newcomer_0", "newcomer_1", "newcomer_prior", "newcomer_0_average", "newcomer_1_average"):
        assert 0 <= summary["metrics"][name]["final"] <= 100
    totals = summary["totals"]
    assert totals["rounds_to_20"] is not None
    assert totals["rounds_to_99.9"] is None
    assert totals["bytes_to_20"] <= totals["bytes_up"] + totals["bytes_down"]
    assert summary["complete"] is True
    assert (folder / "report.html").stat().st_size > 5000


def test_a_newcomer_may_take_the_group_that_fits_its_own_data(folder: Path) -> None:
    """By hand: for each newcomer the group model with the least loss on its training data, scored on its label mix."""
    trained, setup = disue.load(folder), prepare(Spec.of(SPEC))
    digits = data.load("digits")
    x, y = digits.inputs(digits.x_test), digits.y_test
    found = []
    for client in setup.late.tolist():
        mine, labels = setup.federation.train(client)
        losses = {}
        for group in trained.groups:
            logits = torch.from_numpy(trained.network.logits(trained.vector(f"group:{group}"), mine))
            losses[group] = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)))
        best = trained.network.logits(trained.vector(f"group:{min(losses, key=losses.__getitem__)}"), x).argmax(1)
        shares = np.bincount(labels, minlength=10) / labels.size
        found.append(sum(100 * shares[c] * (best[y == c] == c).mean() for c in np.flatnonzero(shares)))
    assert trained.metrics["newcomer_0_group"]["final"] == pytest.approx(np.mean(found), abs=0.05)


def test_inputs_are_normalised_as_in_training(folder: Path) -> None:
    digits = data.load("digits")
    np.testing.assert_allclose(
        disue.load(folder).inputs(digits.x_test[:5]), digits.inputs(digits.x_test[:5]), atol=1e-6
    )


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(disue.UserError, match="holds no run"):
        disue.load(tmp_path)


OWN: dict[str, Any] = {**SPEC, "rounds": 3, "local": {"epochs": 1, "batch": 20}, "evaluate": {"every": 3}}


@pytest.mark.parametrize("name", ["ditto", "fedper", "apfl", "fedavg"])
def test_a_client_gets_the_model_that_it_uses(name: str, tmp_path: Path) -> None:
    spec = {**OWN, "method": {"name": name}}
    disue.run(spec, tmp_path / "run")
    trained = disue.load(tmp_path / "run")
    federate = SimulatedRun(prepare(Spec.of(spec)), None)
    for _ in federate:
        pass
    used = personal_models(federate.side.trainer, federate.setup, federate.state, federate.setup.ids)
    assert bool(used) == (name != "fedavg")
    for client in federate.setup.ids.tolist():
        mine = trained.vector(f"client:{client}")
        assert np.array_equal(mine, used.get(client, federate.state.average))
    client = federate.setup.ids.tolist()[0]
    file = trained.export(f"client:{client}", tmp_path / "own.safetensors")
    with safe_open(str(file), "numpy") as tensors:
        weight = tensors.get_tensor(trained.world.layout.head_weight)
    assert np.array_equal(weight, trained.client(client).state_dict()[trained.world.layout.head_weight].numpy())
    with pytest.raises(disue.UserError, match="no client 4711 took part"):
        trained.client(4711)


def test_who_fine_tunes_needs_its_data(tmp_path: Path) -> None:
    disue.run({**OWN, "method": {"name": "fedavg-ft"}}, tmp_path / "run")
    trained = disue.load(tmp_path / "run")
    with pytest.raises(disue.UserError, match="fine-tune what they receive on their own data"):
        trained.client(int(trained.world.census.ids[0]))


def test_a_method_without_an_expert_says_so(tmp_path: Path) -> None:
    disue.run({**SPEC, "rounds": 1, "method": {"name": "fedavg"}}, tmp_path / "r", report=False)
    with pytest.raises(disue.UserError, match='"fedavg" has no expert'):
        disue.load(tmp_path / "r").expert()


def test_a_run_with_real_inputs_is_loaded_without_them(tmp_path: Path) -> None:
    disue.run({**SPEC, "rounds": 1, "method": {"name": "disue-generator-real"}}, tmp_path / "r", report=False)
    trained = disue.load(tmp_path / "r")
    assert trained.vector("expert").shape == (trained.world.layout.d,)


@pytest.mark.parametrize("name", ["env.json", "summary.json"])
@pytest.mark.parametrize("harm", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_damaged_file_is_one_sentence(name: str, harm: bytes, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "r")
    (tmp_path / "r" / name).write_bytes(harm)
    with pytest.raises(disue.UserError, match=name):
        _ = disue.load(tmp_path / "r").metrics


@pytest.mark.parametrize("harm", [lambda b: b"\xff\xfe", lambda b: b[: len(b) // 2], lambda b: b""])
def test_a_damaged_table_of_rounds_is_no_run_to_go_on_with(
    harm: Callable[[bytes], bytes], folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "r")
    file = tmp_path / "r" / "rounds.csv"
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(disue.UserError, match=r"rounds\.csv"):
        disue.resume(tmp_path / "r")


def test_another_runs_partition_is_not_gone_on_with(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "r")
    disue.run({**SPEC, "rounds": 1}, tmp_path / "other", seed=1, report=False)
    shutil.copy(tmp_path / "other" / "partition.npz", tmp_path / "r")
    with pytest.raises(disue.UserError, match="is not the partition"):
        disue.resume(tmp_path / "r")
