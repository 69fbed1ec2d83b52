"""Two sets in one federation: shapes, labels, who holds what, and on what a client is tested."""

from __future__ import annotations

import numpy as np
import pytest

import disue
from disue import data
from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.data.dataset import Dataset
from disue.data.mixing import mix, shaped


def images(name: str, channels: int, side: int, classes: int, n: int = 60) -> Dataset:
    rng = np.random.default_rng(side)
    x = rng.integers(1, 256, (n, channels, side, side)).astype(np.uint8)
    y = np.arange(n) % classes
    return Dataset(name, x, y, x[:30], y[:30], classes, "image")


def test_shapes_by_whole_factors_and_a_black_frame() -> None:
    x = np.arange(1, 5, dtype=np.uint8).reshape(1, 1, 2, 2)
    out = shaped(x, 3, 5)
    assert out.shape == (1, 3, 5, 5)
    # twice enlarged to 4 × 4; one row and column of black behind, none before
    assert out[0, 2].tolist() == [[1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [3, 3, 4, 4, 0], [3, 3, 4, 4, 0], [0] * 5]
    assert shaped(x, 1, 2) is not x and (shaped(x, 1, 2) == x).all()


def test_labels_follow_or_are_shared() -> None:
    a, b = images("a", 1, 8, 3), images("b", 3, 32, 5)
    apart, shared = mix(a, b), mix(a, b, share_labels=True)
    assert (apart.classes, shared.classes, apart.shape, apart.name) == (8, 5, (3, 32, 32), "a+b")
    assert apart.y_train.tolist() == [*a.y_train.tolist(), *(b.y_train + 3).tolist()]
    assert shared.y_test.tolist() == [*a.y_test.tolist(), *b.y_test.tolist()]
    assert apart.labels[3] == "b 0" and shared.labels[0] == "0/0" and shared.labels[4] == "–/4"
    assert apart.source_train is not None and apart.source_train.tolist() == [0] * 60 + [1] * 60


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_clients_hold_and_are_tested_on_one_set(alpha: float | None) -> None:
    both = mix(images("a", 1, 8, 3), images("b", 3, 32, 5))
    partition = data.make(both, "mixed", streams=Streams(1), clients=6, alpha=alpha)
    federation = data.Federation(both, partition, Streams(1))
    assert sorted(np.concatenate([partition.rows(int(i)) for i in partition.ids]).tolist()) == list(range(120))
    for client in partition.ids.tolist():
        source = federation.truth(client)
        assert both.source_train is not None
        assert set(both.source_train[partition.rows(client)].tolist()) == {source}
        x, y = federation.pool(federation.transform_key(client))
        assert x.shape == (30, 3, 32, 32) and (y >= 3).all() == (source == 1)
    assert federation.pool()[1].size == 60  # the plain pool is of both


def test_a_saved_partition_keeps_its_sources(tmp_path) -> None:
    both = mix(images("a", 1, 8, 3), images("b", 3, 32, 5))
    partition = data.make(both, "mixed", streams=Streams(1), clients=6)
    partition.save(tmp_path / "p.npz")
    again = data.Partition.load(tmp_path / "p.npz")
    assert [again.transform(int(i)) for i in again.ids] == [partition.transform(int(i)) for i in partition.ids]


def test_a_run_on_two_sets_finds_them() -> None:
    """The digits beside themselves under other names: half of the clients never see the names of the other half."""
    spec = {
        "rounds": 8,
        "data": {"name": "digits", "mix": "digits"},
        "partition": {"kind": "mixed", "clients": 8},
        "cohort": {"share": 1.0},
        "local": {"epochs": 1, "batch": 10, "lr": 0.1},
        "method": {"name": "clustered", "k": 2},
        "evaluate": {"every": 8},
    }
    found = disue.run(spec)["metrics"]
    assert found["ari"]["final"] == 1.0 and found["group_local"]["final"] > 60


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"data": {"mix": "digit"}}, "data.mix"),
        ({"data": {"share_labels": True}}, "data.share_labels"),
        ({"partition": {"kind": "mixed"}}, "partition.kind"),
    ],
)
def test_refusals(tables: dict, key: str) -> None:
    with pytest.raises(UserError) as caught:
        disue.run({"rounds": 1, **tables})
    assert caught.value.key == key


def test_sets_that_do_not_mix_are_named() -> None:
    vectors = Dataset(
        "v", np.zeros((4, 3), np.float32), np.arange(4) % 2, np.zeros((2, 3), np.float32), np.arange(2), 2, "vector"
    )
    with pytest.raises(UserError, match="v is vector float32 of shape"):
        mix(images("a", 1, 8, 3), vectors)
