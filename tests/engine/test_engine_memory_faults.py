"""The store of memories under chance, kills and a full disk: always what a plain dictionary would have."""

import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.engine import MemoryStore
from disue.engine.memory import foreseen

CLIENTS = (4001, 17, 902, -3, 0, 2**40)
FORMS = (
    {"c": ("<f4", (5,))},
    {"c": ("<f4", (5,)), "n": ("<i8", ())},
    {"end": ("<f8", (2, 3)), "empty": ("<f4", (0, 4)), "flag": ("|b1", (3,))},
)


def drawn(chance):
    if chance.random() < 0.15:
        return {}
    bits = np.random.default_rng(chance.randrange(2**30))
    return {
        name: (bits.standard_normal(shape) * 3).astype(dtype) for name, (dtype, shape) in chance.choice(FORMS).items()
    }


def facts(store):
    """Bits, types and shapes of all that a store (or a dictionary) holds."""
    ids = store.ids if isinstance(store, MemoryStore) else sorted(store)
    got = {i: store.get(i) if isinstance(store, MemoryStore) else store[i] for i in ids}
    return {
        i: {name: (v.dtype.str, v.shape, v.tobytes()) for name, v in sorted(memory.items())}
        for i, memory in got.items()
    }


@pytest.mark.parametrize("seed", range(30))
def test_any_course_of_events_is_as_with_a_dictionary(seed, tmp_path):
    """RAM, disk, and one that moves on the way; puts, versions, kills, in any order."""
    chance = random.Random(seed)
    budgets = {"RAM": 2**20, "disk": 0, "moves": 100}
    given = chance.random() < 0.5
    homes = {name: tmp_path / name for name in budgets}

    def fresh(name):
        return MemoryStore(budgets[name], homes[name] if given else None)

    stores = {name: fresh(name) for name in budgets}
    plain, named, last = {}, {}, -1  # what is held; what the versions that checkpoints name hold; the newest of them
    for _ in range(80):
        event = chance.choice(("put", "put", "put", "put", "save", "save, no name", "kill"))
        if event == "put":
            client, memory = chance.choice(CLIENTS), drawn(chance)
            plain.pop(client, None)
            if memory:
                plain[client] = memory
            for store in stores.values():
                store.put(client, memory)
        elif event.startswith("save"):
            for name, store in stores.items():
                store.save(homes[name], last + 1)
            if event == "save":
                last += 1
                named[last] = dict(plain)
                if chance.random() < 0.7:
                    named = {last: named[last]}
                    for name, store in stores.items():
                        store.drop(homes[name], keep=list(named))
        elif last >= 0:
            stores = {name: fresh(name) for name in budgets}
            plain = dict(named[last])
            for name, store in stores.items():
                store.load(homes[name], last)
        for name, store in stores.items():
            assert facts(store) == facts(plain), name
    assert stores["disk"].on_disk == bool(stores["disk"].note)
    for name in budgets:
        for version, held in named.items():
            other = MemoryStore(chance.choice((0, 2**20)))
            other.load(homes[name], version)
            assert facts(other) == facts(held), (name, version)


def test_the_move_to_the_disk_is_said_once_and_a_temporary_folder_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = MemoryStore(budget=100)
    store.put(17, {"c": np.ones(20, np.float32)})
    assert not store.on_disk and store.note == "" and not list(tmp_path.iterdir())
    store.put(4001, {"c": np.full(20, 2, np.float32)})
    assert store.on_disk and "temporary folder" in store.note
    assert store.get(17)["c"].sum() == 20 and store.get(4001)["c"].sum() == 40
    assert len(list(tmp_path.iterdir())) == 1
    del store
    assert not list(tmp_path.iterdir())


def test_what_lies_on_disk_is_not_in_ram(tmp_path):
    """400 memories of 100,000 numbers (160 MB) written, saved, read and loaded within a few of them."""
    d, clients = 100_000, 400
    tracemalloc.start()
    try:
        store = MemoryStore(budget=4 * d, folder=tmp_path)
        for client in range(clients):
            store.put(client, {"c": np.full(d, client, np.float32)})
            if client % 100 == 0:
                store.save(tmp_path, client)
        store.save(tmp_path, clients)
        again = MemoryStore(budget=4 * d, folder=tmp_path)
        again.load(tmp_path, clients)
        assert again.on_disk and again.get(399)["c"][-1] == 399
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 4 * d


def test_how_large_it_can_become_is_said_and_refused(tmp_path):
    assert foreseen(62_006, 100, 1) == (
        "the clients' memories can take 23.7 MiB (100 clients, 1 vector of 62,006 numbers each): they stay in RAM"
    )
    assert "beyond 10.0 MiB they lie on the disk" in foreseen(62_006, 100, 2, budget=10 * 2**20, folder=tmp_path / "a")
    left = shutil.disk_usage(tmp_path).free
    too_many = left // (4 * 62_006) + 1000
    with pytest.raises(UserError, match=r"can take .* GiB") as caught:
        foreseen(62_006, too_many, 1, folder=tmp_path / "a" / "b")
    assert str(tmp_path / "a" / "b") in str(caught.value)


# -- a run in a process of its own ----------------------------------------------------------------------

RUN = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    import numpy as np
    from disue.core.errors import UserError
    from disue.engine import MemoryStore

    def main(out, budget, rounds):
        out.mkdir(exist_ok=True)
        store, name = MemoryStore(budget, out / "memory"), out / "checkpoint"
        done = int(name.read_text()) if name.exists() else -1
        if done >= 0:
            store.load(out / "memory", done)
        for round in range(done + 1, rounds):
            for client in np.random.default_rng(round).choice(40, 8, replace=False).tolist():
                old = store.get(client).get("c", np.zeros(500 + client % 3, np.float32))
                store.put(client, {"c": np.float32(0.9) * old + np.float32(round), "n": np.array(round)})
            if round % 2 == 0 or round == rounds - 1:
                store.save(out / "memory", round)
                partial = out / "partial"
                partial.write_text(str(round))
                os.replace(partial, name)
                store.drop(out / "memory", keep=[round])

    if __name__ == "__main__":
        try:
            main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
        except UserError as error:
            sys.exit(str(error))
    """
)


def held(out, version, budget=2**30):
    store = MemoryStore(budget)
    store.load(out / "memory", version)
    return facts(store)


@pytest.mark.parametrize("budget", [0, 30_000, 2**30])
def test_sigkill_at_random_moments_changes_nothing(budget, tmp_path):
    rounds, chance, kills = 300, random.Random(budget), 0
    script = tmp_path / "run.py"
    script.write_text(RUN)
    subprocess.run([sys.executable, script, tmp_path / "whole", str(2**30), str(rounds)], check=True)
    name = tmp_path / "killed" / "checkpoint"
    for _ in range(5):
        process = subprocess.Popen([sys.executable, script, tmp_path / "killed", str(budget), str(rounds)])
        before = name.read_text() if name.exists() else ""
        while process.poll() is None and (name.read_text() if name.exists() else "") == before:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.03)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 3
    subprocess.run([sys.executable, script, tmp_path / "killed", str(budget), str(rounds)], check=True)
    assert held(tmp_path / "killed", rounds - 1) == held(tmp_path / "whole", rounds - 1)
    assert len(held(tmp_path / "whole", rounds - 1)) == 40


def small_disk(folder, kilobytes, *words):
    """Runs a command while `folder` is a file system of that size; what it leaves is copied to `copy`."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"mount -t tmpfs -o size={kilobytes}k tmpfs '{folder}' || exit 99; {quoted}; code=$?; "
        f"cp -a '{folder}/run' '{folder.parent}/copy'; exit $code"
    )
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("budget", [0, 2**30])
def test_a_full_disk_is_one_sentence_and_loses_nothing(budget, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("unshare") is None or small_disk(disk, 64, "mkdir", disk / "run").returncode:
        pytest.skip("this machine lets no test mount a small file system")
    shutil.rmtree(tmp_path / "copy")
    script = tmp_path / "run.py"
    script.write_text(RUN)
    found = small_disk(disk, 88, sys.executable, script, disk / "run", budget, 30)
    assert found.returncode == 1, found.stderr
    assert "the disk is full" in found.stderr and str(disk / "run" / "memory") in found.stderr
    assert "Traceback" not in found.stderr and len(found.stderr.splitlines()) == 1
    copy = tmp_path / "copy"
    at = int((copy / "checkpoint").read_text())
    assert 0 <= at < 29
    subprocess.run([sys.executable, script, tmp_path / "until", "0", str(at + 1)], check=True)
    assert held(copy, at) == held(tmp_path / "until", at)
    subprocess.run([sys.executable, script, copy, str(budget), "30"], check=True)
    subprocess.run([sys.executable, script, tmp_path / "whole", "0", "30"], check=True)
    assert held(copy, 29) == held(tmp_path / "whole", 29)
