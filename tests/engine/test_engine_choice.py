"""The choice of a backend: by rule, by measurement, as remembered; and what it does not depend on."""

import json
import os

import platformdirs
import pytest
from engine_bed import Erm, bed

from disue.engine import choice, recall
from disue.engine.crew import Choice, Here
from disue.engine.interface import Work
from disue.engine.registry import make
from disue.engine.shelf import Shelf

MANY = {3 * at + 5: 4 + at % 7 for at in range(12)}  # clients of sizes 4 … 10


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the user's; compiled code is not offered, as where there is no compiler."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    offered = choice._offered
    monkeypatch.setattr(choice, "_offered", lambda *a, **k: [c for c in offered(*a, **k) if c.backend != "native"])
    return tmp_path / "cache"


def chosen(costs=None, *, sizes=MANY, rounds=3, monkeypatch=None, model="tiny", local=Erm()):
    """What is chosen for a cohort; `costs`, seconds per sample by backend, stand for the measurement."""
    b, asked = bed(model, sizes=sizes), []
    if monkeypatch is not None:
        monkeypatch.setattr(choice, "WORTH", 0.0)

        def cost(here, work, brief, contexts, one):
            asked.append(one.backend)
            return costs[one.backend]

        monkeypatch.setattr(choice, "_cost", cost)
    world = b.world()
    work = Work(world.network, world.streams, "train", 3)
    here = Here(Shelf(b.held, work.dtype, "cpu", 2**20))
    offered = {one.backend for one in choice._offered(here, work, local, len(sizes), compiled=False)}
    found = choice.choose(here, work, local, dict.fromkeys(sizes), sizes, rounds)
    assert set(asked) <= offered
    return found, asked


COSTS = {"lean": 4e-5, "lean-plain": 5e-5, "stacked": 1e-5}


def test_a_short_run_takes_the_rule_and_measures_nothing(cache):
    found, _ = chosen()
    assert (found.backend, found.block, found.why) == ("stacked", 10, "by rule")
    few, _ = chosen(sizes={5: 7, 17: 9})
    assert (few.backend, few.why) == ("lean", "by rule")
    assert not cache.exists()


def test_the_least_cost_is_taken_and_lean_where_nothing_is_clearly_less(monkeypatch):
    found, asked = chosen(COSTS, monkeypatch=monkeypatch)
    assert (found.backend, found.why) == ("stacked", "measured")
    assert found.costs["stacked"] == pytest.approx(10.0)  # µs
    assert asked.count("lean-plain") == 2 < asked.count("stacked")  # 1.5 times the best: it drops out
    near = {"lean": 1.02e-5, "lean-plain": 2e-5, "stacked": 1e-5}
    found, _ = chosen(near, monkeypatch=monkeypatch, local=Erm(lr=0.3))
    assert found.backend == "lean"


def test_a_second_run_of_the_same_work_takes_what_was_measured(cache, monkeypatch):
    first, _ = chosen(COSTS, monkeypatch=monkeypatch)
    other = {"lean": 1e-6, "lean-plain": 1.0, "stacked": 1.0}
    again, asked = chosen(other, monkeypatch=monkeypatch)
    assert (again.backend, again.block, again.why, asked) == (first.backend, first.block, "measured before", [])
    third, asked = chosen(other, monkeypatch=monkeypatch, local=Erm(batch=7))  # other work
    assert third.backend == "lean" and asked
    for file in cache.rglob("*.json"):
        file.unlink()
    assert chosen(other, monkeypatch=monkeypatch)[0].backend == "lean"


def test_who_writes_first_wins_and_a_broken_file_is_as_none(cache):
    one, two = Choice("lean", 0, "measured", {"lean": 3.0}), Choice("stacked", 25, "measured", {"stacked": 2.0})
    assert recall.remembered("k") is None
    assert recall.remember("k", one) == one and recall.remember("k", two) == one
    (file,) = cache.rglob("k.json")
    assert recall.from_table(json.loads(file.read_text())) == one
    assert len(list(file.parent.iterdir())) == 1
    file.write_text('{"backend": ')
    assert recall.remembered("k") is None and recall.remember("k", two) == two


def test_a_cache_that_cannot_be_written_changes_nothing(cache, monkeypatch):
    cache.write_text("a file where the folder should be")
    found, _ = chosen(COSTS, monkeypatch=monkeypatch)
    assert (found.backend, found.why) == ("stacked", "measured")


def test_a_remembered_backend_that_is_not_here_is_measured_again_and_kept_for_others(cache, monkeypatch):
    chosen(COSTS, monkeypatch=monkeypatch)
    (file,) = cache.rglob("*.json")
    file.write_text(json.dumps({"backend": "gone", "block": 0, "why": "measured", "costs": {}}))
    found, asked = chosen(COSTS, monkeypatch=monkeypatch)
    assert found.backend == "stacked" and asked
    assert json.loads(file.read_text())["backend"] == "gone"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such call here")
def test_workers_are_as_many_as_cores_for_a_long_run_on_the_cpu_only(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert choice.workers_for(choice.POOLED, "cpu") == 3
    assert choice.workers_for(choice.POOLED - 1, "cpu") == choice.workers_for(1e9, "cuda") == 1


@pytest.mark.parametrize("backend", ["lean", "stacked"])
@pytest.mark.parametrize("block", [0, 1, 5, 50])
def test_blocks_are_cut_from_the_cohort_alone(backend, block):
    local, cut = Erm(), make(backend, block).cut
    blocks = cut(local, MANY)
    assert sorted(i for ids in blocks for i in ids) == sorted(MANY)
    backwards = dict(sorted(MANY.items(), reverse=True))
    assert cut(local, backwards) == blocks
    if backend == "stacked":
        sizes = [MANY[i] for ids in blocks for i in ids]
        assert sizes == sorted(sizes, reverse=True)  # the longest first
        assert all(len(ids) <= block for ids in blocks if block)


@pytest.mark.parametrize("backend", ["lean", "stacked"])
def test_the_same_blocks_are_trained_whatever_the_number_of_workers(backend, monkeypatch):
    from disue.engine.pool import Pool

    class Seen(Exception):
        pass

    def train(self, work, local, contexts, blocks, choice):
        raise Seen(blocks)

    monkeypatch.setattr(Pool, "train", train)
    b, found = bed("mlp", sizes=MANY), []
    for workers in (2, 3):
        with b.engine(backend, workers=workers, block=5 if backend == "stacked" else 0) as engine:
            with pytest.raises(Seen) as caught:
                engine.answer(b.world(), b.orders(Erm(), tuple(MANY)))
            found.append(caught.value.args[0])
    alone = make(backend, 5 if backend == "stacked" else 0).cut(Erm(), MANY)
    assert found == [alone, alone]
