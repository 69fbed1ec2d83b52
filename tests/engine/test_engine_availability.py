"""Who answers: by named streams, whoever else is asked."""

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.core.streams import Streams
from disue.engine.availability import answering, times

IDS = np.array([4001, 17, 902, *range(5000, 5400)])
SIZES = np.arange(IDS.size) % 50 + 10


def test_all_answer_by_default():
    assert answering(Streams(0), 3, IDS, SIZES).tolist() == sorted(IDS.tolist())


def test_dropout_is_of_the_client_and_the_round():
    found = answering(Streams(0), 3, IDS, SIZES, dropout=0.3)
    assert 0.6 < found.size / IDS.size < 0.8
    some = IDS[::-3]
    again = answering(Streams(0), 3, some, SIZES[::-3], dropout=0.3)
    assert again.tolist() == sorted(set(found.tolist()) & set(some.tolist()))
    assert found.tolist() != answering(Streams(0), 4, IDS, SIZES, dropout=0.3).tolist()


def test_the_deadline_is_in_units_of_the_median():
    ids, sizes = np.array([4001, 17, 902]), np.array([10, 30, 20])
    assert answering(Streams(0), 0, ids, sizes, deadline=1.0).tolist() == [902, 4001]
    assert answering(Streams(0), 0, ids, sizes, deadline=1.5).tolist() == [17, 902, 4001]
    spent = times(Streams(0), IDS, SIZES, 1.0)
    slow = IDS[spent > 2 * np.median(spent)]
    found = answering(Streams(0), 0, IDS, SIZES, deadline=2.0, speed_sigma=1.0)
    assert set(found.tolist()) == set(IDS.tolist()) - set(slow.tolist())


@pytest.mark.parametrize("given", [{"dropout": 1.0}, {"dropout": -0.1}, {"deadline": -1.0}, {"speed_sigma": -1.0}])
def test_ranges(given):
    with pytest.raises(UserError) as caught:
        answering(Streams(0), 0, IDS, SIZES, **given)
    assert caught.value.key == f"cohort.{next(iter(given))}"
