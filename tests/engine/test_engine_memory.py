"""Versions of the clients' memories: a resumed run finds exactly those of its checkpoint."""

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.engine import MemoryStore
from disue.engine.memory import FILES


def value(*numbers):
    return {"c": np.array(numbers, np.float32), "alpha": np.array(numbers[0], np.float64)}


def restored(folder, version):
    out = MemoryStore()
    out.put(5, value(9.0))  # replaced by what is read
    out.load(folder, version)
    return {i: {k: v.tolist() for k, v in out.get(i).items()} for i in out.ids}


def test_what_is_held_is_apart_from_what_was_given():
    store = MemoryStore()
    mine = value(1.0, 2.0)
    store.put(4001, mine)
    mine["c"][0] = 7
    assert store.get(4001)["c"].tolist() == [1.0, 2.0] and store.get(17) == {}
    with pytest.raises(ValueError):
        store.get(4001)["c"][0] = 3
    store.put(4001, {})
    assert store.ids == []


def test_each_version_is_as_it_was(tmp_path):
    store = MemoryStore()
    store.put(4001, value(1.0))
    store.put(-17, {"c": np.zeros((0, 3)), "n": np.array(3, np.int64)})
    store.save(tmp_path, 0)
    store.put(902, value(2.0, 3.0))
    store.put(-17, {})
    store.save(tmp_path, 1)
    store.put(4001, value(4.0))
    store.save(tmp_path, 2)
    assert restored(tmp_path, 0) == {-17: {"c": [], "n": 3}, 4001: {"c": [1.0], "alpha": 1.0}}
    assert restored(tmp_path, 1) == {902: {"c": [2.0, 3.0], "alpha": 2.0}, 4001: {"c": [1.0], "alpha": 1.0}}
    assert restored(tmp_path, 2) == {902: {"c": [2.0, 3.0], "alpha": 2.0}, 4001: {"c": [4.0], "alpha": 4.0}}
    MemoryStore.drop(tmp_path, keep=[2])
    assert len(list(tmp_path.iterdir())) == 2  # 902 lies in the file of version 1
    assert restored(tmp_path, 2)[902] == {"c": [2.0, 3.0], "alpha": 2.0}


def test_a_killed_run_goes_back_and_on(tmp_path):
    """Killed after version 2 was written but not named: back to 1, other rounds, 2 is written anew."""
    store = MemoryStore()
    for version in range(3):
        store.put(17, value(float(version)))
        store.put(100 + version, value(1.0))
        store.save(tmp_path, version)
    again = MemoryStore()
    again.load(tmp_path, 1)
    assert again.ids == [17, 100, 101]
    again.put(17, value(8.0))
    again.save(tmp_path, 2)
    MemoryStore.drop(tmp_path, keep=[2])
    found = restored(tmp_path, 2)
    assert sorted(found) == [17, 100, 101] and found[17]["alpha"] == 8.0


def test_saving_a_version_again_loses_nothing(tmp_path):
    store = MemoryStore()
    store.put(17, value(1.0))
    for _ in range(2):
        store.save(tmp_path, 5)
    assert restored(tmp_path, 5) == {17: {"c": [1.0], "alpha": 1.0}}


def test_another_folder_gets_everything(tmp_path):
    store, other = MemoryStore(), MemoryStore()
    other.put(17, value(66.0))
    other.save(tmp_path / "b", 0)
    store.put(17, value(1.0))
    store.save(tmp_path / "a", 0)
    store.save(tmp_path / "b", 1)
    assert restored(tmp_path / "b", 1) == {17: {"c": [1.0], "alpha": 1.0}}


def test_files_stay_few(tmp_path):
    store = MemoryStore()
    for version in range(5 * FILES):
        store.put(version, value(float(version)))
        store.save(tmp_path, version)
        MemoryStore.drop(tmp_path, keep=[version])
    assert len(list(tmp_path.iterdir())) <= FILES + 1
    assert sorted(restored(tmp_path, version)) == list(range(5 * FILES))


def test_an_empty_store_is_a_version_too(tmp_path):
    MemoryStore().save(tmp_path, 0)
    assert restored(tmp_path, 0) == {}


@pytest.mark.parametrize("how", ["absent", "cut", "needed"])
def test_a_damaged_file_is_one_sentence(tmp_path, how):
    store = MemoryStore()
    store.put(17, value(1.0))
    first = store.save(tmp_path, 0)
    store.put(902, value(1.0))
    second = store.save(tmp_path, 1)
    if how == "absent":
        second.unlink()
    elif how == "cut":
        second.write_bytes(second.read_bytes()[:40])
    else:
        first.unlink()
    with pytest.raises(UserError) as caught:
        MemoryStore().load(tmp_path, 1)
    assert caught.value.key == "checkpoint"
