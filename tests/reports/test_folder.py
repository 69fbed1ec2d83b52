import json

import numpy as np
import pytest
from reports_folder import full, minimal

from disue.core.errors import UserError
from disue.reports import read


def test_reads_what_a_run_leaves(tmp_path):
    run = read(full(tmp_path / "run", rounds=20, clients=12))
    assert run.method == "disue" and run.name == "run" and run.complete
    assert run.rounds["round"].tolist() == list(range(21))
    assert np.isnan(run.rounds["served_global"][5]) and np.isfinite(run.rounds["served_global"][20])
    assert run.total("bytes_up") == 2_468_240 * 20 and run.totals["rounds_to_60"] is None
    last = run.last_round("clients")
    assert last["client"].size == 12 and set(last["round"].tolist()) == {20.0}
    assert run.arrays["similarity"].shape == (12, 12)


def test_events_may_stand_in_their_own_file(tmp_path):
    folder = minimal(tmp_path / "run", complete=False)
    (folder / "events.csv").write_text('round,event\n3,"client 17 left out, it holds 3 NaN"\n')
    run = read(folder)
    assert run.events == ("Round 3: client 17 left out, it holds 3 NaN",) and not run.complete


def test_totals_fall_back_on_the_rounds(tmp_path):
    folder = minimal(tmp_path / "run")
    (folder / "rounds.csv").write_text("round,bytes_up\n1,10\n2,\n3,5\n")
    assert read(folder).total("bytes_up") == 15.0 and read(folder).total("seconds_local") is None


def damage(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("summary.json", "{", "summary.json"),
        ("summary.json", "[1]", "summary.json"),
        ("summary.json", '{"format": 3}', "format"),
        ("summary.json", '{"method": "fedavg"}', "format"),
        ("summary.json", '{"format": 1, "metrics": {"served_global": 3}}', "metrics.served_global"),
        ("spec.toml", "rounds = = 3", "spec.toml"),
        ("rounds.csv", "", "rounds.csv"),
        ("rounds.csv", "round,a\n1,2\n1,2,3\n", "rounds.csv"),
        ("rounds.csv", "a,b\n1,2\n", "rounds.csv"),
        ("rounds.csv", b"round\n\xff\xfe\n", "rounds.csv"),
        ("arrays.npz", b"no archive", "arrays.npz"),
        ("env.json", "nothing", "env.json"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, key):
    folder = minimal(tmp_path / "run")
    damage(folder, name, content)
    with pytest.raises(UserError) as caught:
        read(folder)
    assert caught.value.key == key and name in str(caught.value)


@pytest.mark.parametrize("name", ["summary.json", "spec.toml", "rounds.csv"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = minimal(tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(UserError) as caught:
        read(folder)
    assert caught.value.key == name


def test_no_folder(tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path / "nowhere")
    assert caught.value.key == "run"


def test_arrays_are_never_unpickled(tmp_path):
    folder = minimal(tmp_path / "run")
    np.savez(folder / "arrays.npz", labels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError) as caught:
        read(folder)
    assert caught.value.key == "arrays.npz"


def test_numbers_that_are_none_are_left_out(tmp_path):
    folder = minimal(tmp_path / "run")
    whole = json.loads((folder / "summary.json").read_text())
    whole["metrics"]["odd"] = {"final": float("nan"), "last10": 1.0}
    whole["totals"] = {"bytes_up": "many"}
    (folder / "summary.json").write_text(json.dumps(whole))
    run = read(folder)
    assert run.metrics["odd"] == {"last10": 1.0} and run.totals["bytes_up"] is None


def test_a_row_written_twice_counts_once(tmp_path):
    folder = minimal(tmp_path / "run")
    (folder / "clients.csv").write_text("round,client,group_local\n1,7,1\n2,7,5\n2,4001,6\n2,7,8\n")
    last = read(folder).last_round("clients")
    assert sorted(zip(last["client"].tolist(), last["group_local"].tolist(), strict=True)) == [(7, 8), (4001, 6)]
