"""Attacks on data, and who is drawn to lie."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from disue.attacks import draw
from disue.attacks.poison import Backdoor, LabelFlip, Poisoned, Trigger
from disue.core.errors import UserError
from disue.core.streams import Streams

IDS = np.array([4001, 17, 902, 5, 88, 1200, 33, 61, 7, 2], np.int64)
TRUTH = {int(i): int(i % 2) for i in IDS}  # odd ids: 4001, 17, 5, 33, 61, 7


class Held:
    classes = 4

    def __init__(self) -> None:
        self.ids = np.array([17, 902], np.int64)

    def size(self, client: int) -> int:
        return 10

    def train(self, client: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(client)
        return rng.standard_normal((10, 1, 4, 5)).astype(np.float32), np.arange(10) % 4

    def label_counts(self, client: int) -> np.ndarray:
        return np.array([3, 3, 2, 2])


def test_labels_are_reversed_or_renamed_by_pairs() -> None:
    x, y = np.zeros((4, 2), np.float32), np.array([0, 1, 2, 3])
    rng = np.random.default_rng(0)
    assert LabelFlip().held(x, y, 4, None, rng)[1].tolist() == [3, 2, 1, 0]
    assert LabelFlip(((1, 3), (3, 0))).held(x, y, 4, None, rng)[1].tolist() == [0, 3, 2, 0]
    assert LabelFlip().held(x, y, 4, None, rng)[0] is x


def test_a_trigger_marks_the_last_corner_as_bright_as_can_be() -> None:
    white = np.full((1, 4, 5), 9.0, np.float32)
    x = np.zeros((2, 1, 4, 5), np.float32)
    out = Trigger(white, 2)(x)
    assert not x.any()
    assert out.sum() == 2 * 4 * 9.0 and (out[:, :, 2:, 3:] == 9.0).all()


def test_liars_hold_what_the_attack_makes_of_their_data_and_others_what_they_have() -> None:
    held, white = Held(), np.full((1, 4, 5), 9.0, np.float32)
    attack = Backdoor(label=2, poison=0.4, size=1)
    poisoned = Poisoned(held, np.array([17]), attack, 4, attack.trigger(white), Streams(3))
    x, y = poisoned.train(17)
    marked = x[:, 0, -1, -1] == 9.0
    assert marked.sum() == 4 and (y[marked] == 2).all()
    assert (y[~marked] == held.train(17)[1][~marked]).all() and (x[~marked] == held.train(17)[0][~marked]).all()
    assert (poisoned.train(17)[0] == x).all(), "the same images in every round"
    assert poisoned.label_counts(17).tolist() == np.bincount(y, minlength=4).tolist()
    assert (poisoned.train(902)[0] == held.train(902)[0]).all() and poisoned.size(17) == 10
    assert poisoned.label_counts(902).tolist() == [3, 3, 2, 2]


def test_more_liars_are_the_fewer_ones_and_others() -> None:
    streams = Streams(4)
    few, many = draw(streams, IDS, 0.2), draw(streams, IDS, 0.4)
    assert few.size == 2 and many.size == 4 and set(few) < set(many)
    assert draw(streams, IDS[::-1], 0.4).tolist() == many.tolist(), "the order of ids says nothing"
    assert draw(streams, IDS, 0.0).size == 0


def test_liars_of_a_target_are_its_members() -> None:
    found = draw(Streams(1), IDS, 0.5, 1, TRUTH)
    assert found.size == 3 and all(TRUTH[int(i)] == 1 for i in found)
    for seed in range(20):
        mixed = draw(Streams(seed), IDS, 0.2, 1, TRUTH, mixed=True)
        assert mixed.size == 2 and {TRUTH[int(i)] for i in mixed} == {0, 1}


def test_another_process_draws_the_same_liars() -> None:
    code = (
        "import numpy as np; from disue.attacks import draw; from disue.core.streams import Streams; "
        f"print(draw(Streams(9), np.array({IDS.tolist()}), 0.3).tolist())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(draw(Streams(9), IDS, 0.3).tolist())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: draw(Streams(0), IDS, 0.01), "attack.share is 0.01: that is none of 10 clients"),
        (lambda: draw(Streams(0), IDS, 0.5, 4, TRUTH), "attack.target is 4, and the planted groups are 0, 1"),
        (lambda: draw(Streams(0), IDS, 0.5, 1, None), "attack.target is 1, and nothing is planted"),
        (lambda: draw(Streams(0), IDS, 0.1, 1, TRUTH, mixed=True), "attack.target = 1 is attacked by at least two"),
        (lambda: draw(Streams(0), IDS[:2], 0.9, 1, TRUTH, mixed=True), "attack.target = 1 is attacked by at least two"),
        (lambda: LabelFlip(((1, 2), (1, 3))), "attack.pairs must be a list of"),
        (lambda: LabelFlip(((1, 9),)).fits("image", (1, 8, 8), 4), "attack.pairs names class 9"),
        (lambda: Backdoor().fits("vector", (6,), 4), 'attack.kind "backdoor" marks pixels'),
        (lambda: Backdoor(size=8).fits("image", (1, 8, 8), 4), "attack.size is 8, and images are 8 × 8"),
        (lambda: Backdoor(label=4).fits("image", (1, 8, 8), 4), "attack.label names class 4"),
        (lambda: Backdoor(poison=0.0), "attack.poison must lie in (0, 1], got 0"),
    ],
)
def test_what_cannot_be_drawn_or_held_is_one_sentence(make, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)
