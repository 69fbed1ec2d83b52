"""The client's state machine: pure steps from a state and a message, or a local event, to a state and answers.

    IDLE      ROSTER        stored
              ROUND_OPEN    checked against the own model, memory and policy; fresh keys       → KEYS
    KEYED     KEYS_LIST     everybody's signature; leaders seal their part of the sketch seed  → SEED
    TRAINING  Ready         local event
    TRAINED   SEED_RELAY    the sketch seed from all leaders                                   → SKETCH, SIGNS, CHOICE
    SKETCHED  GROUPS        floors, cells, lots, holders                                       → SHARES
    SUMMING   per sum and pass, see summing.py

A refusal, a deadline or an ABORT erases every key of the round; a repeat of a message, byte for byte, gets the answer
that it got before.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TypeAlias

from disue.secure.client import seed, summing
from disue.secure.client.choice import respond
from disue.secure.client.local import Memory, Own
from disue.secure.client.sketch import Sketcher, Streams
from disue.secure.client.state import (
    CLOSED,
    KEYED,
    MASKED,
    SKETCHED,
    SUMMING,
    TRAINED,
    TRAINING,
    Aborted,
    Closed,
    Deadline,
    Part,
    Ready,
    Round,
    Secrets,
    State,
)
from disue.secure.wire import boxes, hashes, rules
from disue.secure.wire.codec import LIMIT, Message, decode, encode
from disue.secure.wire.header import Header
from disue.secure.wire.messages import (
    NAMES,
    NOBODY,
    Abort,
    Alive,
    AliveProof,
    AnyBody,
    Choice,
    Close,
    Grouped,
    Keys,
    KeysList,
    Masked,
    RosterBody,
    Seed,
    SeedRelay,
    SharesRelay,
    Signs,
    Sketch,
)
from disue.secure.wire.names import (
    Duplicate,
    DuplicateKey,
    GroupTooSmall,
    LeaderMissing,
    Malformed,
    NotInRoster,
    OverflowPossible,
    PolicyTooWeak,
    Refusal,
    Replay,
    SecondSum,
    StaleRoster,
    StaticBudgetSpent,
    Timeout,
    TooFewAlive,
    UnexpectedMessage,
    UnknownSender,
    WrongContext,
    WrongLayout,
    WrongReference,
    WrongRoster,
    WrongRound,
    WrongStart,
    told,
)
from disue.secure.wire.opening import (
    ALL_STARTS,
    ASSIGN,
    BITS,
    NONE,
    OWN_START,
    SKETCH,
    STATIC,
    UNCHANGING,
    WEIGHTED,
    Open,
)
from disue.secure.wire.ring import fits
from disue.secure.wire.roster import FEWEST, Roster, load

Event: TypeAlias = Aborted | Closed | None
Step: TypeAlias = tuple[State, list[bytes], Event]

ACCEPTS = {
    KEYED: (KeysList.TYPE,),
    TRAINING: (Grouped.TYPE,),
    TRAINED: (SeedRelay.TYPE, Grouped.TYPE),
    SKETCHED: (Grouped.TYPE,),
    SUMMING: (SharesRelay.TYPE, Alive.TYPE, AliveProof.TYPE, Close.TYPE),
}


def start(own: Own, roster: Roster | None = None, memory: Memory | None = None) -> State:
    """A client at rest; the roster may also come as its first message."""
    memory = Memory() if memory is None else memory
    if roster is not None:
        memory = replace(memory, version=max(memory.version, roster.version))
    return State(own, roster, memory)


def wants(state: State, message: bytes) -> bool:
    """Whether this message can only be answered with inputs that are not there yet."""
    current = state.round
    if current is None or current.inputs is not None or len(message) < 64:
        return False
    if current.stage == TRAINING:
        return message[5] == SeedRelay.TYPE
    if current.stage != SUMMING or message[5] != SharesRelay.TYPE:
        return False
    part = current.parts.get(int.from_bytes(message[28:30], "little"))
    return part is not None and current.me in part.members


def step(state: State, given: bytes | Ready | Deadline) -> Step:
    """What follows from a message or an event. Nothing but refusals is caught: they cost the round."""
    if isinstance(given, Deadline):
        return _erased(state), [], Aborted(Timeout(given.stage)) if state.round is not None else None
    if isinstance(given, Ready):
        return _ready(state, given)
    digest = hashlib.sha256(given).digest()
    if state.round is not None and digest in state.round.answers:
        return state, _again(state, state.round, digest), None
    header: Header | None = None
    try:
        message = decode(given, limit=LIMIT)
        header = message.header
        after, answers, event = _dispatch(state, message)
    except Refusal as refusal:
        return _erased(state), _abort(state, header, refusal), Aborted(refusal)
    if after.round is not None:
        kept = {**after.round.answers, digest: _kept(answers)}
        after = replace(after, round=replace(after.round, answers=kept))
    return after, answers, event


def _kept(answers: list[bytes]) -> tuple[bytes, ...] | int:
    """What to keep for a repeat of the question: the answers, but of a masked vector the sum that it is for."""
    if answers and answers[0][5] == Masked.TYPE:
        return int.from_bytes(answers[0][28:30], "little")
    return tuple(answers)


def _again(state: State, current: Round, digest: bytes) -> list[bytes]:
    """The same bytes as before. A masked vector that was taken in, and its sum gone on, is not made again."""
    kept = current.answers[digest]
    if not isinstance(kept, int):
        return list(kept)
    part = current.parts[kept]
    return [summing.masked(state, current, part)] if part.stage == MASKED else []


def _dispatch(state: State, message: Message) -> Step:
    body, header = message.body, message.header
    if isinstance(body, RosterBody):
        return _roster(state, message)
    if isinstance(body, Open):
        return _open(state, message, body)
    current = state.round
    if current is None:
        if isinstance(body, Abort):
            return state, [], None
        raise UnexpectedMessage("IDLE", NAMES[header.type])
    if (header.round, header.attempt) != (current.number, current.attempt):
        raise WrongRound(header.round, header.attempt, current.number, current.attempt)
    if isinstance(body, Abort):
        if header.context not in (current.of_round, current.of_keys):
            raise WrongContext("ABORT")
        why = told(body.code, None if body.culprit == NOBODY else body.culprit)
        return _erased(state), [], Aborted(why)
    if isinstance(body, Grouped) and current.stage == SUMMING:
        raise SecondSum()
    if header.type not in ACCEPTS[current.stage]:
        raise UnexpectedMessage(current.stage, NAMES[header.type])
    if current.stage != SUMMING:
        if header.context != current.context:
            raise WrongContext(NAMES[header.type])
        if isinstance(body, KeysList):
            return _keys(state, current, message, body)
        if isinstance(body, SeedRelay):
            return _sketch(state, current, body)
        assert isinstance(body, Grouped)
        return _groups(state, current, message, body)
    after, memory, answers = summing.step(state, current, message)
    if all(part.stage == CLOSED for part in after.parts.values()):
        return replace(state, memory=memory, round=None), answers, Closed()
    return replace(state, memory=memory, round=after), answers, None


def _erased(state: State) -> State:
    return replace(state, round=None)


def _abort(state: State, header: Header | None, refusal: Refusal) -> list[bytes]:
    """The ABORT that says why, where the round, or the opening that is refused, is known."""
    current = state.round
    if current is not None:
        where = Header(Abort.TYPE, current.number, current.attempt, current.me, current.context)
    elif header is not None and header.type == Open.TYPE and state.roster is not None:
        if state.roster.keys.count(state.own.public) != 1:
            return []
        me = state.roster.keys.index(state.own.public)
        where = Header(Abort.TYPE, header.round, header.attempt, me, state.roster.hash)
    else:
        return []
    culprit = NOBODY if refusal.culprit is None else refusal.culprit
    return [encode(where, Abort(refusal.code, culprit), state.own.identity)]


def _roster(state: State, message: Message) -> Step:
    if state.round is not None:
        raise UnexpectedMessage(state.stage, "ROSTER")
    if state.own.authority is None and state.own.pinned is None:
        raise UnexpectedMessage("IDLE with a roster of its own", "ROSTER")
    roster = load(message.raw, authority=state.own.authority, pinned=state.own.pinned)
    if roster.version < state.memory.version:
        raise StaleRoster(roster.version, state.memory.version)
    if state.roster is not None and roster.version == state.roster.version and roster.hash != state.roster.hash:
        raise StaleRoster(roster.version, state.memory.version)
    if roster.keys.count(state.own.public) != 1:
        raise NotInRoster("roster")
    return replace(state, roster=roster, memory=replace(state.memory, version=roster.version)), [], None


def _open(state: State, message: Message, opened: Open) -> Step:
    """A later round ends the one that stands: the server has given it up."""
    header, roster, own = message.header, state.roster, state.own
    if roster is None or header.context != opened.roster or opened.roster != roster.hash:
        raise WrongRoster()
    if roster.version < state.memory.version:
        raise StaleRoster(roster.version, state.memory.version)
    if (header.round, header.attempt) <= (state.memory.round, state.memory.attempt):
        raise Replay(header.round, header.attempt)
    if roster.keys.count(own.public) != 1:
        raise NotInRoster("roster")
    me = roster.keys.index(own.public)
    if me not in opened.starts_of or opened.members[-1] >= len(roster):
        raise NotInRoster("cohort")
    _strong_enough(own, opened)
    _same_models(own, opened, me)
    for section in opened.sections:
        weight = opened.weight_bound() if section.kind in WEIGHTED else 1.0
        if not fits(len(opened.cohort), section.bound, weight, section.bits):
            raise OverflowPossible(section.name)
    draw = own.random
    secrets = Secrets(
        draw(32), tuple(draw(32) for _ in range(opened.passes)), tuple(draw(32) for _ in range(opened.passes))
    )
    of_round = hashes.ctx_round(roster.hash, header.round, header.attempt, bytes(message.body_bytes))
    keys = Keys(boxes.public_of(secrets.box), tuple(map(boxes.public_of, secrets.masks)))
    said = encode(Header(Keys.TYPE, header.round, header.attempt, me, of_round), keys, own.identity)
    current = Round(header.round, header.attempt, me, opened, of_round, secrets, said)
    return replace(state, memory=state.memory.opened(header.round, header.attempt), round=current), [said], None


def _strong_enough(own: Own, opened: Open) -> None:
    """The round against the own policy."""
    policy = own.policy
    weak = {
        "a cohort of fewer than 3": len(opened.cohort) < FEWEST,
        "min_group": opened.min_group < max(policy.min_group, FEWEST),
        "min_cell": opened.min_cell < policy.min_cell,
        "min_class": opened.passes == 2 and opened.min_class < policy.min_class,
        "quorum": opened.quorum < max(policy.quorum, FEWEST),
        "consistency": policy.consistency and not opened.consistency,
        "a static section that is summed as a fresh one": policy.lots
        and any(section.kind in UNCHANGING and section.policy != STATIC for section in opened.sections),
        "epsilon": opened.similarity == ASSIGN and opened.epsilon > policy.epsilon,
    }
    for what, is_so in weak.items():
        if is_so:
            raise PolicyTooWeak(what)


def _same_models(own: Own, opened: Open, me: int) -> None:
    """What the round lists against what came: two clients told different things must not mask together."""
    received = own.received(opened)
    if opened.layout != received.layout:
        raise WrongLayout()
    if opened.reference != received.reference:
        raise WrongReference()
    start = opened.starts_of[me]
    listed = opened.starts if start == ALL_STARTS else () if start == OWN_START else (opened.starts[start],)
    if tuple(received.starts) != listed:
        raise WrongStart()


def _keys(state: State, current: Round, message: Message, body: KeysList) -> Step:
    roster, opened = state.roster, current.opened
    assert roster is not None
    if len(body.messages) < max(opened.quorum, FEWEST):
        raise TooFewAlive(len(body.messages), max(opened.quorum, FEWEST))
    keys: dict[int, Keys] = {}
    seen: set[bytes] = set()
    last = -1
    for raw in body.messages:
        inner = decode(raw)
        found, who = inner.body, inner.header.sender
        if not isinstance(found, Keys):
            raise Malformed("keys")
        if who not in opened.starts_of:
            raise UnknownSender(who)
        if who == last:
            raise Duplicate(who)
        if who < last:
            raise Malformed("keys")
        last = who
        _same_round(inner.header, current, current.of_round)
        inner.verify(roster.keys[who])
        if len(found.masks) != opened.passes:
            raise Malformed("passes")
        for key in (found.box, *found.masks):
            if key in seen:
                raise DuplicateKey(who)
            seen.add(key)
        keys[who] = found
    if current.own_keys not in body.messages:
        raise NotInRoster("list of keys")
    of_keys = hashes.ctx_keys(current.of_round, bytes(message.body_bytes))
    after = replace(current, stage=TRAINING, keys=keys, of_keys=of_keys)
    led_by = rules.leaders(roster, current.of_round, tuple(keys))
    if opened.similarity not in (SKETCH, BITS) or current.me not in led_by:
        return replace(state, round=after), [], None
    part = state.own.random(seed.PART)
    sealed = seed.contribute(part, current.me, current.secrets.box, _box_keys(after), of_keys, state.own.random)
    after = replace(after, contribution=part)
    return replace(state, round=after), [_say(state, after, Seed(sealed))], None


def _same_round(header: Header, current: Round, context: bytes) -> None:
    """A message within a message is of this round and context too."""
    if (header.round, header.attempt) != (current.number, current.attempt):
        raise WrongRound(header.round, header.attempt, current.number, current.attempt)
    if header.context != context:
        raise WrongContext(NAMES[header.type])


def _box_keys(current: Round) -> dict[int, bytes]:
    return {who: keys.box for who, keys in current.keys.items()}


def _say(state: State, current: Round, body: AnyBody) -> bytes:
    header = Header(body.TYPE, current.number, current.attempt, current.me, current.context)
    return encode(header, body, state.own.identity)


def _ready(state: State, given: Ready) -> Step:
    """Inputs come once, after training or as late as they are needed."""
    current = state.round
    if current is None or current.stage == KEYED or current.inputs is not None:
        raise UnexpectedMessage(state.stage, "local inputs")
    stage = TRAINED if current.stage == TRAINING else current.stage
    return replace(state, round=replace(current, inputs=given.inputs, stage=stage)), [], None


def _sketch(state: State, current: Round, body: SeedRelay) -> Step:
    opened, inputs, roster = current.opened, current.inputs, state.roster
    assert inputs is not None and roster is not None
    if opened.similarity == NONE:
        raise UnexpectedMessage(current.stage, "SEED_RELAY")
    if opened.similarity == ASSIGN:
        return _choice(state, current, body)
    led_by = rules.leaders(roster, current.of_round, tuple(current.keys))
    expected = tuple(leader for leader in led_by if leader != current.me)
    got = tuple(box.peer for box in body.boxes)
    if got != expected:
        missing = [leader for leader in expected if leader not in got]
        raise LeaderMissing(missing[0]) if missing else Malformed("boxes")
    own = current.contribution or None
    keys, private = _box_keys(current), current.secrets.box
    shared = seed.derive(body.boxes, led_by, current.me, private, keys, current.of_keys, own)
    if len(inputs.slices) != len(opened.slices):
        raise ValueError(f"{len(opened.slices)} slices are sketched, {len(inputs.slices)} were given")
    said: Sketch | Signs
    sketchers = [sketcher(shared.streams(at), opened.k, opened.m) for at in range(len(opened.slices))]
    pairs = list(zip(sketchers, inputs.slices, strict=True))
    if opened.similarity == SKETCH:
        said = Sketch(shared.confirmation, tuple(made.sketch(update).astype("<i2").tobytes() for made, update in pairs))
    else:
        said = Signs(shared.confirmation, tuple(made.bits(update).tobytes() for made, update in pairs))
    after = replace(current, stage=SKETCHED)
    return replace(state, round=after), [_say(state, after, said)], None


_HELD: dict[tuple[Streams, int, int], Sketcher] = {}


def sketcher(streams: Streams, k: int, m: int) -> Sketcher:
    """The last few matrices are kept, so that clients simulated in one process draw each once."""
    key = (streams, k, m)
    if key not in _HELD:
        while len(_HELD) >= 4:
            del _HELD[next(iter(_HELD))]
        _HELD[key] = Sketcher(streams, k, m)
    return _HELD[key]


def _choice(state: State, current: Round, body: SeedRelay) -> Step:
    """The start with the lowest loss, by randomised response; the same truth always gets the same answer."""
    opened, inputs = current.opened, current.inputs
    assert inputs is not None
    if body.boxes:
        raise Malformed("boxes")
    if inputs.choice is None:
        raise ValueError("the round asks for a choice, and the inputs have none")
    memory, reported = respond(state.memory, inputs.choice, len(opened.starts), opened.epsilon, state.own.random)
    after = replace(current, stage=SKETCHED, reported=reported)
    answer = _say(state, after, Choice(reported, opened.epsilon))
    return replace(state, memory=memory, round=after), [answer], None


def _groups(state: State, current: Round, message: Message, body: Grouped) -> Step:
    opened, roster = current.opened, state.roster
    assert roster is not None
    rules.grouped(opened, tuple(current.keys), body)
    if body.holders != rules.holders(roster, current.of_keys, tuple(current.keys)):
        raise PolicyTooWeak("the set of share holders")
    if not opened.sections:
        raise UnexpectedMessage(current.stage, "GROUPS")
    mine = body.sum_of(current.me)
    if mine is not None:
        if opened.similarity != NONE and current.stage != SKETCHED:
            raise UnexpectedMessage(current.stage, "GROUPS")
        _lot(state, body.groups[mine][1], opened)
    holds = current.me in body.holders
    packed = bytes(message.body_bytes)
    parts = {
        at: Part(at, tuple(hashes.ctx_sum(current.of_keys, packed, at, n) for n in range(opened.passes)), members)
        for at, (_, members) in enumerate(body.groups)
        if holds or at == mine
    }
    after = replace(current, stage=SUMMING, groups=body, parts=parts)
    if mine is None:
        if not parts:
            return replace(state, round=None), [], Closed()
        return replace(state, round=after), [], None
    after, shares = summing.share(state, after, parts[mine])
    return replace(state, round=after), [shares], None


def _lot(state: State, members: tuple[int, ...], opened: Open) -> None:
    """A static sum is over a lot that this client knows, or over one of the few that it may yet join."""
    if not opened.static:
        return
    roster, memory, policy = state.roster, state.memory, state.own.policy
    assert roster is not None
    if len(members) < policy.min_lot:
        raise GroupTooSmall(len(members), policy.min_lot)
    lot = hashes.lot_hash([roster.ids[index] for index in members])
    if lot not in memory.lots and len(memory.lots) >= policy.static_releases:
        raise StaticBudgetSpent(len(memory.lots))
