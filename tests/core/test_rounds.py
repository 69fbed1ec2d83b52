"""Rounds, surveys in between, refusals; and the identities of composed methods over a whole run."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from disue.core.checks import digest, positions
from disue.core.errors import UserError
from disue.core.method import Info, Made
from disue.core.orders import Sight
from disue.core.rounds import draw_cohort, finish, play, refuse
from disue.core.tree import classes_of, put, take
from disue.core.uploads import PLAIN, Door
from disue.methods.composed import SURVEY, Composed
from disue.parts.aggregate import Mean
from disue.parts.grouping import Alone, Linkage, OneGroup, Oracle
from disue.parts.start import EveryGroup, FromExpert, FromGroup, FromSelf
from fakes import FakeUploads, vec, world

D = 8
IDS = [4001, 17, 902, 33, 5, 2600, 71, 12]
FAMILY = {i: n % 2 for n, i in enumerate(IDS)}
SIZES = {i: 3 + n * n for n, i in enumerate(IDS)}
AIM = np.array([[4, 0, 1, 2, 0, 0, 0, 1], [-1, 3, 0, 0, 5, 0, -2, 0]], float)
START = vec(*np.linspace(-1, 1, D))


@dataclass(frozen=True)
class Pull:
    """A client that goes a part of the way to its family's aim, a little off."""

    rate: float = 0.4
    phases: ClassVar[tuple[()]] = ()

    def at(self, round):
        return self

    def brief(self, epochs):
        return self

    def end(self, start, client, round):
        off = np.random.default_rng([round, client]).normal(size=D)
        return (start + self.rate * (AIM[FAMILY[client]] - start) + 0.05 * off).astype(np.float32)


@dataclass(frozen=True)
class NoExpert:
    serves: ClassVar[bool] = False
    sight: ClassVar[frozenset[Sight]] = frozenset()

    def init(self, world, start):
        return ()

    def make(self, world, memory, making):
        return Made(None, memory)

    def head_scale(self, memory):
        return 1.0


@dataclass(frozen=True)
class Zero(NoExpert):
    """An expert of zero steps: the average."""

    serves: ClassVar[bool] = True

    def make(self, world, memory, making):
        return Made(making.average.copy(), memory, Info({"made": 1.0}))


class Clients:
    """Answers orders as the engine would; keeps each client's last end for methods that start from it."""

    def __init__(self, at):
        self.at, self.last, self.asked = at, {}, []

    def __call__(self, orders):
        self.asked.append(orders)
        rows = orders.which if orders.into is None else orders.into
        ends, starts, chosen = {}, {}, {}
        for i in orders.ids.tolist():
            at = int(positions(np.array([i]), orders.ids)[0])
            far = [np.abs(orders.starts[row] - AIM[FAMILY[i]]).sum() for row in orders.which[at]]
            column = int(np.argmin(far)) if orders.report.choice == "loss" else 0
            chosen[i] = np.eye(len(far))[column]
            starts[i] = self.last.get(i, orders.starts[rows[at, column]]) if orders.own else None
            starts[i] = orders.starts[rows[at, column]] if starts[i] is None else starts[i]
            ends[i] = orders.local.end(starts[i], i, orders.round)
        if orders.stream != SURVEY:
            self.last.update(ends)
        return FakeUploads(ends, orders.starts[0], self.at.layout, orders.origin, SIZES, starts, chosen=chosen)


def method(start=None, grouping=None, aggregate=None, expert=None):
    return Composed(start or FromExpert(), Pull(), grouping or OneGroup(), aggregate or Mean(), expert or NoExpert())


def run(made, rounds=4, cohort=5, resume=False):
    at = world(IDS, D, rounds=rounds, sizes=SIZES, truth=FAMILY)
    clients = Clients(at)
    told = finish(made, at, made.init(at, START), clients)
    infos = [told.info]
    for r in range(rounds):
        state = told.state
        if resume:
            arrays, skeleton = take(state)
            state = put(arrays, skeleton, classes_of(state))
        told = play(made, at, state, draw_cohort(at, r, cohort), clients)
        infos.append(told.info)
    return told.state, clients, infos


def survey():
    return Linkage(k=2, part="whole")


def test_cohorts_are_drawn_from_the_ids_whatever_their_order():
    at, other = world(IDS, D), world(IDS[::-1], D)
    for r in range(5):
        cohort = draw_cohort(at, r, 3)
        assert cohort.tolist() == sorted(set(cohort.tolist()) & set(IDS)) and cohort.size == 3
        assert cohort.tolist() == draw_cohort(other, r, 3).tolist()
    assert draw_cohort(at, 0, 99).tolist() == sorted(IDS)


def test_a_door_that_shows_too_little_is_refused():
    refuse(method(grouping=survey()), PLAIN, "clustered")
    with pytest.raises(UserError, match='"clustered" must see cosine; the sums door'):
        refuse(method(grouping=survey()), Door("sums", frozenset({Sight.SUMS})), "clustered")


@pytest.mark.hand("fedavg")
def test_fedavg_by_hand():
    state, _, _ = run(method(), rounds=3)
    at, model = world(IDS, D), np.array(START)
    for r in range(3):
        ids = draw_cohort(at, r, 5)
        weights = np.array([SIZES[int(i)] for i in ids], float)
        steps = np.stack([Pull().end(model, int(i), r) - model.astype(float) for i in ids])
        model = (model + (weights[:, None] * steps).sum(0) / weights.sum()).astype(np.float32)
    assert np.abs(state.average - model).max() < 1e-6 and state.round == 3


@pytest.mark.parametrize("grouping", [OneGroup(), Alone(), Oracle(), survey(), Linkage(when="cohort", part="whole")])
def test_zero_expert_steps_are_the_host_bit_for_bit_whatever_the_groups(grouping):
    plain, _, _ = run(method())
    clustered, _, infos = run(method(grouping=grouping, expert=Zero()))
    assert digest(clustered.average) == digest(plain.average) == digest(clustered.expert)
    assert infos[-1].values["made"] == 1


def test_share_zero_is_the_plain_clustered_method():
    plain, _, _ = run(method(FromGroup(), survey()))
    blended, _, _ = run(method(FromExpert(0.0), survey(), expert=Zero()))
    assert digest(plain.models, plain.average) == digest(blended.models, blended.average)
    some, _, _ = run(method(FromExpert(0.5), survey(), expert=Zero()))
    assert digest(plain.models) != digest(some.models)


def test_alone_is_local_training():
    state, clients, _ = run(method(FromSelf(), Alone()), rounds=6)
    assert set(clients.last) == set(IDS)
    for i, end in clients.last.items():
        row = state.groups.rows(state.groups.at(np.array([i])))[0]
        assert np.array_equal(state.models[row], end)


def test_a_survey_forms_the_groups_and_trains_nothing():
    made = method(FromGroup(), survey())
    at = world(IDS, D, sizes=SIZES)
    clients = Clients(at)
    told = finish(made, at, made.init(at, START), clients)
    assert clients.asked[0].stream == SURVEY and clients.asked[0].ids.tolist() == sorted(IDS)
    assert told.state.round == 0 and (told.state.models == START).all()
    of = told.state.groups.as_dict()
    assert len({(FAMILY[i], of[i]) for i in IDS}) == 2 and told.info.values["groups_found"] == 2


def test_the_survey_is_repeated_and_group_models_keep_their_names():
    state, clients, _ = run(method(FromGroup(), Linkage(k=2, part="whole", regroup=2)), rounds=5)
    assert [o.round for o in clients.asked if o.stream == SURVEY] == [0, 2, 4]
    assert state.groups.numbers.tolist() == [0, 1]
    for g in (0, 1):  # each group's model lies nearer to its own family's aim
        family = FAMILY[int(state.groups.members(g)[0])]
        far = np.abs(AIM - state.models[g]).sum(axis=1)
        assert far[family] < far[1 - family]


@pytest.mark.parametrize(
    "made",
    [
        method(aggregate=Mean(momentum=0.7, balance=0.5), grouping=survey(), expert=Zero()),
        method(FromGroup(), Linkage(part="whole", when="cohort"), Mean(momentum=0.5)),
        method(FromGroup(), Linkage(k=2, part="whole", regroup=2, floor=2), Mean(momentum=0.5)),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one(made):
    (one, _, _), (two, _, _) = run(made, 5), run(made, 5, resume=True)
    assert digest(*take(one)[0].values()) == digest(*take(two)[0].values())


def test_candidates_and_the_blend_that_is_trained():
    """Among unblended group models a client chooses; all train from one vector where share is 1."""
    made = method(EveryGroup(share=1.0), Oracle(), Mean(momentum=0.5), Zero())
    at = world(IDS, D, truth=FAMILY)
    state = made.init(at, START).state
    assert not np.array_equal(state.models[0], state.models[1])  # groups start apart
    orders = made.ask(at, state, np.array(IDS[:3])).check(at.layout)
    assert orders.which.shape == (3, 2) and np.array_equal(orders.origin, state.expert)
    after, _, _ = run(made, 2)
    assert after.aggregate.single and after.aggregate.buffer.shape == (1, D)


def test_a_round_without_answers_does_not_skip_the_survey_that_is_due():
    made, at = method(FromGroup(), Linkage(k=2, part="whole", regroup=2)), world(IDS, D, rounds=5, sizes=SIZES)
    clients = Clients(at)
    state = finish(made, at, made.init(at, START), clients).state
    state = play(made, at, state, draw_cohort(at, 0, 5), clients).state
    orders = made.ask(at, state, draw_cohort(at, 1, 5))
    silent = FakeUploads({}, orders.starts[0], at.layout, orders.origin, SIZES)
    told = made.tell(at, state, orders, silent)
    assert told.state.round == 2 and told.then is not None and told.then.stream == SURVEY


def test_nobody_answers_and_nothing_changes_but_the_round():
    made, at = method(grouping=survey(), aggregate=Mean(momentum=0.5)), world(IDS, D)
    state = finish(made, at, made.init(at, START), Clients(at)).state
    orders = made.ask(at, state, np.array(IDS[:2]))
    after = made.tell(at, state, orders, FakeUploads({}, START, at.layout)).state
    assert after.round == 1 and digest(after.models) == digest(state.models) and after.groups == state.groups


def served(made, ids, rounds=3):
    at = world(IDS, D, truth=FAMILY)
    state, _, _ = run(made, rounds)
    return state, made.serve(at, state, np.array(ids))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_is_served_where_clients_choose(share):
    state, out = served(method(EveryGroup(share=share), Oracle(), expert=Zero()), [*IDS[:2], 99])
    for n, i in enumerate(IDS[:2]):
        own = state.models[state.groups.rows(state.groups.at(np.array([i])))[0]]
        want = own if share == 0 else np.float32(share) * state.expert + np.float32(1 - share) * own
        assert np.array_equal(out.models[out.receives[n]], want)
        assert np.array_equal(out.models[out.group[n]], own)
    assert np.array_equal(out.models[out.receives[2]], state.expert)  # 99 was never seen
    assert np.array_equal(out.models[out.expert], state.expert)
    assert np.array_equal(out.models[out.average], state.average)


def test_what_is_served_where_clients_do_not_choose():
    state, out = served(method(FromGroup(), Oracle()), [IDS[3], 99])
    assert np.array_equal(out.models[out.receives[0]], state.models[1])
    assert np.array_equal(out.models[out.receives[1]], state.average) and out.expert is None
    state, out = served(method(FromExpert(), Oracle(), expert=Zero()), [IDS[3], 99])
    assert all(np.array_equal(out.models[row], state.expert) for row in out.receives)
    assert np.array_equal(out.models[out.group[0]], state.models[1])
