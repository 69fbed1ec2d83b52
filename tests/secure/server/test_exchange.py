"""Whole rounds: the right sums and cosines, whoever drops out and wherever; or no sum, and why."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from secure_bed import REFERENCE, SECTIONS, START, Federation, Meddler, changed, read, stream

from disue.secure.client.choice import draw, truthful
from disue.secure.client.local import Inputs, Memory, Policy, Received
from disue.secure.client.state import Aborted, Closed
from disue.secure.server.exchange import Exchange, Sum
from disue.secure.server.state import Failed, Gone, Refused
from disue.secure.wire.codec import decode
from disue.secure.wire.estimate import cosines, cosines_of_bits
from disue.secure.wire.hashes import vector_hash
from disue.secure.wire.messages import Unmask
from disue.secure.wire.names import (
    CellTooSmall,
    GroupTooSmall,
    LeaderMissing,
    LotBroken,
    SecondSum,
    StaticBudgetSpent,
    TooFewAlive,
    WrongContext,
    ZeroUpdate,
)
from disue.secure.wire.opening import (
    ALL_STARTS,
    ASSIGN,
    BITS,
    CONTRIBUTORS,
    EXTRA,
    FRESH,
    LABELS,
    MOMENT_COUNTS,
    MOMENT_SUMS,
    SKETCH,
    STATIC,
    Section,
)

GROUPS = {4: [0, 2, 4, 6, 8], 9: [1, 3, 5, 7, 9]}


def close_to(one: Sum, expected: np.ndarray) -> None:
    """As near as fixed point allows: half a step of 2^−32 for each who is in the sum."""
    np.testing.assert_allclose(np.concatenate(one.sections), expected, rtol=0, atol=one.alive.size * 2.0**-33)


def failures(exchange: Exchange) -> list[type]:
    return [type(event.refusal) for event in exchange.events if isinstance(event, Failed)]


def at_rest(fed: Federation, whom: list[int]) -> None:
    """After a round nobody has a key of it left."""
    for index in whom:
        assert fed.parties[index].state.round is None, index


def test_a_round_gives_the_sums_and_the_cosines():
    fed = Federation(8)
    exchange = fed.exchange(fed.open(SKETCH))
    assert exchange.open().tolist() == list(range(8))
    present, (sketches,) = exchange.sketches()
    assert present.tolist() == list(range(8)) and sketches.shape == (8, 256)
    unit = fed.updates / np.linalg.norm(fed.updates, axis=1, keepdims=True)
    rho = unit @ unit.T
    assert np.abs(cosines(sketches) - rho).max() < 4 * np.max(1 - rho**2) * math.sqrt(1 / 256 + 1 / 7)
    groups = {4: [0, 2, 4, 6], 9: [1, 3, 5, 7]}
    sums = exchange.sums(groups)
    for number, members in groups.items():
        assert sums[number].alive.tolist() == members
        close_to(sums[number], fed.expected(members))
    assert all(isinstance(party.events[-1], Closed) for party in fed.parties.values())
    assert failures(exchange) == []
    at_rest(fed, list(range(8)))


def test_signs_give_the_angles():
    fed = Federation(5)
    exchange = fed.exchange(replace(fed.open(SKETCH, k=4096), similarity=BITS))
    exchange.open()
    present, (bits,) = exchange.sketches()
    assert bits.shape == (5, 512)
    unit = fed.updates / np.linalg.norm(fed.updates, axis=1, keepdims=True)
    # 5 standard deviations of the signs, and the collisions of 7 coordinates in 1024 buckets, which are none here.
    assert np.abs(cosines_of_bits(bits, 4096) - unit @ unit.T).max() < 5 * 1.57 / 64
    assert present.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("consistency", [True, False])
@pytest.mark.parametrize("stage", ["keys", "sketch", "shares", "masked", "alive", "unmask"])
def test_up_to_three_of_ten_may_drop_at_any_stage(stage: str, consistency: bool):
    if stage == "unmask" and not consistency:
        pytest.skip("ALIVE and UNMASK are one step then")
    fed = Federation(10, Policy(consistency=consistency))
    lost = [1, 3] if stage == "keys" else [0, 1, 3]
    exchange = fed.exchange(fed.open(SKETCH, consistency=consistency), dropouts={stage: lost})
    exchange.open()
    if stage == "sketch":
        present, _ = exchange.sketches()
        assert present.tolist() == [2, 4, 5, 6, 7, 8, 9]
    there = {number: [i for i in members if i not in lost] for number, members in GROUPS.items()}
    asked = there if stage in ("keys", "sketch") else GROUPS
    if stage != "sketch":
        exchange.sketches()
    sums = exchange.sums(asked)
    assert failures(exchange) == []
    for number in GROUPS:
        members = GROUPS[number] if stage in ("alive", "unmask") else there[number]
        assert sums[number].alive.tolist() == members
        close_to(sums[number], fed.expected(members))
    assert {event.who for event in exchange.events if isinstance(event, Gone)} == set(lost)
    at_rest(fed, [index for index in range(10) if index not in lost])


def test_a_leader_that_drops_costs_the_attempt_and_no_more():
    fed = Federation(10)
    exchange = fed.exchange(fed.open(SKETCH), dropouts={"seed": [3, 5]})
    assert exchange.open().tolist() == [0, 1, 2, 4, 6, 7, 8, 9]
    assert (exchange.round.attempt, failures(exchange)) == (1, [LeaderMissing])
    assert exchange.sketches()[0].tolist() == [0, 1, 2, 4, 6, 7, 8, 9]
    sums = exchange.sums({0: [0, 1, 2, 4]})
    close_to(sums[0], fed.expected([0, 1, 2, 4]))
    assert fed.parties[0].memory == Memory(version=1, round=1, attempt=1)


def unmasked(fed: Federation) -> list[tuple[int, int]]:
    """(sum, sender) of every UNMASK that left a client."""
    raw = [message for way, _, message in fed.kept.messages if way == b"u"]
    return [(m.header.sum, m.header.sender) for m in map(decode_big, raw) if isinstance(m.body, Unmask)]


def decode_big(raw: bytes):
    return decode(raw, masked=10**6)


def test_below_the_floor_nothing_is_unmasked():
    fed = Federation(10)
    exchange = fed.exchange(fed.open(), dropouts={"masked": [0, 2, 4]})
    exchange.open()
    sums = exchange.sums(GROUPS)
    assert list(sums) == [9] and failures(exchange) == [TooFewAlive]
    close_to(sums[9], fed.expected(GROUPS[9]))
    assert {sum_ for sum_, _ in unmasked(fed)} == {1}
    at_rest(fed, [1, 3, 5, 6, 7, 8, 9])


@pytest.mark.parametrize("stage", ["masked", "alive", "unmask"])
def test_with_fewer_holders_than_open_a_secret_there_is_no_sum(stage: str):
    fed = Federation(10)
    exchange = fed.exchange(fed.open(), dropouts={stage: [0, 1, 2, 3]})
    exchange.open()
    assert exchange.sums(GROUPS) == {}
    assert failures(exchange) == [TooFewAlive, TooFewAlive]
    assert len(unmasked(fed)) == (12 if stage == "unmask" else 0)  # six shares of each secret: one too few


def test_without_a_quorum_there_is_no_round():
    fed = Federation(6)
    exchange = fed.exchange(fed.open(quorum=5), dropouts={"keys": [1, 2]})
    with pytest.raises(TooFewAlive):
        exchange.open()
    at_rest(fed, [0, 3, 4, 5])


def test_a_client_without_a_direction_is_absent_from_the_grouping_only():
    fed = Federation(6)
    fed.updates[2] = 0
    exchange = fed.exchange(fed.open(SKETCH))
    exchange.open()
    present, _ = exchange.sketches()
    assert present.tolist() == [0, 1, 3, 4, 5]
    gone = [event for event in exchange.events if isinstance(event, Gone)]
    assert [(event.who, type(event.refusal)) for event in gone] == [(2, ZeroUpdate)]
    close_to(exchange.sums({0: [0, 1, 3, 4, 5]})[0], fed.expected([0, 1, 3, 4, 5]))


def test_one_set_of_sums_a_round():
    fed = Federation(8)
    exchange = fed.exchange(fed.open())
    exchange.open()
    with pytest.raises(GroupTooSmall):
        exchange.sums({0: [0, 1]})
    first = exchange.sums({0: [0, 1, 2], 1: [3, 4, 5]})
    assert exchange.sums({1: [3, 4, 5], 0: [2, 1, 0]})[0].alive.tolist() == first[0].alive.tolist()
    with pytest.raises(SecondSum):
        exchange.sums({0: [0, 1, 2, 3]})


def test_cells_of_a_group_and_a_start_have_a_floor():
    fed = Federation(8, Policy(min_cell=3))
    other = vector_hash(2 * START)
    cohort = tuple((index, int(index in (0, 1, 2, 7))) for index in range(8))
    starts = (vector_hash(START), other)
    for index, start in cohort:
        found = Received(fed.open().layout, vector_hash(REFERENCE), (starts[start],))
        fed.parties[index] = fed.party(index, received=lambda opened, found=found: found)
    exchange = fed.exchange(fed.open(starts=starts, cohort=cohort, min_cell=3))
    exchange.open()
    with pytest.raises(CellTooSmall):
        exchange.sums({0: [0, 1, 2, 4, 5]})
    assert exchange.sums({0: [0, 1, 2, 3, 4, 5]})[0].alive.size == 6


def test_choices_and_sums_under_what_was_reported():
    fed = Federation(6)
    starts = (vector_hash(START), vector_hash(2 * START), vector_hash(3 * START))
    received = Received(fed.open().layout, vector_hash(REFERENCE), starts)

    def inputs(index: int) -> Inputs:
        """A client that trains from the start that it reported: its update says which."""
        return Inputs(sections=lambda reported: (np.ones(1), np.ones(1), np.full(7, float(reported))), choice=index % 3)

    for index in range(6):
        fed.parties[index] = fed.party(index, received=lambda _: received, inputs=lambda _, i=index: inputs(i))
    opened = fed.open(similarity=ASSIGN, starts=starts, cohort=tuple((index, ALL_STARTS) for index in range(6)))
    exchange = fed.exchange(opened)
    exchange.open()
    present, choices = exchange.choices()
    assert present.tolist() == [0, 1, 2, 3, 4, 5] and choices.tolist() == [0, 1, 2, 0, 1, 2]
    sums = exchange.sums({0: [0, 3, 1], 2: [2, 4, 5]})
    assert sums[0].sections[2].tolist() == [1.0] * 7 and sums[2].sections[2].tolist() == [5.0] * 7

    noisy = fed.exchange(replace(opened, epsilon=0.5), number=2)
    noisy.open()
    first = noisy.choices()[1]
    again = fed.exchange(replace(opened, epsilon=0.5), number=3)
    again.open()
    assert again.choices()[1].tolist() == first.tolist()  # the same truth, the same answer
    assert all(len(party.memory.choices) == 1 for party in fed.parties.values())


def test_randomised_response_has_the_stated_probabilities():
    random = stream("choice")
    n, epsilon, among = 20_000, 1.2, 4
    counts = np.bincount([draw(2, among, epsilon, random) for _ in range(n)], minlength=among)
    true, other = truthful(among, epsilon)
    assert true == pytest.approx(math.exp(1.2) / (math.exp(1.2) + 3)) and true + 3 * other == pytest.approx(1)
    expected = n * np.array([other, other, true, other])
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert {draw(1, 3, 800.0, random) for _ in range(50)} == {1}


CLASSES, FEATURES = 4, 3
LOT_SECTIONS = (
    Section(CONTRIBUTORS, STATIC, CLASSES, 0, 1.0),
    Section(LABELS, STATIC, CLASSES, 0, 1000.0),
    Section(MOMENT_COUNTS, STATIC, CLASSES, 0, 1000.0),
    Section(MOMENT_SUMS, STATIC, CLASSES * FEATURES, 24, 500.0),
)


def lots(n: int = 14, **policy: int) -> tuple[Federation, np.ndarray]:
    """Clients with class counts; class 3 is known to two of the first seven only."""
    fed = Federation(n, Policy(**policy))
    counts = np.random.default_rng(5).integers(1, 50, (n, CLASSES)).astype(float)
    counts[2:7, 3] = 0

    def inputs(index: int) -> Inputs:
        own = counts[index]
        sums = np.repeat(own, FEATURES) * np.tile([0.5, -1.0, 2.0], CLASSES)
        return Inputs(sections=((own > 0).astype(float),), second=lambda seen: (own, own, sums))

    for index in range(n):
        fed.parties[index] = fed.party(index, inputs=lambda opened, index=index: inputs(index))
    return fed, counts


LOTS = {0: list(range(7)), 1: list(range(7, 14))}


def test_static_sums_leave_out_classes_of_few_contributors():
    fed, counts = lots()
    exchange = fed.exchange(fed.open(sections=LOT_SECTIONS, passes=2))
    exchange.open()
    first = exchange.sums(LOTS)
    second = exchange.second()
    for lot, members in LOTS.items():
        assert first[lot].sections[0].tolist() == (counts[members] > 0).sum(axis=0).tolist()
        expected = counts[members].sum(axis=0)
        if lot == 0:
            assert first[lot].sections[0][3] == 2
            expected[3] = 0
        labels, moments, sums = second[lot].sections
        assert labels.tolist() == moments.tolist() == expected.tolist()
        np.testing.assert_allclose(sums, np.repeat(expected, FEATURES) * np.tile([0.5, -1.0, 2.0], CLASSES))
    at_rest(fed, list(range(14)))
    assert all(len(party.memory.lots) == 1 for party in fed.parties.values())


@pytest.mark.parametrize("stage", ["shares", "masked", "second"])
def test_a_lot_is_summed_whole_or_not_at_all(stage: str):
    fed, _ = lots()
    exchange = fed.exchange(fed.open(sections=LOT_SECTIONS, passes=2), dropouts={stage: [2]})
    exchange.open()
    exchange.sums(LOTS)
    assert list(exchange.second()) == [1] and failures(exchange) == [LotBroken]
    assert (0 in exchange.sums(LOTS)) == (stage == "second")
    at_rest(fed, [index for index in range(14) if index != 2])


def test_a_client_answers_for_two_lots_and_no_third():
    fed, _ = lots(static_releases=2)
    opened = fed.open(sections=LOT_SECTIONS, passes=2)
    recut = [
        LOTS,
        LOTS,  # the same lot again tells nothing new
        {0: [*range(6), 13], 1: [6, *range(7, 13)]},
        {0: [*range(5), 12, 13], 1: [5, 6, *range(7, 12)]},
    ]
    for number, groups in enumerate(recut, start=1):
        exchange = fed.exchange(opened, number=number)
        exchange.open()
        exchange.sums(groups)
        assert len(exchange.second()) == (2 if number < 4 else 0)
    refused = [event.refusal for event in exchange.events if isinstance(event, Gone)]
    assert {type(refusal) for refusal in refused} == {StaticBudgetSpent}


def test_a_further_vector_is_summed_beside_the_update():
    fed = Federation(5)
    sections = (*SECTIONS, Section(EXTRA, FRESH, 2, 32, 8.0), Section(EXTRA, FRESH, 3, 20, 4.0))
    for index in range(5):
        more = (np.full(2, index / 8), np.full(3, -index / 4))
        base = fed.inputs(index)
        full = Inputs(base.slices, (*base.sections, *more))  # type: ignore[misc]
        fed.parties[index] = fed.party(index, inputs=lambda opened, full=full: full)
    exchange = fed.exchange(fed.open(sections=sections))
    exchange.open()
    one = exchange.sums({0: list(range(5))})[0]
    assert one.sections[3].tolist() == [1.25] * 2 and one.sections[4].tolist() == [-2.5] * 3


def test_more_than_64_clients_have_chosen_holders_and_partners():
    fed = Federation(70)
    exchange = fed.exchange(fed.open(SKETCH, k=8, m=64), dropouts={"masked": [3, 11, 40]})
    assert exchange.open().size == 70
    assert len(exchange.round.led_by) == 16
    assert exchange.sketches()[0].size == 70
    sums = exchange.sums({0: list(range(70))})
    assert len(exchange.round.holders) == 64
    alive = [index for index in range(70) if index not in (3, 11, 40)]
    close_to(sums[0], fed.expected(alive))
    at_rest(fed, alive)


def test_what_a_round_costs_is_counted_by_phase():
    fed = Federation(5)
    exchange = fed.exchange(fed.open(SKETCH))
    exchange.open()
    exchange.sketches()
    exchange.sums({0: list(range(5))})
    assert set(exchange.cost) == {"keys", "seed", "sketch", "grouping", "shares", "masks", "unmask"}
    total = sum(cost.up + cost.down for cost in exchange.cost.values())
    assert total == sum(len(message) for _, _, message in fed.kept.messages)
    assert exchange.cost["sketch"].up == 5 * (64 + 16 + 4 + 4 + 512 + 64)
    assert exchange.cost["masks"].up == 5 * (64 + 8 + 9 * 8 + 64)
    assert set(fed.crowd.seconds) >= {"keys", "seed", "sketch", "shares", "masks", "unmask"}


def test_refusals_and_aborts_are_told_apart():
    fed = Federation(5)
    exchange = fed.exchange(fed.open(min_group=3, quorum=3))
    fed.parties[4] = fed.party(4, policy=Policy(min_group=4))
    fed.crowd.parties[4] = fed.parties[4]  # type: ignore[index]
    assert exchange.open().tolist() == [0, 1, 2, 3]
    assert [event.who for event in exchange.events if isinstance(event, Gone)] == [4]
    assert not any(isinstance(event, Refused) for event in exchange.events)
    assert isinstance(fed.parties[4].events[0], Aborted)


@pytest.mark.parametrize("stage", ["open", "sketches", "sums"])
def test_a_round_that_is_closed_leaves_no_keys(stage: str):
    fed = Federation(6)
    exchange = fed.exchange(fed.open(SKETCH))
    exchange.open()
    if stage != "open":
        exchange.sketches()
    if stage == "sums":
        exchange.sums({0: list(range(6))})
    sent = len(fed.kept.messages)
    exchange.close()
    at_rest(fed, list(range(6)))
    assert len(fed.kept.messages) == sent + (0 if stage == "sums" else 6)
    assert all(isinstance(party.events[-1], Closed if stage == "sums" else Aborted) for party in fed.parties.values())
    exchange.close()
    assert len(fed.kept.messages) == sent + (0 if stage == "sums" else 6)


def test_another_order_of_the_same_clients_gives_the_same_sums_to_the_bit():
    """Roster positions, keys and masks are others; integers do not care."""
    fed, other = Federation(7), Federation(7)
    order = [3, 6, 0, 2, 5, 1, 4]
    other.weights, other.updates = fed.weights[order], fed.updates[order]
    totals = []
    for one, groups in ((fed, {0: [0, 1, 2], 1: [3, 4, 5, 6]}), (other, {0: [2, 5, 3], 1: [0, 1, 4, 6]})):
        exchange = one.exchange(one.open(), dropouts={"masked": [6 if one is fed else 1]})
        exchange.open()
        sums = exchange.sums(groups)
        totals.append([sums[number].total.tolist() for number in (0, 1)])
    assert totals[0] == totals[1]


def test_a_roster_of_a_thousand_is_no_matter():
    """A cohort is a few of many; indices are roster indices throughout."""
    fed = Federation(1000)
    cohort = (17, 256, 300, 999)
    exchange = fed.exchange(fed.open(SKETCH, cohort=tuple((index, 0) for index in cohort)))
    assert exchange.open().tolist() == list(cohort)
    assert exchange.sketches()[0].tolist() == list(cohort)
    close_to(exchange.sums({3: cohort})[3], fed.expected(cohort))


def test_members_who_are_told_other_contributors_are_not_summed_with_the_rest():
    """The second pass is bound to what CLOSE said: a lie to one of them is a vector in another context."""
    fed, _ = lots(7)
    exchange = fed.exchange(fed.open(sections=LOT_SECTIONS, passes=2))

    def down(index: int, message: bytes) -> list[bytes]:
        lie = index == 4 and message[5] == 17 and read(message).header.pass_ == 0
        return [changed(message, counts=(7, 7, 7, 7))] if lie else [message]

    exchange.wire = Meddler(fed.crowd, down)
    exchange.open()
    exchange.sums({0: range(7)})
    assert exchange.second() == {} and failures(exchange) == [LotBroken]
    refused = [event for event in exchange.events if isinstance(event, Refused)]
    assert [(event.sender, type(event.refusal)) for event in refused] == [(4, WrongContext)]
