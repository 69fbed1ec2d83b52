"""Federations: what is held out and from whom, transforms, pools."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.data import Dataset, Federation, Transform, make
from disue.data.federation import stratified
from disue.data.partition import assemble

Labels = Callable[..., Dataset]


def test_plain_federation_gives_the_partition(images: Dataset) -> None:
    partition = make(images, "dirichlet", streams=Streams(0), clients=6)
    federation = Federation(images, partition, Streams(0))
    assert federation.ids.tolist() == list(range(6))
    assert federation.sizes.tolist() == [20] * 6
    x, y = federation.train(4)
    assert (x.dtype, x.shape, y.dtype) == (np.float32, (20, 2, 6, 6), np.int64)
    assert (x == images.inputs(images.x_train[partition.rows(4)])).all()
    assert (federation.label_counts(4) == partition.counts(images.y_train)[4]).all()
    pool_x, pool_y = federation.pool()
    assert (pool_x == images.inputs(images.x_test)).all()
    assert (pool_y == images.y_test).all()
    assert federation.truth(4) is None
    with pytest.raises(ValueError):
        federation.rows(4)[0] = 1


def test_holding_out(labels: Labels) -> None:
    data = labels(1_000, 5)
    partition = make(data, "iid", streams=Streams(0), clients=10)
    plain = Federation(data, partition, Streams(0))
    split = Federation(data, partition, Streams(0), local_test="split")
    both = Federation(data, partition, Streams(0), validation=True, local_test="both")
    assert plain.sizes.tolist() == [100] * 10
    assert split.sizes.tolist() == [75] * 10
    assert both.sizes.tolist() == [67] * 10  # 100 − 25 − round(7.5)
    for client in range(10):
        x_held, y_held = split.held(client)
        assert len(y_held) == 25
        assert (x_held == both.held(client)[0]).all()  # the same test with and without validation
        trained, kept = set(both.rows(client).tolist()), both.validation_of(client)
        assert len(trained) + len(kept[1]) + 25 == 100
        assert trained < set(split.rows(client).tolist()) < set(partition.rows(client).tolist())
        # stratified: a quarter of every label, to within one sample
        whole = np.bincount(data.y_train[partition.rows(client)], minlength=5)
        assert np.abs(np.bincount(y_held, minlength=5) - whole / 4).max() < 1
    pool = both.pool(on="validation")
    assert len(pool[1]) == 80
    assert both.label_counts(3).sum() == 67


def test_streams_are_the_clients_own(labels: Labels) -> None:
    data = labels(400, 4)
    partition = make(data, "iid", streams=Streams(0), clients=4)
    one = Federation(data, partition, Streams(1), local_test="split")
    two = Federation(data, partition, Streams(2), local_test="split")
    assert any(one.rows(i).tolist() != two.rows(i).tolist() for i in range(4))
    again = Federation(data, partition, Streams(1), local_test="split")
    assert all(one.rows(i).tolist() == again.rows(i).tolist() for i in range(4))


def test_rotation_turns_the_last_two_axes(images: Dataset) -> None:
    partition = make(images, "rotated", streams=Streams(0), clients=8, groups=4)
    federation = Federation(images, partition, Streams(0))
    assert len(federation.transform_keys) == 4
    for client in range(8):
        turns = federation.truth(client)
        assert turns is not None
        straight = images.inputs(images.x_train[partition.rows(client)])
        assert (federation.train(client)[0] == np.rot90(straight, turns, axes=(2, 3))).all()
        pool = federation.pool(federation.transform_key(client))[0]
        assert (pool == np.rot90(images.inputs(images.x_test), turns, axes=(2, 3))).all()


def test_permuted_labels_are_permuted_everywhere(labels: Labels) -> None:
    data = labels(200, 10)
    partition = make(data, "permuted-labels", streams=Streams(0), clients=6, groups=2)
    federation = Federation(data, partition, Streams(0), local_test="split")
    moved = next(i for i in range(6) if federation.truth(i) == 1)
    assert (federation.train(moved)[1] == (data.y_train[federation.rows(moved)] + 5) % 10).all()
    assert federation.label_counts(moved).tolist() == np.bincount(federation.train(moved)[1], minlength=10).tolist()
    key = federation.transform_key(moved)
    assert (federation.pool(key)[1] == (data.y_test + 5) % 10).all()
    assert (federation.pool(Transform())[1] == data.y_test).all()


def own(owner: list[int], tested: list[int]) -> Dataset:
    n, m = len(owner), len(tested)
    x = np.zeros((n, 1), np.float32)
    return Dataset(
        "own", x, np.arange(n) % 2, np.arange(m, dtype=np.float32)[:, None], np.arange(m) % 2, 2, "vector",
        client_train=np.array(owner), client_test=np.array(tested),
    )  # fmt: skip


def test_natural_tests_by_id_not_by_position() -> None:
    data = own([30, 30, 7, 7, 7], [7, 30, 7, 99])
    partition = make(data, "natural", streams=Streams(0))
    federation = Federation(data, partition, Streams(0), local_test="natural")
    assert federation.ids.tolist() == [7, 30]
    assert (federation.size(7), federation.size(30)) == (3, 2)
    assert federation.natural_test(7)[1].tolist() == [0, 0]
    assert federation.natural_test(30)[1].tolist() == [1]


def test_refusals(labels: Labels, images: Dataset) -> None:
    data = labels(60, 3)
    iid = make(data, "iid", streams=Streams(0), clients=5)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: Federation(data, iid, Streams(0), local_test="splitt"), "Did you mean"),  # type: ignore[arg-type]
        (lambda: Federation(data, iid, Streams(0), local_test="natural"), "has no client_test"),
        (lambda: Federation(images, iid, Streams(0)), "made for"),
        (lambda: Federation(data, iid, Streams(0)).held(0), "holds no client data out"),
        (lambda: Federation(data, iid, Streams(0)).pool(on="validation"), "no validation data"),
        (lambda: Federation(data, iid, Streams(0)).train(17), "client 17 is not among"),
        (lambda: assemble(data.y_train, [np.arange(3), np.arange(0)], "own", {}), "client 1 has no samples"),
        (
            lambda: Federation(
                data, assemble(data.y_train, [np.arange(3), np.array([9])], "own", {}), Streams(0), local_test="split"
            ),
            "client 1 has one sample",
        ),
        (
            lambda: Federation(
                data, assemble(data.y_train, [np.arange(9)], "own", {}, turns=np.array([1])), Streams(0)
            ),
            "square images",
        ),
        (
            lambda: Federation(
                own([4, 4, 5], [4]),
                make(own([4, 4, 5], [4]), "natural", streams=Streams(0)),
                Streams(0),
                local_test="natural",
            ),
            "client 5 has no test samples",
        ),
    ]
    for call, words in cases:
        with pytest.raises(UserError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_one_sample_stays_for_training(labels: Labels) -> None:
    data = labels(60, 3)
    partition = assemble(data.y_train, [np.array([0]), np.array([1, 2]), np.arange(5, 11)], "own", {})
    federation = Federation(data, partition, Streams(0), validation=True)
    assert federation.sizes.tolist() == [1, 2, 5]
    assert len(federation.validation_of(0)[1]) == 0
    few = assemble(data.y_train, [np.array([0]), np.arange(1, 5)], "own", {})
    with pytest.raises(UserError, match="none of the 2 clients has enough"):
        Federation(data, few, Streams(0), validation=True)


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    share=st.sampled_from([0.1, 0.25]),
    least=st.integers(0, 1),
    seed=st.integers(0, 10**6),
)
def test_stratified_quotas(counts: list[int], share: float, least: int, seed: int) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    held = stratified(y, share, np.random.default_rng(seed), least)
    total = min(max(int(np.floor(share * len(y) + 0.5)), least), len(y) - 1)
    assert held.sum() == total
    per_label = np.bincount(y[held], minlength=len(counts))
    assert (np.abs(per_label - np.array(counts) * total / len(y)) < 1 + 1e-6).all()


def test_public_inputs_are_taken_from_the_clients_and_from_nothing_else(labels: Labels) -> None:
    data = labels(1_000, 5)
    partition = make(data, "iid", streams=Streams(0), clients=10)
    both = Federation(data, partition, Streams(0), validation=True, local_test="both")
    given_ = Federation(data, partition, Streams(0), validation=True, local_test="both", public=0.2)
    assert given_.sizes.tolist() == [54] * 10  # of 67: 67 − round(13.4)
    taken = []
    for client in range(10):
        assert (given_.held(client)[0] == both.held(client)[0]).all()
        assert (given_.validation_of(client)[0] == both.validation_of(client)[0]).all()
        kept, before = set(given_.rows(client).tolist()), both.rows(client)
        assert kept < set(before.tolist())
        taken += [row for row in before.tolist() if row not in kept]
    assert given_.public_inputs().shape[0] == len(taken) == 130
    assert (given_.public_inputs() == data.inputs(data.x_train[taken])).all()
    assert len(both.public_inputs()) == 0


def test_public_inputs_do_not_depend_on_the_places_of_clients(labels: Labels) -> None:
    data, rows = labels(100, 5), {4001: np.arange(40), 17: np.arange(40, 70), 902: np.arange(70, 100)}
    found = []
    for ids in ((4001, 17, 902), (902, 4001, 17)):
        partition = assemble(data.y_train, [rows[i] for i in ids], "own", {}, ids=np.array(ids))
        found.append(Federation(data, partition, Streams(0), public=0.2).public_inputs())
    assert len(found[0]) == 20 and (found[0] == found[1]).all()
