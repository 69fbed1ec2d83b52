"""Partitions: exact margins, difficulty near the known figures, repair policies, hash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.data import KINDS, Dataset, Partition, Transform, make
from disue.data.repairs import cut_classes, move

Labels = Callable[..., Dataset]


def sound(partition: Partition, data: Dataset) -> None:
    """What every partition must be: disjoint, nobody empty, counts that agree with the rows."""
    seen = np.concatenate([partition.rows(i) for i in partition.ids.tolist()])
    assert np.unique(seen).size == seen.size
    assert (partition.lengths > 0).all()
    assert partition.stats.left_out == len(data.y_train) - seen.size
    counts = partition.counts(data.y_train)
    for j, client in enumerate(partition.ids.tolist()):
        expected = np.bincount(data.y_train[partition.rows(client)], minlength=data.classes)
        assert (counts[j] == expected[: counts.shape[1]]).all()


# Known means over 20 seeds (N = 100, n = 50,000) of top share and classes present, from an independent
# implementation; the allowance is four standard errors of the difference of two means over 20 seeds, from
# the deviation of one partition measured over 60 seeds.
FOUR_ERRORS = 4 * (2 / 20) ** 0.5
KNOWN = [
    (10, 0.01, 0.933, 1.57, 0.0118, 0.059),
    (10, 0.1, 0.677, 4.59, 0.0183, 0.150),
    (10, 0.5, 0.402, 8.59, 0.0106, 0.154),
    (100, 0.01, 0.597, 5.79, 0.0201, 0.192),
    (100, 0.1, 0.226, 28.9, 0.0077, 0.480),
]


@pytest.mark.parametrize(("classes", "alpha", "top", "present", "spread_top", "spread_present"), KNOWN)
def test_dirichlet_margins_and_difficulty(
    labels: Labels, classes: int, alpha: float, top: float, present: float, spread_top: float, spread_present: float
) -> None:
    data = labels(50_000, classes)
    found = [make(data, "dirichlet", streams=Streams(s), clients=100, alpha=alpha) for s in range(20)]
    for partition in found[:3]:
        sound(partition, data)
        counts = partition.counts(data.y_train)
        assert (counts.sum(1) == 500).all()
        assert (counts.sum(0) == 50_000 // classes).all()
    assert abs(np.mean([p.stats.mean_top_share for p in found]) - top) < FOUR_ERRORS * spread_top
    assert abs(np.mean([p.stats.mean_classes for p in found]) - present) < FOUR_ERRORS * spread_present
    assert max(p.stats.redrawn for p in found) <= 40


def test_interleave_is_an_easier_partition(labels: Labels) -> None:
    data = labels(50_000, 10)
    found = [make(data, "dirichlet", streams=Streams(s), alpha=0.01, repair="interleave") for s in range(8)]
    assert all((p.counts(data.y_train).sum(1) == 500).all() for p in found)
    assert all((p.counts(data.y_train).sum(0) == 5000).all() for p in found)
    assert abs(np.mean([p.stats.mean_top_share for p in found]) - 0.832) < 0.045
    assert abs(np.mean([p.stats.mean_classes for p in found]) - 3.97) < 0.6


SETS = {  # class sizes of the training sets
    "digits": [142, 145, 142, 146, 145, 145, 145, 143, 139, 145],
    "cifar10": [5000] * 10,
    "cifar100": [500] * 100,
    "svhn": [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659],
    "fashion_mnist": [6000] * 10,
    "har": [1226, 1073, 986, 1286, 1374, 1407],
    "shakespeare": [1 + 37 * c for c in range(80)],
}


@pytest.mark.parametrize("repair", ["redraw", "interleave"])
@pytest.mark.parametrize("name", SETS)
def test_dirichlet_at_the_extreme_ends_on_every_set(labels: Labels, name: str, repair: str) -> None:
    data = labels(0, len(SETS[name]), SETS[name])
    partition = make(data, "dirichlet", streams=Streams(1), clients=100, alpha=0.01, repair=repair)
    assert partition.stats.left_out == 0
    assert partition.stats.largest - partition.stats.smallest <= 1
    assert (partition.counts(data.y_train).sum(0) == SETS[name]).all()


@pytest.mark.parametrize("alpha", [1e-300, 1e-6, 1e6])
def test_dirichlet_where_priors_underflow(labels: Labels, alpha: float) -> None:
    data = labels(1_000, 10)
    sound(make(data, "dirichlet", streams=Streams(0), clients=20, alpha=alpha), data)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=7),
    clients=st.integers(1, 12),
    alpha=st.sampled_from([0.001, 0.1, 1.0, 50.0]),
    kind=st.sampled_from(
        ["dirichlet", "dirichlet/interleave", "iid", "shards", "class-dirichlet", "cluster-dirichlet"]
    ),
    seed=st.integers(0, 2**32),
)
def test_every_drawn_partition_is_sound(sizes: list[int], clients: int, alpha: float, kind: str, seed: int) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    x = np.zeros((len(y), 1), np.float32)
    data = Dataset("d", x, y, x[:1], y[:1], len(sizes), "vector")
    name, _, repair = kind.partition("/")
    arguments: dict[str, object] = {"alpha": alpha} if "dirichlet" in name else {}
    if repair:
        arguments["repair"] = repair
    if name == "class-dirichlet":
        arguments["min_size"] = 2
    if name == "cluster-dirichlet":
        arguments["groups"] = 1 + clients // 3
    needed = clients * {"shards": 2, "class-dirichlet": 2}.get(name, 1)
    if needed > len(y):
        with pytest.raises(UserError) as caught:
            make(data, name, streams=Streams(seed), clients=clients, **arguments)
        assert caught.value.found == clients
        return
    partition = make(data, name, streams=Streams(seed), clients=clients, **arguments)
    sound(partition, data)
    assert len(partition.ids) == clients
    again = make(data, name, streams=Streams(seed), clients=clients, **arguments)
    assert again.hash == partition.hash


def test_move_by_hand() -> None:
    # sizes 12, 0, 1, mean 13/3. Client 1 is needier: empty, so it takes the largest client's commonest class, 0.
    # Client 2 takes its own class 1, of which the largest client has two.
    counts = np.array([[10, 2], [0, 0], [0, 1]])
    after, moves = move(counts, 3)
    assert after.tolist() == [[7, 0], [3, 0], [0, 3]]
    assert moves == 5


def test_class_dirichlet_repairs(labels: Labels) -> None:
    data = labels(50_000, 10)
    bare = cut_classes(np.random.default_rng(0), np.full(10, 5000), 100, 0.01)
    assert (bare.sum(0) == 5000).all()
    assert 20 < (bare.sum(1) == 0).sum() < 56  # 38 % in the mean

    moved = make(data, "class-dirichlet", streams=Streams(0), alpha=0.01)
    sound(moved, data)
    assert moved.stats.smallest == 10
    assert moved.stats.left_out == 0
    assert 0 < moved.stats.moved <= 1000

    dropped = make(data, "class-dirichlet", streams=Streams(0), alpha=0.01, repair="drop")
    sound(dropped, data)
    assert dropped.stats.dropped + len(dropped.ids) == 100
    assert dropped.stats.dropped > 20
    assert dropped.ids.tolist() == list(range(len(dropped.ids)))

    with pytest.raises(UserError, match="after 100 draws") as caught:
        make(data, "class-dirichlet", streams=Streams(0), alpha=0.01, repair="resample")
    assert caught.value.key == "partition.repair"
    easy = make(data, "class-dirichlet", streams=Streams(0), alpha=0.5, repair="resample")
    assert easy.stats.moved == 0
    assert easy.stats.smallest >= 10


def test_shards_leave_out_the_last_few(labels: Labels) -> None:
    data = labels(103, 5)
    partition = make(data, "shards", streams=Streams(0), clients=10, shards=2)
    sound(partition, data)
    assert partition.stats.left_out == 3
    assert (partition.lengths == 10).all()
    assert partition.stats.mean_classes <= 4


def test_natural_keeps_the_ids_and_drops_small_clients() -> None:
    x = np.zeros((7, 1), np.float32)
    y = np.array([0, 1, 0, 1, 0, 1, 0])
    owner = np.array([30, -4, 30, 7, 30, -4, 7])
    data = Dataset("own", x, y, x, y, 2, "vector", client_train=owner, client_test=owner)
    partition = make(data, "natural", streams=Streams(0))
    assert partition.ids.tolist() == [-4, 7, 30]
    assert partition.rows(30).tolist() == [0, 2, 4]
    fewer = make(data, "natural", streams=Streams(0), min_size=3)
    assert fewer.ids.tolist() == [30]
    assert (fewer.stats.dropped, fewer.stats.left_out) == (2, 4)


def test_planted_groups(images: Dataset, labels: Labels) -> None:
    for groups in (2, 4):
        turned = make(images, "rotated", streams=Streams(3), clients=10, groups=groups)
        assert turned.truth is not None
        assert np.ptp(np.bincount(turned.truth, minlength=groups)) <= 1
        assert {turned.transform(i).turns for i in range(10)} == {0, 2} if groups == 2 else {0, 1, 2, 3}
        assert all(turned.transform(i).turns == turned.truth[i] * (4 // groups) for i in range(10))
        sound(turned, images)

    copied = make(images, "rotated", streams=Streams(3), clients=9, groups=2, copies=True)
    assert copied.truth is not None
    for g in (0, 1):
        rows = np.concatenate([copied.rows(i) for i in np.flatnonzero(copied.truth == g).tolist()])
        assert sorted(rows.tolist()) == list(range(len(images.y_train)))

    data = labels(600, 10)
    named = make(data, "permuted-labels", streams=Streams(3), clients=9, groups=3)
    assert named.label_maps is not None and named.truth is not None
    assert named.transform(int(np.flatnonzero(named.truth == 0)[0])) == Transform()
    maps = [named.label_maps[np.flatnonzero(named.truth == g)[0]] for g in range(3)]
    assert maps[1].tolist() == [3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert all((maps[a] != maps[b]).all() for a, b in ((0, 1), (0, 2), (1, 2)))

    apart = make(data, "disjoint-labels", streams=Streams(3), clients=9, groups=3)
    assert apart.truth is not None
    runs = [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    for client in range(9):
        assert set(data.y_train[apart.rows(client)].tolist()) <= set(runs[apart.truth[client]])
    sound(apart, data)


def test_cluster_dirichlet_members_are_alike(labels: Labels) -> None:
    data = labels(20_000, 10)
    partition = make(data, "cluster-dirichlet", streams=Streams(0), clients=20, groups=4, alpha=0.1)
    assert partition.truth is not None
    assert (partition.lengths == 1000).all()
    shares = partition.counts(data.y_train) / 1000
    within = [
        np.abs(shares[i] - shares[j]).sum()
        for i in range(20)
        for j in range(i)
        if partition.truth[i] == partition.truth[j]
    ]
    between = [
        np.abs(shares[i] - shares[j]).sum()
        for i in range(20)
        for j in range(i)
        if partition.truth[i] != partition.truth[j]
    ]
    assert max(within) < min(between)


PROGRAM = """
import json, numpy as np
from disue.core.streams import Streams
from disue.data import Dataset, make
y = np.arange(900) % 9
x = np.zeros((900, 1, 2, 2), np.uint8)
sources = np.arange(900) // 450
data = Dataset("d", x, y, x, y, 9, "image", client_train=y * 7, source_train=sources, source_test=sources)
kinds = ["dirichlet", "class-dirichlet", "iid", "shards", "natural", "rotated", "permuted-labels",
         "disjoint-labels", "cluster-dirichlet", "mixed"]
found = {k: make(data, k, streams=Streams(4), **({} if k == "natural" else {"clients": 12})).hash for k in kinds}
print(json.dumps(found))
"""


def test_hash_is_the_same_in_fresh_processes() -> None:
    found = []
    for seed in ("1", "2"):
        path = os.pathsep.join(p for p in sys.path if p)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert set(found[0]) == set(KINDS)


BAD: list[tuple[str, dict[str, object], str]] = [
    ("dirichlet", {"clients": 61}, "partition.clients"),
    ("dirichlet", {"clients": 0}, "partition.clients"),
    ("dirichlet", {"clients": 2.5}, "partition.clients"),
    ("dirichlet", {"alpha": 0}, "partition.alpha"),
    ("dirichlet", {"alpha": -1.0}, "partition.alpha"),
    ("dirichlet", {"alpha": float("nan")}, "partition.alpha"),
    ("dirichlet", {"alpha": "0.1"}, "partition.alpha"),
    ("dirichlet", {"repair": "redrow"}, "partition.repair"),
    ("dirichlet", {"alhpa": 1}, "partition (dirichlet)"),
    ("dirichlat", {}, "partition.kind"),
    ("class-dirichlet", {"min_size": 20}, "partition.clients"),
    ("class-dirichlet", {"min_size": 1000, "repair": "drop"}, "partition.min_size"),
    ("class-dirichlet", {"repair": "redraw"}, "partition.repair"),
    ("shards", {"shards": 13}, "partition.clients"),
    ("natural", {}, "partition.kind"),
    ("natural", {"clients": 5}, "partition.clients"),
    ("rotated", {}, "partition.kind"),
    ("rotated", {"groups": 3}, "partition.groups"),
    ("permuted-labels", {"groups": 4}, "partition.groups"),
    ("permuted-labels", {"groups": 0}, "partition.groups"),
    ("disjoint-labels", {"groups": 4}, "partition.groups"),
    ("cluster-dirichlet", {"groups": 9}, "partition.groups"),
]


@pytest.mark.parametrize(("kind", "arguments", "key"), BAD)
def test_bad_arguments_are_one_sentence(labels: Labels, kind: str, arguments: dict[str, object], key: str) -> None:
    data = labels(60, 3)
    clients = {} if kind == "natural" or "clients" in arguments else {"clients": 5}
    with pytest.raises(UserError) as caught:
        make(data, kind, streams=Streams(0), **{**clients, **arguments})  # type: ignore[arg-type]
    assert caught.value.key == key
    assert "\n" not in str(caught.value)
