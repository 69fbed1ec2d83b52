"""Leases on one run: one holder at a time, whatever is killed, stopped or late."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from disue.runs.spec import Spec
from disue.study import leases
from disue.study.leases import DONE, FOLDER, HELD, LEFT, LOST, Holder, Lease, Lost
from disue.study.plan import Job
from disue.study.watch import Watch, name_of

JOB = Job("all", "FedAvg", 0, Spec())
RUN = name_of(JOB)
LONG, TIMES = 1000.0, 150


def others(out: Path) -> Watch:
    """What a process sees that has nothing in hand."""
    watch = Watch([JOB], out)
    watch.look()
    return watch


def state(out: Path, number: int) -> Holder:
    return Holder.read((out / FOLDER / f"{RUN}.{number}").read_text(), LONG)


def test_a_run_is_taken_once_and_again_after_it_was_left(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    assert others(tmp_path).next() == (JOB, 0)
    first = Lease.take(folder, RUN, 0, LONG)
    assert first is not None and Lease.take(folder, RUN, 0, LONG) is None
    first.check()
    first.tell(3, 0.5)
    watch = others(tmp_path)
    assert watch.next() is None
    ((job, holder),) = watch.others()
    assert job == JOB and holder.pid == os.getpid() and not holder.gone and holder.state == HELD
    first.release()
    watch.look()
    assert watch.next() == (JOB, 1) and watch.others() == []
    assert (state(tmp_path, 1).state, state(tmp_path, 1).round) == (LEFT, 3)
    assert Lease.take(folder, RUN, 0, LONG) is None  # an old view of the folder takes nothing
    second = Lease.take(folder, RUN, 1, LONG)
    assert second is not None
    second.release(DONE)
    assert state(tmp_path, 2).state == DONE
    assert others(tmp_path).next() == (JOB, 2)  # its folder is gone: it is made again


def test_a_lease_runs_out_by_the_watchers_own_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what a file's time is nor how long a watcher did not look counts: the text was the same for that long."""
    holder = Holder("node-17", 1, "another kernel", "7", expires=10.0)
    (tmp_path / FOLDER).mkdir()
    file = tmp_path / FOLDER / f"{RUN}.1"

    def renewed(count: int) -> None:
        file.write_text(json.dumps(asdict(replace(holder, count=count))))
        os.utime(file, (0, 0))

    now = [100.0]
    monkeypatch.setattr("disue.study.watch.time.monotonic", lambda: now[0])
    renewed(1)
    watch = others(tmp_path)
    now[0] = 500.0
    assert watch.next() is None  # not looked since
    renewed(2)
    watch.look()
    assert watch.next() is None and [holder.host for _, holder in watch.others()] == ["node-17"]
    for at, free in ((509.0, False), (510.0, False), (510.5, True)):
        now[0] = at
        watch.look()
        assert (watch.next() == (JOB, 1)) is free, at


def test_a_file_without_words_is_waited_for_like_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its maker was killed before he wrote, or has not written yet."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / f"{RUN}.1").touch()
    now = [0.0]
    monkeypatch.setattr("disue.study.watch.time.monotonic", lambda: now[0])
    watch = Watch([JOB], tmp_path, 5.0)
    watch.look()
    assert watch.next() is None
    now[0] = 5.1
    watch.look()
    assert watch.next() == (JOB, 1)


HOLD = f"""
import sys, time
from pathlib import Path
from disue.study.leases import Lease
lease = Lease.take(Path(sys.argv[1]), {RUN!r}, 0, float(sys.argv[2]))
print("held", flush=True)
sys.stdin.readline()
try:
    lease.check()
    print("mine", flush=True)
except Exception as error:
    print(type(error).__name__, flush=True)
lease.release()
"""


def holding(folder: Path, expires: float) -> subprocess.Popen[str]:
    """A process of its own that has the run."""
    words = [sys.executable, "-c", HOLD, str(folder), str(expires)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.mark.skipif(not leases.kernel(), reason="processes of this machine are not seen here")
def test_a_process_that_is_killed_on_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    process = holding(tmp_path / FOLDER, LONG)
    watch = others(tmp_path)
    assert watch.next() is None
    process.kill()
    while watch.next() is None:  # its parent has not taken note of it: a zombie is gone as well
        time.sleep(0.01)
    assert watch.next() == (JOB, 1)
    process.communicate()
    assert others(tmp_path).next() == (JOB, 1)
    alive = Holder.here(LONG)
    assert not alive.gone
    assert replace(alive, born="1").gone  # its number went to another process
    assert not replace(alive, pid=process.pid, kernel="of a container").gone  # there, numbers mean something else


def test_a_holder_that_was_stopped_for_too_long_notices(tmp_path: Path) -> None:
    process = holding(tmp_path / FOLDER, 0.5)
    watch = others(tmp_path)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:  # it is renewed in time
        watch.look()
        assert watch.next() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    while watch.next() is None:
        watch.look()
        time.sleep(0.02)
    ((_, after),) = [found for found in [watch.next()] if found is not None]
    mine = Lease.take(tmp_path / FOLDER, RUN, after, LONG)
    assert mine is not None
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate("go\n")
    assert said == "Lost\n"
    mine.check()
    mine.release(DONE)
    assert [state(tmp_path, number).state for number in (after, after + 1)] == [LOST, DONE]


def test_a_holder_that_was_late_proves_by_the_next_lease_that_the_run_is_his(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No renewal can be written; nobody else wants the run. A watcher's view from before takes nothing then."""
    now = [0.0]
    monkeypatch.setattr(leases, "clock", lambda: now[0])
    lease = Lease.take(tmp_path / FOLDER, RUN, 0, LONG)
    assert lease is not None
    now[0] = LONG - 1
    lease.check()
    assert lease.name == f"{RUN}.1"
    now[0] = LONG
    lease.check()
    assert lease.name == f"{RUN}.2"
    assert [state(tmp_path, number).state for number in (1, 2)] == [LEFT, HELD]
    assert Lease.take(tmp_path / FOLDER, RUN, 1, LONG) is None
    now[0] = 2 * LONG
    other = Lease.take(tmp_path / FOLDER, RUN, 2, LONG)
    assert other is not None
    for _ in range(2):  # once lost, lost for good
        with pytest.raises(Lost, match="another one has taken the run over"):
            lease.check()
    lease.release(DONE)
    other.release()
    assert [state(tmp_path, number).state for number in (2, 3)] == [LOST, LEFT]


def hammer(out: Path, seed: int, log: Path) -> None:
    """Takes the run whenever it seems free, and else by a view of the folder that is old.

    In hand, it puts down a mark that only one may put down, and takes it away.
    """
    watch, mark, last = Watch([JOB], out), out / "mark", 0
    while last < TIMES:
        watch.look()
        found = watch.next()
        after = last - 1 if found is None else found[1]
        lease = Lease.take(out / FOLDER, RUN, max(after, 0), LONG)
        last = max(last, after)
        if lease is None:
            continue
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            time.sleep(0.0005)
            lease.check()
            mark.unlink()
            said = lease.name
        except (OSError, Lost) as error:
            said = f"two at a time: {error}"
        with log.open("a") as file:
            file.write(f"{seed} {said}\n")
        lease.release()


def test_many_processes_on_one_run_never_have_it_at_the_same_time(tmp_path: Path) -> None:
    """Old views of the folder are asked for on purpose: each is refused."""
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    crowd = [context.Process(target=hammer, args=(tmp_path, seed, log)) for seed in range(4)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join()
        assert process.exitcode == 0
    lines = log.read_text().splitlines()
    made = {path.name for path in (tmp_path / FOLDER).iterdir()}
    assert len(made) >= TIMES and sorted(line.split(maxsplit=1)[1] for line in lines) == sorted(made)
    assert len({line.split()[0] for line in lines}) > 1  # they did come between one another


def test_of_many_that_take_over_one_has_it(tmp_path: Path) -> None:
    """All have seen the same lease run out."""
    held: list[Lease] = []
    for number in range(40):
        ready = threading.Barrier(6)

        def take(number: int = number, ready: threading.Barrier = ready) -> None:
            ready.wait()
            lease = Lease.take(tmp_path / FOLDER, RUN, number, LONG)
            if lease is not None:
                held.append(lease)

        crowd = [threading.Thread(target=take) for _ in range(6)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        assert [lease.name for lease in held] == [f"{RUN}.{n + 1}" for n in range(number + 1)]
    *before, last = held
    last.check()
    for lease in before:
        assert lease.lost
    for lease in held:
        lease.release()
