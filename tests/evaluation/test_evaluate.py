from dataclasses import replace

import numpy as np
import pytest
from evaluation_bed import Bed, Linear, constant

from disue.core.errors import UserError
from disue.core.method import Served
from disue.core.streams import Streams
from disue.evaluation import Teachers, evaluate, hundred, newcomers

IDS = np.array([902, 17, 4001])


@pytest.fixture
def network():
    return Linear(3, 2)


@pytest.fixture
def bed():
    # pool: 4 of class 0, 2 of class 1, 4 of class 2
    y = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    return Bed(np.zeros((10, 2), np.float32), y, {902: [10, 0, 0], 17: [5, 5, 0], 4001: [1, 2, 7]})


def served(network, **more):
    """Rows: says 0, says 1, says 2, and says 0 again (the same bytes as row 0)."""
    rows = [
        constant(network, 1, 0, 0),
        constant(network, 0, 1, 0),
        constant(network, 0, 0, 1),
        constant(network, 1, 0, 0),
    ]
    return Served(np.stack(rows), **more)


def test_hand_numbers(network, bed):
    what = served(network, receives=np.array([0, 0, 1]), group=np.array([0, 1, 2]), expert=3, average=2, scale=0.5)
    found = evaluate(network, what, IDS, bed)
    m = found.metrics
    assert m["served_global"] == pytest.approx((40 + 40 + 20) / 3)
    assert m["expert_global"] == 40.0 and m["average_global"] == 40.0 and m["expert_effect"] == 0.0
    assert found.clients["group_local"].tolist() == pytest.approx([100.0, 50.0, 70.0])
    assert found.clients["expert_local"].tolist() == pytest.approx([100.0, 50.0, 10.0])
    assert found.clients["average_local"].tolist() == pytest.approx([0.0, 0.0, 70.0])
    assert found.clients["majority_local"].tolist() == pytest.approx([100.0, 50.0, 70.0])
    assert m["group_local"] == pytest.approx(220 / 3) and m["group_local_worst"] == 50.0
    assert m["group_local_p50"] == 70.0 and m["group_local_p10"] == pytest.approx(54.0)
    # logits (2, 0, 0) + log prior; 4001 has (0.11, 0.21, 0.71) / 1.03: −0.24 still beats −1.59 and −0.37
    assert found.clients["expert_prior_local"].tolist() == pytest.approx([100.0, 50.0, 10.0])
    # the average is not scaled: (0, 0, 1): 902: log(1.01 / 0.01) = 4.6 > 1; 17: log(0.51 / 0.01) = 3.9 > 1
    assert found.clients["average_prior_local"].tolist() == pytest.approx([100.0, 50.0, 70.0])
    assert "own_local" not in m and "teachers_global" not in m and "served_local" not in m


def test_one_pass_per_distinct_model(network, bed):
    what = served(network, receives=np.array([0, 3, 3]), group=np.array([0, 3, 0]), expert=3, average=0)
    evaluate(network, what, IDS, bed)
    assert network.passes == [10]


def test_one_group_equals_the_average(network, bed):
    what = served(network, receives=np.array([1, 1, 1]), group=np.array([1, 1, 1]), expert=0, average=1)
    m = evaluate(network, what, IDS, bed).metrics
    assert m["group_local"] == m["average_local"] == pytest.approx((0 + 50 + 20) / 3)


def test_absent_is_absent_not_zero(network, bed):
    m = evaluate(
        network, served(network, receives=np.zeros(3, np.int64), group=np.zeros(3, np.int64)), IDS, bed
    ).metrics
    assert not [name for name in m if name.startswith(("expert", "average", "own", "teachers"))]
    m = evaluate(network, served(network, receives=np.zeros(3, np.int64)), IDS, bed).metrics
    assert m["served_local"] == pytest.approx((100 + 50 + 10) / 3) and "group_local" not in m


def test_order_of_ids_does_not_matter(network, bed):
    a = evaluate(network, served(network, receives=np.array([0, 1, 2]), group=np.array([0, 1, 2])), IDS, bed)
    turn = np.array([2, 0, 1])
    b = evaluate(network, served(network, receives=turn, group=turn), IDS[turn], bed)
    assert a.metrics == pytest.approx(b.metrics)
    assert a.clients["group_local"][turn].tolist() == b.clients["group_local"].tolist()


def test_own_end_models_of_the_last_cohort(network, bed):
    what = served(network, receives=np.zeros(3, np.int64), group=np.zeros(3, np.int64))
    own = {4001: constant(network, 0, 0, 1), 17: constant(network, 0, 0, 1), 5: constant(network, 0, 0, 1)}
    for draw in (0, 3, 200):
        found = evaluate(network, what, IDS, bed, own, draw=draw)
        assert found.metrics["own_local"] == pytest.approx(35.0) and found.metrics["own_clients"] == 2.0
        assert np.isnan(found.clients["own_local"][0])


def test_personal_models_are_local_and_counted_only_where_some_are_missing(network, bed):
    what = served(network, receives=np.zeros(3, np.int64), group=np.zeros(3, np.int64))
    says = [constant(network, *row) for row in np.eye(3)]
    mine = {4001: says[0], 17: says[1], 902: says[2]}
    plain = evaluate(network, what, IDS, bed)
    for draw in (0, 3, 200):  # the pool has ten samples: no draw leaves one out
        found = evaluate(network, what, IDS, bed, None, mine, draw=draw)
        order = [mine[i] for i in IDS.tolist()]
        group = served(network, receives=np.zeros(3, np.int64), group=np.arange(3))
        group = replace(group, models=np.stack(order))
        alone = evaluate(network, group, IDS, bed).clients["group_local"]
        assert found.clients["personal_local"].tolist() == pytest.approx(alone.tolist())
        assert {k: v for k, v in found.metrics.items() if not k.startswith("personal")} == plain.metrics
        assert "personal_clients" not in found.metrics
    few = evaluate(network, what, IDS, bed, None, {17: says[1], 5: says[1]})
    assert few.metrics["personal_clients"] == 1.0 and np.isnan(few.clients["personal_local"]).sum() == 2


def test_where_what_is_served_is_no_model_clients_own_models_are_scored_globally(network, bed):
    what = served(network, receives=np.zeros(3, np.int64), group=np.zeros(3, np.int64), expert=0, average=1)
    what = replace(what, whole=False)
    mine = {4001: constant(network, 1, 0, 0), 902: constant(network, 0, 1, 0)}
    found = evaluate(network, what, IDS, bed, mine, mine)
    assert found.metrics["served_global"] == pytest.approx((40 + 20) / 2)
    assert {name.partition("_")[0] for name in found.metrics} == {"served", "personal", "majority"}
    bed.local_test = "split"
    bed.own = {i: (np.zeros((2, 2), np.float32), np.array([0, 1])) for i in IDS.tolist()}
    found = evaluate(network, what, IDS, bed, mine, mine)
    assert found.metrics["personal_local"] == 50.0 and found.metrics["served_global"] == pytest.approx(30.0)
    assert "served_global" not in evaluate(network, what, IDS, bed).metrics


def test_the_same_hundred_clients_whatever_their_order():
    ids = np.arange(250)[::-1] * 3
    some = hundred(ids, Streams(1))
    assert some.size == 100 and (np.diff(some) > 0).all() and np.isin(some, ids).all()
    assert np.array_equal(some, hundred(np.sort(ids), Streams(1)))
    assert not np.array_equal(some, hundred(ids, Streams(2)))
    assert np.array_equal(hundred(ids[:7], Streams(1)), np.sort(ids[:7]))


def test_transformed_pools_count_as_clients_see_them(network, bed):
    bed.keys = {4001: 1}  # its labels are shifted: 4 of class 1, 2 of class 2, 4 of class 0
    what = served(network, receives=np.array([0, 0, 0]), group=np.array([1, 1, 1]))
    found = evaluate(network, what, IDS, bed)
    assert found.metrics["served_global"] == pytest.approx((40 + 40 + 40) / 3)
    assert found.clients["group_local"].tolist() == pytest.approx([0.0, 50.0, 20.0])
    says1 = served(network, receives=np.array([1, 1, 1]))
    assert evaluate(network, says1, IDS, bed).metrics["served_global"] == pytest.approx((20 + 20 + 40) / 3)


def test_split_beside_proportional(network, bed):
    bed.local_test = "both"
    x = np.zeros((2, 2), np.float32)
    bed.own = {902: (x, np.array([0, 1])), 17: (x[:1], np.array([1])), 4001: (x[:0], np.zeros(0, np.int64))}
    what = served(network, receives=np.zeros(3, np.int64), group=np.array([0, 1, 2]), expert=0, average=1)
    own = {17: constant(network, 0, 1, 0)}
    found = evaluate(network, what, IDS, bed, own)
    columns = found.clients
    assert columns["group_local"].tolist() == pytest.approx([100.0, 50.0, 70.0])
    assert columns["group_local_split"][:2].tolist() == [50.0, 100.0] and np.isnan(columns["group_local_split"][2])
    assert columns["majority_local_split"][:2].tolist() == [50.0, 0.0]
    assert columns["own_local_split"][1] == 100.0
    assert found.metrics["group_local_split"] == 75.0 and found.metrics["group_local_split_worst"] == 50.0
    assert columns["average_prior_local_split"][0] == 50.0  # log(1.01 / 0.01) turns class 1 into class 0
    bed.local_test = "split"
    assert evaluate(network, what, IDS, bed).metrics["group_local"] == 75.0


def test_global_local_test_and_validation(network, bed):
    bed.local_test = "global"
    what = served(network, receives=np.zeros(3, np.int64), group=np.array([0, 1, 2]))
    found = evaluate(network, what, IDS, bed, on="validation")
    assert found.clients["group_local"].tolist() == pytest.approx([40.0, 20.0, 40.0])
    assert found.clients["majority_local"].tolist() == pytest.approx([40.0, 40.0, 40.0])


def test_teachers_mix_probabilities_by_class(network, bed):
    # class 0 is taught by the first only, classes 1 and 2 by the second: 0.576 beats 0.212 twice
    rows = np.stack([constant(network, 1, 0, 0), constant(network, 1, 0, 0)])
    what = served(network, receives=np.zeros(3, np.int64))
    weights = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert evaluate(network, what, IDS, bed, teachers=Teachers(rows, weights)).metrics["teachers_global"] == 40.0
    weights = np.array([[0.1, 0.0, 0.0], [0.0, 1.0, 0.9]])  # 0.058, 0.212, 0.191
    assert evaluate(network, what, IDS, bed, teachers=Teachers(rows, weights)).metrics["teachers_global"] == 20.0


def test_teachers_mix_logits_where_logits_teach(network, bed):
    # probabilities: (0.74, 0.25, 0.01) and (0.01, 0.27, 0.72) give class 0; logits: (2.05, 3, 2) give class 1
    rows = np.stack([constant(network, 4.1, 3, 0), constant(network, 0, 3, 4)])
    what, half = served(network, receives=np.zeros(3, np.int64)), np.full((2, 3), 0.5)
    for logits, right in ((False, 40.0), (True, 20.0)):
        teachers = Teachers(rows, half, logits=logits)
        assert evaluate(network, what, IDS, bed, teachers=teachers).metrics["teachers_global"] == right
    nobody = half * np.array([1.0, 0.0, 1.0])  # without weight class 1 is not spoken of, and class 0 is next
    assert evaluate(network, what, IDS, bed, teachers=Teachers(rows, nobody, logits=True)).metrics[
        "teachers_global"
    ] == pytest.approx(40.0)


@pytest.mark.parametrize("after", [1.0, 2.0])
def test_models_that_differ_in_the_head_share_a_pass(after):
    rng = np.random.default_rng(0)

    class Scaled(Linear):  # a user's model may go on after its last linear layer: then features say too little
        def both(self, vector, inputs):
            return after * super().logits(vector, inputs), inputs

        def logits(self, vector, inputs):
            return after * super().logits(vector, inputs)

    network = Scaled(3, 2, body=2)
    bed = Bed(rng.normal(size=(50, 2)).astype(np.float32), rng.integers(0, 3, 50), {5: [1, 2, 3], 6: [3, 2, 1]})
    models = rng.normal(size=(4, network.layout.d)).astype(np.float32)
    models[:2, -2:] = models[2, -2:] = 0.5  # rows 0, 1 and 2 have one body, row 3 another
    ids, what = np.array([5, 6]), Served(models, np.array([0, 3]), np.array([0, 3]), expert=2, average=1)
    teachers = Teachers(models[[0, 3]], np.ones((2, 3)))
    found = evaluate(network, what, ids, bed, teachers=teachers)
    # bodies: one pass each; without sharing one for each use, and one more for the look at each head
    assert len(network.passes) == (2 if after == 1 else 6 + 2)
    logits = [x @ w.T + b for x in [bed.x] for w, b in map(network.layout.head, models)]
    right = [100.0 * float((one.argmax(1) == bed.y).mean()) for one in logits]
    assert found.metrics["expert_global"] == pytest.approx(right[2])
    assert found.metrics["average_global"] == pytest.approx(right[1])
    assert found.metrics["served_global"] == pytest.approx((right[0] + right[3]) / 2)


def test_a_model_per_client_scores_a_fixed_hundred():
    network = Linear(3, 2, body=1)
    rng = np.random.default_rng(0)
    n = 130
    ids = rng.permutation(9000)[:n]
    bed = Bed(rng.normal(size=(50, 2)).astype(np.float32), rng.integers(0, 3, 50), {int(i): [4, 3, 3] for i in ids})
    models = rng.normal(size=(n, network.layout.d)).astype(np.float32)
    what = Served(models, np.arange(n), group=np.arange(n))
    a = evaluate(network, what, ids, bed, streams=Streams(1), draw=20)
    assert sum(size == 50 for size in network.passes) == 100 and len(network.passes) == 130
    turn = rng.permutation(n)
    b = evaluate(network, Served(models, turn, group=turn), ids[turn], bed, streams=Streams(1), draw=20)
    assert a.metrics["served_global"] == pytest.approx(b.metrics["served_global"])
    assert not np.isnan(a.clients["group_local"]).any()


def test_newcomers(network, bed):
    trained = []

    def epoch(client, vector):
        trained.append(client)
        return constant(network, 0, 0, 1)

    vector = constant(network, 0, 1, 0)
    found = newcomers(network, vector, np.array([4001, 17]), bed, epoch)
    assert trained == [4001, 17]
    assert found.metrics == pytest.approx(
        {"newcomer_0": 35.0, "newcomer_prior": 60.0, "newcomer_1": 35.0, "newcomer_majority": 60.0}
    )
    assert "newcomer_1" not in newcomers(network, vector, np.array([4001]), bed).metrics


def test_refusals(network, bed):
    what = served(network, receives=np.zeros(2, np.int64))
    with pytest.raises(UserError) as caught:
        evaluate(network, what, IDS, bed)
    assert caught.value.key == "served.receives"
    bed.local_test = "elsewhere"
    with pytest.raises(UserError) as caught:
        evaluate(network, served(network, receives=np.zeros(3, np.int64)), IDS, bed)
    assert caught.value.key == "evaluate.local_test"
