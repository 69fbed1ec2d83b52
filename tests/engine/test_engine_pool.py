"""Workers: the same bits whatever their number, and what happens when one of them dies."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from engine_bed import EVERY, IDS, Phased, Step, bed
from test_engine_backends import PARTS

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.engine.pool.arena import Arena, pack, unpack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")
SIZES = {4001: 7, 17: 23, 902: 12, 5: 30, 77: 3}


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds=10):
    until = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("backend", ["lean", "stacked"])
@pytest.mark.parametrize("part", ["rich", "two vectors"])
def test_one_two_and_three_workers_give_the_same_bits(backend, part):
    b = bed("tiny", sizes=SIZES)
    found = []
    for workers in (1, 2, 3):
        with b.engine(backend, workers=workers, block=2 if backend == "stacked" else 0) as engine:
            rounds = [engine.answer(b.world(), b.orders(PARTS[part], tuple(SIZES), round=r)) for r in (3, 4)]
            memory = {i: dict(engine.memory.get(i)) for i in SIZES}
            found.append((rounds, memory))
    for rounds, memory in found[1:]:
        for mine, first in zip(rounds, found[0][0], strict=True):
            assert mine.ids.tolist() == sorted(SIZES)
            assert all(np.array_equal(mine.ends[i], first.ends[i]) for i in SIZES)
            assert mine.losses == first.losses and mine.steps == first.steps
        for i in SIZES:
            for name, value in memory[i].items():
                assert np.array_equal(value, found[0][1][i][name])


@pytest.mark.parametrize("per_class", [False, True])
def test_what_clients_choose_and_measure_has_the_same_bits(per_class):
    b = bed("tiny", sizes=SIZES)
    starts = np.stack([b.start, b.start * np.float32(0.5), b.start + np.float32(0.01)])
    which, ids = np.tile(np.arange(3), (len(SIZES), 1)), tuple(sorted(SIZES))
    found = []
    for workers in (1, 2):
        with b.engine("lean", workers=workers) as engine:
            for round in (3, 4):  # the workers are there from the first training on
                report = replace(EVERY, choice="shares")
                orders = b.orders(PARTS["plain"], ids, starts=starts, which=which, round=round, report=report)
                uploads = engine.answer(b.world(), orders)
            groups = Groups.make({4001: 2, 17: 0, 902: 2, 5: 0})  # 77 is in none
            moments = uploads.moments(groups, under=None, against=b.start, per_class=per_class)
            found.append((uploads.choice(), moments))
    (choice, mine), (other, theirs) = found
    assert np.array_equal(choice, other) and 0 < choice.max() <= 1
    for name in ("counts", "sums", "second", "cross_xx", "cross_xy"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
    assert mine.counts.sum() == sum(SIZES.values()) - SIZES[77]


def deaths(folder, times):
    """A folder with a file for each death that is still to come: of two workers only one can take a file away."""
    folder.mkdir(exist_ok=True)
    for number in range(times):
        (folder / str(number)).touch()
    return str(folder)


def die(folder, spare):
    """Kills this process, unless it is `spare`, as often as there are files."""
    for name in os.listdir(folder) if os.getpid() != spare else ():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Fatal:
    """A chore that kills its process a number of times."""

    marker: str
    spare: int
    doing = "measuring"
    ids = (902,)

    def do(self, here):
        die(self.marker, self.spare)
        return 42


def test_a_worker_that_dies_measuring_costs_its_chore_once(tmp_path):
    b = bed("mlp")
    with b.engine("lean", workers=2) as engine:
        engine.answer(b.world(), b.orders(PARTS["plain"]))
        chore = Fatal(deaths(tmp_path / "left", 1), os.getpid())
        harmless = Fatal(deaths(tmp_path / "none", 0), os.getpid())
        assert list(engine.staff.each([chore, harmless], b.network, 3)) == [42, 42]
        (note,) = engine.staff.pool.notes
        assert "measuring client 902" in note and "run again" in note
        deaths(tmp_path / "left", 99)
        with pytest.raises(UserError, match="measuring client 902 in round 3 ended 2 times"):
            list(engine.staff.each([chore, harmless], b.network, 3))


def test_closing_leaves_no_process():
    b = bed("mlp")
    engine = b.engine("lean", workers=2)
    engine.answer(b.world(), b.orders(PARTS["plain"]))
    pids = [engine.staff.pool._nursery.pid, *engine.staff.pool.pids]
    assert len(pids) == 3 and all(alive(pid) for pid in pids)
    engine.close()
    assert gone(pids)


@dataclass(frozen=True)
class Deadly(Step):
    """Kills its own worker in the middle of a block, as often as the file says."""

    marker: str = ""
    spare: int = 0

    def loss(self, forward, batch, context):
        die(self.marker, self.spare)
        return super().loss(forward, batch, context)


def deadly(tmp_path, times):
    return Phased((Deadly(marker=deaths(tmp_path / "left", times), spare=os.getpid()),))


def test_a_killed_worker_costs_its_task_once(tmp_path):
    b = bed("mlp")
    plain = b.train(Phased((Step(),)), "lean")
    with b.engine("lean", workers=2) as engine:
        uploads = engine.answer(b.world(), b.orders(deadly(tmp_path, 1)))
        assert all(np.array_equal(uploads.ends[i], plain.ends[i]) for i in IDS)
        (note,) = uploads.notes
        assert "SIGKILL" in note and "run again" in note and any(str(i) in note for i in IDS)
        again = engine.answer(b.world(), b.orders(Phased((Step(),))))
        assert again.notes == () and all(np.array_equal(again.ends[i], plain.ends[i]) for i in IDS)


def test_a_task_that_kills_twice_is_reported_with_its_client(tmp_path):
    b = bed("mlp")
    with b.engine("lean", workers=2) as engine:
        engine.answer(b.world(), b.orders(Phased((Step(),))))
        pids = [engine.staff.pool._nursery.pid, *engine.staff.pool.pids]
        with pytest.raises(UserError) as caught:
            engine.answer(b.world(), b.orders(deadly(tmp_path, 99), ids=(17,)))
        assert "client 17" in str(caught.value) and "SIGKILL" in str(caught.value)
        assert gone(pids)
        uploads = engine.answer(b.world(), b.orders(Phased((Step(),))))  # a fresh pool
        assert uploads.ids.tolist() == [17, 902, 4001]


@dataclass(frozen=True)
class Hungry(Step):
    """Asks for more memory than the machine has."""

    spare: int = 0

    def loss(self, forward, batch, context):
        import torch

        if os.getpid() != self.spare:
            torch.empty(2**45, dtype=torch.uint8).fill_(1)
        return super().loss(forward, batch, context)


def test_a_worker_without_memory_is_reported_with_its_client():
    b = bed("mlp")
    with b.engine("lean", workers=2) as engine, pytest.raises(UserError) as caught:
        engine.answer(b.world(), b.orders(Phased((Hungry(spare=os.getpid()),)), ids=(902,)))
    assert "client 902" in str(caught.value) and "2 times" in str(caught.value)


@dataclass(frozen=True)
class Wrong(Step):
    def loss(self, forward, batch, context):
        raise ZeroDivisionError("the part's own mistake")


def test_a_mistake_in_a_part_comes_back_with_its_traceback():
    b = bed("mlp")
    with b.engine("lean", workers=2) as engine:
        with pytest.raises(RuntimeError, match="the part's own mistake") as caught:
            engine.answer(b.world(), b.orders(Phased((Wrong(),))))
        assert "in loss" in str(caught.value)


def test_what_cannot_be_sent_is_one_sentence():
    @dataclass(frozen=True)
    class Here(Step):
        pass

    b = bed("mlp")
    with b.engine("lean", workers=2) as engine, pytest.raises(UserError) as caught:
        engine.answer(b.world(), b.orders(Phased((Here(),))))
    assert caught.value.key == "engine.workers" and "can be imported" in str(caught.value)


MAIN = """
import sys, time
sys.path.insert(0, "tests/engine")
from engine_bed import Erm, bed
b = bed("mlp")
engine = b.engine("lean", workers=2)
engine.answer(b.world(), b.orders(Erm(epochs=1)))
print(engine.staff.pool._nursery.pid, *engine.staff.pool.pids, flush=True)
try:
    engine.answer(b.world(), b.orders(Erm(epochs=10**7)))
finally:
    engine.close()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_orphan_whatever_ends_the_main_process(number):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(MAIN)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as main:
        pids = [int(word) for word in main.stdout.readline().split()]
        assert len(pids) == 3
        time.sleep(0.5)  # in the middle of a task
        assert all(alive(pid) for pid in pids)
        main.send_signal(number)
        main.wait(timeout=20)
    assert gone(pids)


def test_large_arrays_go_through_the_arena_once_and_are_read_only():
    arena = Arena("data")
    big, small = np.arange(5000.0), np.arange(3)
    blob = pack({"a": big, "b": big, "c": small}, arena)
    assert len(blob) < 1000 and arena._used == 40_000
    other = Arena("data", arena.path)
    found = unpack(blob, {"data": other})
    assert np.array_equal(found["a"], big) and np.array_equal(found["c"], small)
    with pytest.raises(ValueError):
        found["a"][0] = 1
    arena.put(np.zeros(10**6))  # grows: what lies there stays
    late = arena.put(np.ones(7000, np.float32))
    assert np.array_equal(found["b"], big) and other.view(late).sum() == 7000
    arena.close()
    other.close()
