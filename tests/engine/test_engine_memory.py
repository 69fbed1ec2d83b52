"""Versions of the clients' memories: a resumed run finds exactly those of its checkpoint, in RAM or on disk."""

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.engine import MemoryStore


@pytest.fixture(params=["RAM", "disk"])
def made(request):
    """Makes stores that hold what they are given in RAM, or from the first byte on disk."""
    return lambda: MemoryStore(budget=2**20 if request.param == "RAM" else 0)


def value(*numbers):
    return {"c": np.array(numbers, np.float32), "alpha": np.array(numbers[0], np.float64)}


def restored(folder, version, budget=2**20):
    out = MemoryStore(budget)
    out.put(5, value(9.0))  # replaced by what is read
    out.load(folder, version)
    return {i: {k: v.tolist() for k, v in out.get(i).items()} for i in out.ids}


def test_what_is_held_is_apart_from_what_was_given(made):
    store = made()
    mine = value(1.0, 2.0)
    store.put(4001, mine)
    mine["c"][0] = 7
    assert store.get(4001)["c"].tolist() == [1.0, 2.0] and store.get(17) == {}
    with pytest.raises(ValueError):
        store.get(4001)["c"][0] = 3
    before = store.get(4001)["c"]
    store.put(4001, value(5.0, 6.0))
    assert before.tolist() == [1.0, 2.0]
    store.put(4001, {})
    assert store.ids == [] and store.get(4001) == {}


def test_each_version_is_as_it_was(tmp_path, made):
    store = made()
    store.put(4001, value(1.0))
    store.put(-17, {"c": np.zeros((0, 3)), "n": np.array(3, np.int64)})
    store.save(tmp_path, 0)
    store.put(902, value(2.0, 3.0))
    store.put(-17, {})
    store.save(tmp_path, 1)
    store.put(4001, value(4.0))
    store.save(tmp_path, 2)
    for budget in (0, 2**20):
        assert restored(tmp_path, 0, budget) == {-17: {"c": [], "n": 3}, 4001: {"c": [1.0], "alpha": 1.0}}
        assert restored(tmp_path, 1, budget) == {
            902: {"c": [2.0, 3.0], "alpha": 2.0},
            4001: {"c": [1.0], "alpha": 1.0},
        }
        last = {902: {"c": [2.0, 3.0], "alpha": 2.0}, 4001: {"c": [4.0], "alpha": 4.0}}
        assert restored(tmp_path, 2, budget) == last
    store.drop(tmp_path, keep=[2])
    assert restored(tmp_path, 2) == last


def test_a_killed_run_goes_back_and_on(tmp_path, made):
    """Killed after version 2 was written but not named: back to 1, other rounds, 2 is written anew."""
    store = made()
    for version in range(3):
        store.put(17, value(float(version)))
        store.put(100 + version, value(1.0))
        store.save(tmp_path, version)
    again = made()
    again.load(tmp_path, 1)
    assert again.ids == [17, 100, 101] and again.get(17)["alpha"] == 1.0
    again.put(17, value(8.0))
    assert restored(tmp_path, 1)[17]["alpha"] == 1.0  # killed once more, before the checkpoint
    again.save(tmp_path, 2)
    again.drop(tmp_path, keep=[2])
    found = restored(tmp_path, 2)
    assert sorted(found) == [17, 100, 101] and found[17]["alpha"] == 8.0


def test_saving_a_version_again_loses_nothing(tmp_path, made):
    store = made()
    store.put(17, value(1.0))
    for _ in range(2):
        store.save(tmp_path, 5)
    assert restored(tmp_path, 5) == {17: {"c": [1.0], "alpha": 1.0}}


def test_another_folder_gets_everything(tmp_path, made):
    store, other = made(), made()
    other.put(17, value(66.0))
    other.save(tmp_path / "b", 0)
    store.put(17, value(1.0))
    store.save(tmp_path / "a", 0)
    store.save(tmp_path / "b", 1)
    assert restored(tmp_path / "b", 1) == {17: {"c": [1.0], "alpha": 1.0}}
    assert restored(tmp_path / "b", 0) == {17: {"c": [66.0], "alpha": 66.0}}
    assert restored(tmp_path / "a", 0) == {17: {"c": [1.0], "alpha": 1.0}}


def test_rows_are_used_again(tmp_path, made):
    """500 versions of five clients' memories, of which two versions are kept: at most ten rows, few bytes of index."""
    store = made()
    for version in range(500):
        for client in range(5):
            store.put(1000 * client, value(float(version), float(client)))
        store.save(tmp_path, version)
        store.drop(tmp_path, keep=[version])
    (rows,) = tmp_path.glob("rows-*.bin")
    assert rows.stat().st_size <= 10 * 32
    assert sum(path.stat().st_size for path in tmp_path.glob("index-*")) < 200_000
    assert restored(tmp_path, 499)[4000] == {"c": [499.0, 4.0], "alpha": 499.0}


def test_a_version_writes_what_changed(tmp_path, made):
    store = made()
    for client in range(300):
        store.put(client, {"c": np.full(100, client, np.float32)})
    store.save(tmp_path, 0)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    store.put(7, {"c": np.zeros(100, np.float32)})
    store.save(tmp_path, 1)
    grown = 0
    for path in tmp_path.iterdir():
        blob = path.read_bytes()
        assert blob.startswith(before[path])  # what version 0 has is as it was
        grown += len(blob) - len(before[path])
    assert 400 <= grown < 600


def test_an_empty_store_is_a_version_too(tmp_path, made):
    made().save(tmp_path, 0)
    assert restored(tmp_path, 0) == {}


@pytest.mark.parametrize("how", ["absent", "cut", "flipped", "rows cut", "rows absent", "another version"])
def test_a_damaged_file_is_one_sentence(tmp_path, how, made):
    store = made()
    store.put(17, value(1.0))
    store.save(tmp_path, 0)
    store.put(902, value(1.0))
    index = store.save(tmp_path, 1)
    (rows,) = tmp_path.glob("rows-*.bin")
    blob = index.read_bytes()
    if how == "absent":
        index.unlink()
    elif how == "cut":
        index.write_bytes(blob[:-1])
    elif how == "flipped":
        index.write_bytes(blob[:40] + bytes([blob[40] ^ 1]) + blob[41:])
    elif how == "rows cut":
        rows.write_bytes(rows.read_bytes()[:40])
    elif how == "rows absent":
        rows.unlink()
    fresh = made()
    fresh.put(5, value(3.0))
    with pytest.raises(UserError) as caught:
        fresh.load(tmp_path, 2 if how == "another version" else 1)
    assert caught.value.key == "checkpoint" and "cannot be resumed" in str(caught.value)
    assert fresh.ids == [5]  # what it held is still there


def test_only_numbers_are_remembered(made):
    with pytest.raises(UserError, match='"who" is of <U3'):
        made().put(17, {"who": np.array(["abc"])})
