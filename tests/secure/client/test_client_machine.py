"""What a client refuses, by name: every lie that a server, or another client, may tell it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from secure_bed import SECTIONS, Federation, Meddler, a_round, changed, identity, read

from disue.secure.client import machine
from disue.secure.client.local import Inputs, Memory, Own, Policy
from disue.secure.client.state import Aborted, Closed
from disue.secure.server.state import Gone
from disue.secure.wire import names
from disue.secure.wire.codec import encode
from disue.secure.wire.header import SERVER, Header
from disue.secure.wire.messages import NAMES, Abort, AliveProof, Sealed
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import FRESH, LABELS, MOMENT_SECOND, SKETCH, STATIC, Section

OPEN, KEYS, LIST, SEED, RELAY, SKETCHED, GROUPS = 2, 3, 4, 5, 6, 7, 9
SHARES, SHARES_RELAY, MASKED, ALIVE, ALIVE_SIG, PROOF, UNMASK, CLOSE = 10, 11, 12, 13, 14, 15, 16, 17
ALL = {0: (0, 1, 2, 3, 4, 5)}


def refused(
    kind: int,
    change: Callable[[Federation, bytes], bytes | list[bytes]],
    fed: Federation | None = None,
    similarity: int = SKETCH,
    groups: dict[int, tuple[int, ...]] = ALL,
    **opened: object,
) -> Refusal:
    """What client 0 of six makes of a message of a kind that was changed on its way; it ends without keys."""
    fed = fed or Federation(6)
    victim = fed.parties[0]

    def down(index: int, message: bytes) -> list[bytes]:
        if index != 0 or message[5] != kind:
            return [message]
        found = change(fed, message)
        return found if isinstance(found, list) else [found]

    opening = fed.open(similarity, **opened)
    exchange = fed.exchange(opening)
    exchange.wire = Meddler(fed.crowd, down)
    a_round(fed, exchange, groups)
    assert victim.state.round is None
    first = next(event for event in victim.events if isinstance(event, Aborted))
    told = [event.refusal.name for event in exchange.events if isinstance(event, Gone) and event.who == 0]
    assert told in ([first.refusal.name], ["Timeout"], [])  # what it told the server, if it could tell
    return first.refusal


def body(**fields: object) -> Callable[[Federation, bytes], bytes]:
    """A change of fields of the body, by value or by a function of the old one."""

    def change(fed: Federation, raw: bytes) -> bytes:
        old = read(raw).body
        new = {name: value(getattr(old, name)) if callable(value) else value for name, value in fields.items()}
        return changed(raw, **new)

    return change


def head(**fields: object) -> Callable[[Federation, bytes], bytes]:
    return lambda fed, raw: changed(raw, header=fields)


def at(offset: int, value: int) -> Callable[[Federation, bytes], bytes]:
    return lambda fed, raw: raw[:offset] + bytes([value]) + raw[offset + 1 :]


def test_an_honest_round_is_not_refused():
    fed = Federation(6)
    assert a_round(fed, fed.exchange(fed.open(SKETCH)))
    assert all([type(event) for event in party.events] == [Closed] for party in fed.parties.values())


@pytest.mark.parametrize("kind", [OPEN, LIST, RELAY, GROUPS, SHARES_RELAY, ALIVE, PROOF, CLOSE], ids=NAMES.get)
def test_every_message_must_be_well_formed_and_of_this_round(kind: int):
    assert type(refused(kind, lambda fed, raw: raw[:-1])) is names.Malformed
    assert type(refused(kind, lambda fed, raw: raw + b"\0")) is names.Malformed
    assert type(refused(kind, at(0, 0))) is names.Malformed
    assert type(refused(kind, at(4, 2))) is names.WrongVersion
    assert type(refused(kind, lambda fed, raw: raw + bytes(5 * 2**20))) is names.TooLarge
    if kind != OPEN:
        assert type(refused(kind, head(attempt=1))) is names.WrongRound
        assert type(refused(kind, head(context=bytes(32)))) is names.WrongContext
        opened = lambda fed, raw: changed(fed.kept.messages[0][2], min_group=4)  # noqa: E731
        assert type(refused(kind, opened)) is names.Replay


def test_an_opening_of_another_roster_or_cohort_is_refused():
    assert type(refused(OPEN, body(roster=bytes(32)))) is names.WrongRoster
    assert type(refused(OPEN, head(context=bytes(32)))) is names.WrongRoster
    assert type(refused(OPEN, body(cohort=lambda old: old[1:]))) is names.NotInRoster
    assert type(refused(OPEN, body(cohort=lambda old: (*old, (6, 0))))) is names.NotInRoster
    stale = Federation(6)
    stale.parties[0] = stale.party(0, memory=Memory(version=2))
    assert type(refused(OPEN, lambda fed, raw: raw, stale)) is names.StaleRoster
    stranger = Federation(6)
    stranger.parties[0] = stranger.party(0, identity=identity(77))
    assert type(refused(OPEN, lambda fed, raw: raw, stranger)) is names.NotInRoster


@pytest.mark.parametrize("memory", [Memory(1, 1, 0), Memory(1, 1, 3), Memory(1, 2, 0)])
def test_an_opening_that_is_not_later_than_the_last_is_a_replay(memory: Memory):
    fed = Federation(6)
    fed.parties[0] = fed.party(0, memory=memory)
    assert type(refused(OPEN, lambda fed, raw: raw, fed)) is names.Replay
    assert fed.parties[0].memory == memory


@pytest.mark.parametrize(
    ("policy", "opened"),
    [
        (Policy(min_group=4), {}),
        (Policy(min_group=1), {"min_group": 2}),  # three is the floor whatever the policy
        (Policy(min_cell=2), {}),
        (Policy(quorum=4), {}),
        (Policy(quorum=0), {"quorum": 1}),
        (Policy(), {"consistency": False}),
        (Policy(), {"sections": (*SECTIONS, Section(LABELS, FRESH, 4, 0, 9.0))}),
        (Policy(), {"sections": (*SECTIONS, Section(MOMENT_SECOND, FRESH, 4, 20, 9.0))}),
        (Policy(), {"cohort": ((0, 0), (1, 0))}),
    ],
)
def test_a_round_weaker_than_the_policy_is_refused(policy: Policy, opened: dict):
    fed = Federation(6)
    fed.parties[0] = fed.party(0, policy=policy)
    assert type(refused(OPEN, body(**opened), fed)) is names.PolicyTooWeak
    assert fed.parties[0].memory.round == -1


def test_another_model_than_came_is_refused():
    assert type(refused(OPEN, body(layout=bytes(32)))) is names.WrongLayout
    assert type(refused(OPEN, body(reference=bytes(32)))) is names.WrongReference
    assert type(refused(OPEN, body(starts=(bytes(32),)))) is names.WrongStart


def test_sections_whose_sum_could_wrap_are_refused():
    """6 · 8 · weight · 2^32 < 2^63 asks for weights below 2^25.4."""
    fits = (replace(SECTIONS[0], bound=2.0**25), *SECTIONS[1:])
    fed = Federation(6)
    assert a_round(fed, fed.exchange(fed.open(sections=fits)))
    wide = (replace(SECTIONS[0], bound=2.0**26), *SECTIONS[1:])
    assert type(refused(OPEN, body(sections=wide))) is names.OverflowPossible


def test_lists_of_keys_that_lie_are_refused():
    def edit(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Callable[[Federation, bytes], bytes]:
        return body(messages=change)

    flipped = lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])  # noqa: E731
    assert type(refused(LIST, edit(lambda m: (m[0], flipped(m[1]), *m[2:])))) is names.BadSignature
    assert type(refused(LIST, edit(lambda m: (m[0], m[0], *m[2:])))) is names.Duplicate
    assert type(refused(LIST, edit(lambda m: (m[1], m[0], *m[2:])))) is names.Malformed
    assert type(refused(LIST, edit(lambda m: m[1:]))) is names.NotInRoster
    assert type(refused(LIST, edit(lambda m: m[:2]))) is names.TooFewAlive
    assert type(refused(LIST, edit(lambda m: m[:3]), quorum=4)) is names.TooFewAlive
    sign = lambda raw, who, **more: changed(raw, identity(who), **more)  # noqa: E731
    assert type(refused(LIST, edit(lambda m: (m[0], sign(m[1], 2), *m[2:])))) is names.BadSignature
    other_round = edit(lambda m: (m[0], sign(m[1], 1, header={"round": 0}), *m[2:]))
    assert type(refused(LIST, other_round)) is names.WrongRound
    elsewhere = edit(lambda m: (m[0], sign(m[1], 1, header={"context": bytes(32)}), *m[2:]))
    assert type(refused(LIST, elsewhere)) is names.WrongContext
    few = edit(lambda m: (m[0], sign(m[1], 1, masks=()), *m[2:]))
    assert type(refused(LIST, few)) is names.Malformed
    copied = edit(lambda m: (m[0], sign(m[1], 1, box=read(m[2]).body.box), *m[2:]))
    assert type(refused(LIST, copied)) is names.DuplicateKey
    mine = edit(lambda m: (m[0], sign(m[1], 1, masks=(read(m[0]).body.box,)), *m[2:]))
    assert type(refused(LIST, mine)) is names.DuplicateKey
    zero = edit(lambda m: (m[0], sign(m[1], 1, box=bytes(32)), *m[2:]))
    weak_key = refused(LIST, zero)
    assert type(weak_key) is names.WeakKey and weak_key.culprit == 1
    stranger = Federation(7)
    cohort = tuple((index, 0) for index in range(6))
    added = edit(lambda m: (*m[:5], sign(m[5], 6, header={"sender": 6})))
    assert type(refused(LIST, added, stranger, cohort=cohort)) is names.UnknownSender


def test_the_seed_comes_from_all_leaders_in_boxes_that_nobody_touched():
    def box(change: Callable[[Sealed], Sealed]) -> Callable[[Federation, bytes], bytes]:
        return body(boxes=lambda old: (old[0], change(old[1]), *old[2:]))

    left_out = refused(RELAY, body(boxes=lambda old: old[1:]))
    assert type(left_out) is names.LeaderMissing and left_out.culprit == 1
    touched = refused(RELAY, box(lambda old: replace(old, box=bytes(48))))
    assert type(touched) is names.BoxTampered and touched.culprit == 2
    assert type(refused(RELAY, box(lambda old: replace(old, salt=bytes(16))))) is names.BoxTampered
    more = body(boxes=lambda old: (Sealed(0, old[0].salt, old[0].box), *old))
    assert type(refused(RELAY, more)) is names.Malformed


def test_a_second_message_of_a_kind_is_refused_and_a_repeat_is_answered_alike():
    def again(fed: Federation, raw: bytes) -> list[bytes]:
        return [raw, changed(raw, boxes=read(raw).body.boxes[:-1])]

    assert type(refused(RELAY, again)) is names.UnexpectedMessage
    other = lambda fed, raw: [raw, changed(raw, groups=((0, (0, 1, 2)),))]  # noqa: E731
    assert type(refused(GROUPS, other)) is names.SecondSum


@pytest.mark.parametrize("kind", [OPEN, LIST, RELAY, GROUPS, SHARES_RELAY, ALIVE, PROOF], ids=NAMES.get)
def test_a_repeat_gets_the_same_bytes_and_changes_nothing(kind: int):
    fed = Federation(6)
    exchange = fed.exchange(fed.open(SKETCH))
    seen = []

    def down(index: int, message: bytes) -> list[bytes]:
        if index == 0 and message[5] == kind:
            answers = fed.parties[0].receive(message)
            state = fed.parties[0].state
            assert fed.parties[0].receive(message) == answers and fed.parties[0].state is state
            seen.append(answers)
        return [message]

    exchange.wire = Meddler(fed.crowd, down)
    sums = a_round(fed, exchange)
    assert len(seen) == 1 and len(seen[0]) == 1
    np.testing.assert_allclose(np.concatenate(sums[0].sections), fed.expected(range(6)), atol=1e-8)


def test_groups_below_a_floor_are_refused():
    small = body(groups=((0, (0, 1)), (1, (2, 3, 4, 5))))
    found = refused(GROUPS, small)
    assert type(found) is names.GroupTooSmall and found.what == (2, 3)
    others = body(groups=((0, (0, 1, 2)), (1, (4, 5))))  # not the own group, but somebody's
    assert type(refused(GROUPS, others)) is names.GroupTooSmall
    assert type(refused(GROUPS, body(groups=((0, (0, 1, 9)),)))) is names.UnknownSender
    assert type(refused(GROUPS, body(holders=(0, 1, 2)))) is names.PolicyTooWeak
    assert type(refused(GROUPS, lambda fed, raw: raw, sections=())) is names.UnexpectedMessage


def test_cells_are_counted_by_the_client_too():
    fed = Federation(6)
    fed.parties[0] = fed.party(0, policy=Policy(min_cell=2))
    alone = tuple((index, int(index == 5)) for index in range(6))
    start = fed.open().starts[0]
    opened = {"min_cell": 2, "starts": (start, start), "cohort": alone}
    together = body(groups=((0, (0, 1, 2, 3, 4, 5)),))
    assert type(refused(GROUPS, together, fed, groups={0: (0, 1, 2)}, **opened)) is names.CellTooSmall


def test_shares_that_do_not_open_or_leave_one_out_are_refused():
    touched = body(boxes=lambda old: (replace(old[0], box=bytes(len(old[0].box))), *old[1:]))
    found = refused(SHARES_RELAY, touched)
    assert type(found) is names.BoxTampered and found.culprit == 1
    swapped = body(boxes=lambda old: (replace(old[0], peer=1), replace(old[0], peer=2), *old[2:]))
    assert type(refused(SHARES_RELAY, swapped)) is names.BoxTampered
    alone = body(present=(0, 1), boxes=lambda old: old[:1])
    assert type(refused(SHARES_RELAY, alone)) is names.TooFewAlive
    without_me = body(present=(1, 2, 3))
    assert type(refused(SHARES_RELAY, without_me)) is names.Equivocation
    assert type(refused(SHARES_RELAY, body(present=(0, 1, 2, 9)))) is names.UnknownSender
    assert type(refused(SHARES_RELAY, body(boxes=lambda old: old[1:]))) is names.Malformed


def test_alive_sets_that_may_not_be_unmasked_are_refused():
    assert type(refused(ALIVE, body(members=(0, 1)))) is names.TooFewAlive
    assert type(refused(ALIVE, body(members=(1, 2, 3)))) is names.Equivocation
    assert type(refused(ALIVE, body(members=(0, 1, 2, 7)))) is names.UnknownSender
    second = lambda fed, raw: [raw, changed(raw, members=(0, 1, 2, 3))]  # noqa: E731
    both = refused(ALIVE, second)
    assert type(both) is names.BothShares and both.culprit == 4


def test_an_alive_set_that_others_did_not_see_is_not_unmasked():
    assert type(refused(PROOF, body(messages=lambda old: old[:4]))) is names.Equivocation
    assert type(refused(PROOF, body(messages=lambda old: (old[0], old[0], *old[2:])))) is names.Duplicate
    forged = body(messages=lambda old: (changed(old[0], identity(1)), *old[1:]))
    assert type(refused(PROOF, forged)) is names.BadSignature
    elsewhere = body(messages=lambda old: (changed(old[0], identity(0), {"sum": 1}), *old[1:]))
    assert type(refused(PROOF, elsewhere)) is names.WrongContext
    late = body(messages=lambda old: (changed(old[0], identity(0), {"round": 0}), *old[1:]))
    assert type(refused(PROOF, late)) is names.WrongRound


def test_halves_that_are_shown_different_sets_do_not_unmask():
    """Three holders see 0 … 4 alive, three see 0, 1, 2, 3, 5: no set has the five signatures that it takes."""
    fed = Federation(6)
    exchange = fed.exchange(fed.open())
    shown: dict[int, bytes] = {}
    signed = []

    def down(index: int, message: bytes) -> list[bytes]:
        if message[5] != ALIVE:
            return [message]
        shown[index] = message
        members = (0, 1, 2, 3, 4) if index in (0, 1, 4) else (0, 1, 2, 3, 5)
        signed.extend(fed.parties[index].receive(changed(message, members=members)))
        return []

    exchange.wire = Meddler(fed.crowd, down)
    assert a_round(fed, exchange) == {}
    assert [message[5] for message in signed] == [ALIVE_SIG] * 6
    proof = encode(replace(read(shown[0]).header, type=PROOF), AliveProof(tuple(signed)))
    for party in fed.parties.values():
        (abort,) = party.receive(proof)
        assert abort[5] == Abort.TYPE and type(party.events[-1].refusal) is names.Equivocation


def static(*members: int) -> Callable[[Federation, bytes], bytes]:
    return body(members=members)


def test_a_static_sum_over_a_part_of_a_lot_is_refused_by_its_members():
    fixed = tuple(replace(section, policy=STATIC) for section in SECTIONS)
    assert type(refused(ALIVE, static(0, 1, 2, 3, 4), sections=fixed)) is names.LotBroken
    part = body(present=(0, 1, 2, 3, 4), boxes=lambda old: old[:4])
    assert type(refused(SHARES_RELAY, part, sections=fixed)) is names.LotBroken
    assert type(refused(GROUPS, body(groups=((0, (0, 1, 2, 3, 4)),)), sections=fixed)) is names.GroupTooSmall


@pytest.mark.parametrize(
    ("update", "name"),
    [(np.nan, names.NonFinite), (np.inf, names.NonFinite), (8.1 * 1024, names.OutOfBound)],
)
def test_values_that_must_not_be_summed_are_refused(update: float, name: type[Refusal]):
    fed = Federation(6)
    sections = (np.ones(1), np.ones(1), np.full(7, update))
    fed.parties[0] = fed.party(0, inputs=lambda opened: Inputs((fed.updates[0],), sections))
    assert type(refused(SHARES_RELAY, lambda fed, raw: raw, fed)) is name


def test_an_abort_of_the_server_ends_the_round_and_one_of_another_context_is_refused():
    def abort(context: Callable[[bytes], bytes]) -> Callable[[Federation, bytes], bytes]:
        return lambda fed, raw: encode(Header(18, 1, 0, SERVER, context(raw[32:64])), Abort(30, 2))

    told = refused(RELAY, abort(lambda context: context))
    assert told.code == 30 and told.culprit == 2
    assert type(refused(RELAY, abort(lambda context: bytes(32)))) is names.WrongContext


def test_a_deadline_erases():
    fed = Federation(6)
    exchange = fed.exchange(fed.open(SKETCH), dropouts={"sketch": [0]})
    a_round(fed, exchange)
    party = fed.parties[0]
    assert party.state.round is not None
    party.give_up("sketch")
    assert party.state.round is None and type(party.events[-1].refusal) is names.Timeout
    party.give_up("sketch")
    assert len(party.events) == 1


def test_a_later_round_ends_the_one_that_stands():
    fed = Federation(6)
    a_round(fed, fed.exchange(fed.open(SKETCH), dropouts={"sketch": [0]}))
    before = fed.parties[0].state.round.secrets
    assert a_round(fed, fed.exchange(fed.open(SKETCH), number=2))[0].alive.size == 6
    assert before.box  # drawn for round 1 and never seen again
    assert fed.parties[0].memory.round == 2


def test_the_counter_is_stored_before_an_answer_leaves():
    fed = Federation(6)
    stored: list[Memory] = []
    fed.parties[0] = fed.party(0, remember=stored.append)
    order = []

    def up(index: int, message: bytes) -> list[bytes]:
        if index == 0:
            order.append((message[5], len(stored)))
        return [message]

    exchange = fed.exchange(fed.open())
    exchange.wire = Meddler(fed.crowd, up=up)
    a_round(fed, exchange)
    assert order[0] == (KEYS, 1) and stored == [Memory(1, 1, 0)]


def roster_state(**own: object) -> machine.State:
    fed = Federation(6)
    values = {"identity": fed.keys[0], "policy": Policy(), "random": bytes, "received": fed.received} | own
    return machine.start(Own(**values))  # type: ignore[arg-type]


AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
AUTHORITY_KEY = AUTHORITY.public_key().public_bytes_raw()


def outcome(state: machine.State, message: bytes) -> tuple[machine.State, str]:
    after, answers, event = machine.step(state, message)
    assert answers == []
    return after, event.refusal.name if isinstance(event, Aborted) else "stored"


def test_a_roster_comes_signed_and_never_older():
    fed = Federation(6)
    newer = replace(fed.roster, version=2)
    state = roster_state(authority=AUTHORITY_KEY)
    state, said = outcome(state, newer.message(AUTHORITY))
    assert said == "stored" and state.roster == newer and state.memory.version == 2
    assert outcome(state, newer.message(AUTHORITY))[1] == "stored"
    after, said = outcome(state, fed.roster.message(AUTHORITY))
    assert said == "StaleRoster" and after.roster == newer
    assert outcome(state, replace(newer, epoch=9).message(AUTHORITY))[1] == "StaleRoster"
    assert outcome(state, replace(newer, version=3).message(identity(1)))[1] == "BadSignature"
    gone = replace(newer, version=3, ids=newer.ids[1:], keys=newer.keys[1:])
    assert outcome(state, gone.message(AUTHORITY))[1] == "NotInRoster"
    twice = replace(newer, version=3, keys=(newer.keys[0], *newer.keys[:5]))
    assert outcome(state, twice.message(AUTHORITY))[1] == "DuplicateKey"
    few = replace(newer, version=3, ids=newer.ids[:2], keys=newer.keys[:2])
    assert outcome(state, few.message(AUTHORITY))[1] == "PolicyTooWeak"


def test_a_pinned_roster_is_the_one_that_was_pinned():
    fed = Federation(6)
    state = roster_state(pinned=fed.roster.hash)
    assert outcome(state, fed.roster.message())[1] == "stored"
    assert outcome(state, replace(fed.roster, epoch=1).message())[1] == "WrongRoster"
    assert outcome(state, fed.roster.message(AUTHORITY))[1] == "BadSignature"


def test_a_client_that_knows_no_authority_takes_no_roster():
    assert outcome(roster_state(), Federation(6).roster.message(AUTHORITY))[1] == "UnexpectedMessage"


def test_a_section_is_given_as_long_as_it_is():
    fed = Federation(6)
    fed.parties[0] = fed.party(0, inputs=lambda opened: Inputs(sections=(np.ones(1), np.ones(1), np.ones(6))))
    with pytest.raises(ValueError, match="7 numbers"):
        a_round(fed, fed.exchange(fed.open()))
