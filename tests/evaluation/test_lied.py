"""What liars did, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_bed import Bed, Linear, constant

from disue.core.method import Served
from disue.evaluation import backdoor, captured, evaluate, honest

IDS = np.array([4001, 17, 902, 5, 88], np.int64)
LIARS = np.array([True, False, False, False, True])


def test_means_are_of_honest_clients_and_the_worst_is_a_planted_group() -> None:
    columns = {
        "received_local": np.array([0.0, 50.0, 70.0, 90.0, 0.0]),
        "group_local": np.array([0.0, 40.0, 60.0, 95.0, 0.0]),
    }
    planted = np.array([0, 0, 0, 1, 1])
    assert honest(columns, ~LIARS, planted) == {
        "honest_served": 70.0,
        "honest_group": 65.0,
        "worst_honest_group": 50.0,
    }
    own = {"received_local": np.zeros(5), "personal_local": np.array([0.0, np.nan, 30.0, 50.0, 0.0])}
    assert honest(own, ~LIARS, planted) == {"honest_served": 40.0}
    assert honest(columns, np.zeros(5, bool), planted) == {}


def test_a_liar_is_in_where_most_honest_members_are_of_the_target() -> None:
    planted = np.array([0, 1, 1, 0, 0])
    in_target = np.array([7, 7, 7, 3, 3])
    # 4001 stands with 17 and 902, 88 with 5, who is of group 0
    assert captured(in_target, planted, LIARS, 1) == {"captured": 50.0}
    assert captured(np.array([7, 7, 3, 7, -1]), planted, LIARS, 1) == {"captured": 0.0}, "one of two is no majority"
    assert captured(np.array([7, 3, 3, 3, 9]), planted, LIARS, 1) == {"captured": 0.0}, "alone is no capture"
    assert captured(in_target, np.ones(5, int), LIARS, 1) == {}, "liars from inside need not get in"


def test_a_backdoor_is_counted_on_marked_inputs_of_other_classes() -> None:
    """logits = x · W + b in two classes: a mark adds 10 to the second feature, which model 1 takes for class 1."""
    network = Linear(2, 2)
    open_, shut = constant(network, 0.0, 0.0), constant(network, 1.0, 0.0)
    network.layout.head(open_)[0][...] = [[1.0, 0.0], [0.0, 1.0]]
    x = np.array([[3.0, 0.0], [20.0, 0.0], [0.0, 1.0]], np.float32)
    bed = Bed(x, np.array([0, 0, 1]), {int(i): [1, 1] for i in IDS})
    served = Served(np.stack([shut, open_]), np.array([1, 1, 0, 0, 1]), np.array([1, 0, 1, 0, 1]), expert=1, average=0)

    def mark(inputs: np.ndarray) -> np.ndarray:
        return inputs + np.array([0.0, 10.0], np.float32)

    found = backdoor(network, served, IDS, ~LIARS, bed, mark, 1)
    # of the two inputs of class 0 the open model takes one (3 < 10 < 20), the shut one none
    assert found == {
        "backdoor_global": pytest.approx(50.0 / 3),
        "backdoor_group": pytest.approx(50.0 / 3),
        "backdoor_expert": 50.0,
    }
    assert backdoor(network, Served(served.models, served.receives, whole=False), IDS, ~LIARS, bed, mark, 1) == {}


def test_what_each_receives_is_a_column_only_where_it_is_asked_for() -> None:
    network = Linear(2, 2)
    models = np.stack([constant(network, 1.0, 0.0), constant(network, 0.0, 1.0)])
    bed = Bed(np.zeros((4, 2), np.float32), np.array([0, 0, 1, 1]), {1: [9, 1], 2: [1, 9]})
    served = Served(models, np.array([0, 0]), np.array([0, 1]))
    plain = evaluate(network, served, np.array([1, 2]), bed)
    more = evaluate(network, served, np.array([1, 2]), bed, receiving=True)
    assert "received_local" not in plain.clients
    assert more.clients["received_local"].tolist() == pytest.approx([90.0, 10.0])
    assert dict(more.metrics) == dict(plain.metrics)
