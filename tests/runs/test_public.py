"""Inputs that the server owns: where they come from, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.runs.simulation import prepare, public_inputs
from disue.runs.spec import Spec


def spec(data: dict[str, Any], **tables: Any) -> Spec:
    return Spec.of({"partition": {"clients": 5}, "method": {"name": "feddf"}, "data": data, **tables})


def saved(path: Path, shape: tuple[int, ...], amount: int = 30, *, name: str = "cifar10") -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (amount, *shape)).astype(np.uint8), np.arange(amount) % 10
    np.savez(path / f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y)


def test_another_set_is_normalised_as_the_clients_inputs_are(tmp_path: Path) -> None:
    saved(tmp_path, (3, 32, 32))
    saved(tmp_path, (3, 32, 32), 40, name="svhn")
    setup = prepare(spec({"name": "cifar10", "public": "svhn"}), tmp_path)
    other = np.load(tmp_path / "svhn.npz")["x_train"]
    found = setup.world.public
    assert found is not None and found.shape == (40, 3, 32, 32)
    assert (np.sort(found, axis=0) == np.sort(setup.dataset.inputs(other), axis=0)).all()
    assert setup.world.public_labels is None
    assert setup.federation.sizes.sum() == 30  # nothing is taken from the clients


def test_a_set_of_another_shape_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, (3, 32, 32))
    with pytest.raises(UserError, match=r"cifar10 is image data of shape \(3, 32, 32\), and digits"):
        prepare(spec({"name": "digits", "public": "cifar10"}), tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"public": "cifar10", "public_share": 0.1}, "both given"),
        ({"public": "cifar11"}, 'Did you mean "cifar10"'),
        ({"public_share": 0.6}, "data.public_share must be"),
    ],
)
def test_refused_before_anything_is_loaded(data: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        spec(data)


def test_clients_too_small_to_give_anything_are_refused() -> None:
    setup = prepare(spec({"name": "digits", "public_share": 0.001}, method={"name": "fedavg"}))
    assert setup.world.public is None  # nobody asks for inputs
    with pytest.raises(UserError, match="leaves the server no input"):
        public_inputs("", setup.dataset, setup.federation, setup.world.streams, None)


def test_methods_without_public_inputs_lose_the_same_data_under_the_same_share() -> None:
    ours = prepare(spec({"name": "digits", "public_share": 0.1}))
    other = prepare(spec({"name": "digits", "public_share": 0.1}, method={"name": "fedavg"}))
    for client in ours.ids.tolist():
        assert (ours.federation.rows(client) == other.federation.rows(client)).all()
    assert ours.partition.hash == other.partition.hash == prepare(spec({"name": "digits"})).partition.hash
    assert other.world.public is None and ours.world.public is not None
