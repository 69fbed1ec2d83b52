"""The server's state machine of one round: pure steps from a state and a message, or an event, to messages and events.

    OPEN       KEYS           all, or a deadline with a quorum                       → KEYS_LIST
    SEEDING    SEED           all leaders, or the attempt fails as `LeaderMissing`
    TRAINING   Trained        event of the driver                                    → SEED_RELAY
    SKETCHING  SKETCH, SIGNS  one seed confirmed by all; or CHOICE
    GROUPING   Group          event of the driver: what the method found             → GROUPS
    SUMMING    per sum and pass, see summing.py

Without sketches or choices GROUPING follows on OPEN. A refused message changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from disue.secure.server import summing
from disue.secure.server.state import (
    DONE,
    GROUPING,
    OPEN,
    SEEDING,
    SKETCHING,
    SUMMING,
    TRAINING,
    Deadline,
    Event,
    Failed,
    Gone,
    Group,
    Over,
    Refused,
    Round,
    Sum,
    Trained,
)
from disue.secure.wire import hashes, rules
from disue.secure.wire.boxes import shared
from disue.secure.wire.codec import LIMIT, Message, decode, encode
from disue.secure.wire.header import SERVER, Header
from disue.secure.wire.messages import (
    NAMES,
    NOBODY,
    OF_A_SUM,
    Abort,
    AnyBody,
    Choice,
    Grouped,
    Keys,
    KeysList,
    Sealed,
    Seed,
    SeedRelay,
    Signs,
    Sketch,
)
from disue.secure.wire.names import (
    REFUSALS,
    Duplicate,
    DuplicateKey,
    LeaderMissing,
    Malformed,
    Refusal,
    SecondSketch,
    SecondSum,
    SeedDisagreement,
    Timeout,
    TooFewAlive,
    UnexpectedMessage,
    UnknownSender,
    WrongContext,
    WrongRound,
    told,
)
from disue.secure.wire.opening import ASSIGN, BITS, NONE, SKETCH
from disue.secure.wire.roster import FEWEST

Outgoing: TypeAlias = list[tuple[int, bytes]]
Step: TypeAlias = tuple[Round, Outgoing, list[Event]]

ANY = bytes(range(32))  # a private key of nobody: with it a weak key shows itself
ANSWERS: dict[int, type[Sketch] | type[Signs] | type[Choice]] = {SKETCH: Sketch, BITS: Signs, ASSIGN: Choice}


def begin(current: Round) -> Outgoing:
    """ROUND_OPEN to the cohort."""
    header = Header(current.opened.TYPE, current.number, current.attempt, SERVER, current.roster.hash)
    return [(index, encode(header, current.opened)) for index in current.opened.members]


def step(current: Round, given: bytes | Deadline | Trained | Group | Over) -> Step:
    """What follows from a message or an event."""
    if isinstance(given, Over):
        return _over(current)
    if isinstance(given, Deadline):
        return _deadline(current, given)
    if isinstance(given, Trained):
        return _relay(current)
    if isinstance(given, Group):
        return _group(current, given)
    sender: int | None = None
    try:
        longest = 8 + 8 * max(current.opened.length(pass_) for pass_ in range(current.opened.passes))
        message = decode(given, limit=LIMIT, masked=longest if current.stage == SUMMING else 0)
        sender = message.header.sender
        return _message(current, message)
    except Refusal as refusal:
        return current, [], [Refused(sender, refusal)]


def _message(current: Round, message: Message) -> Step:
    header, body = message.header, message.body
    if header.sender not in current.opened.starts_of:
        raise UnknownSender(header.sender)
    if (header.round, header.attempt) != (current.number, current.attempt):
        raise WrongRound(header.round, header.attempt, current.number, current.attempt)
    message.verify(current.roster.keys[header.sender])
    if isinstance(body, Abort):
        if header.context not in (current.roster.hash, current.of_round, current.of_keys):
            raise WrongContext("ABORT")
        return _leave(current, header.sender, told(body.code, None if body.culprit == NOBODY else body.culprit))
    if header.sender in current.gone:
        raise UnknownSender(header.sender)
    slot = (header.sender, header.type, header.sum, header.pass_)
    if slot in current.seen:
        if current.seen[slot] == message.signature:
            return current, [], []
        if isinstance(body, Sketch | Signs):
            raise SecondSketch(header.sender)
        raise Duplicate(header.sender)
    after, out, events = _accept(current, message)
    return replace(after, seen={**after.seen, slot: message.signature}), out, events


def _accept(current: Round, message: Message) -> Step:
    header, body, opened = message.header, message.body, current.opened
    if header.type in OF_A_SUM and current.stage == SUMMING:
        return _finished(*summing.step(current, message))
    place = {OPEN: (Keys, current.of_round), SEEDING: (Seed, current.of_keys), SKETCHING: (None, current.of_keys)}
    kind, context = place.get(current.stage, (None, b""))
    if current.stage == SKETCHING:
        kind = ANSWERS[opened.similarity]
    if kind is None or not isinstance(body, kind):
        raise UnexpectedMessage(current.stage, NAMES[header.type])
    if header.context != context:
        raise WrongContext(NAMES[header.type])
    if isinstance(body, Keys):
        _fresh(current, body, header.sender)
        current = replace(current, keys={**current.keys, header.sender: message})
    elif isinstance(body, Seed):
        if header.sender not in current.led_by:
            raise UnknownSender(header.sender)
        if tuple(box.peer for box in body.boxes) != tuple(who for who in current.keys if who != header.sender):
            raise Malformed("boxes")
        current = replace(current, seeds={**current.seeds, header.sender: message})
    else:
        if header.sender not in current.keys:
            raise UnknownSender(header.sender)
        _fitting(current, body)
        current = replace(current, answers={**current.answers, header.sender: message})
    return _on(current) if not waiting(current) else (current, [], [])


def _fresh(current: Round, body: Keys, sender: int) -> None:
    """Keys that every client would refuse are refused here, where that costs their owner alone."""
    if len(body.masks) != current.opened.passes:
        raise Malformed("passes")
    own = (body.box, *body.masks)
    known = {
        key
        for message in current.keys.values()
        if isinstance(message.body, Keys)
        for key in (message.body.box, *message.body.masks)
    }
    if len(set(own)) < len(own) or known & set(own):
        raise DuplicateKey(sender)
    for key in own:
        shared(ANY, key, sender)


def _fitting(current: Round, body: AnyBody) -> None:
    """Whether an answer has the sizes that the round asks for."""
    opened = current.opened
    if isinstance(body, Sketch | Signs):
        size = 2 * opened.k if isinstance(body, Sketch) else opened.k // 8
        if [len(value) for value in body.values] != [size] * len(opened.slices):
            raise Malformed("sketch")
    elif isinstance(body, Choice) and (body.choice >= len(opened.starts) or body.epsilon != opened.epsilon):
        raise Malformed("choice")


def waiting(current: Round, sum_: int | None = None) -> tuple[int, ...]:
    """Whose answer is missing for the stage, of the round or of one of its sums."""
    if sum_ is not None:
        return summing.waiting(current, current.sums[sum_])
    whom: Iterable[int] = ()
    if current.stage == OPEN:
        whom = (index for index in current.opened.members if index not in current.keys)
    elif current.stage == SEEDING:
        whom = (index for index in current.led_by if index not in current.seeds)
    elif current.stage == SKETCHING:
        whom = (index for index in current.keys if index not in current.answers)
    return current.there(tuple(whom))


def _leave(current: Round, who: int, why: Refusal) -> Step:
    """A client said that it is out. That may be what a stage was waiting for."""
    if who in current.gone or current.stage == DONE:
        return current, [], []
    before = current
    current = replace(current, gone={**current.gone, who: why})
    out: Outgoing = []
    events: list[Event] = [Gone(who, why)]
    if current.stage == SUMMING:
        for at in list(current.sums):
            if summing.waiting(before, before.sums[at]) and not summing.waiting(current, current.sums[at]):
                current, more, news = summing.on(current, current.sums[at])
                out += more
                events += news
        current, more, news = _finished(current, [], [])
        return current, out + more, events + news
    if current.stage in (OPEN, SEEDING, SKETCHING) and not waiting(current):
        current, out, news = _on(current)
        events += news
    return current, out, events


def _deadline(current: Round, given: Deadline) -> Step:
    """Who has not answered is gone, for good: a late answer must not meet keys that were given away."""
    if given.sum is not None:
        one = current.sums.get(given.sum)
        if current.stage != SUMMING or one is None or one.stage != given.stage:
            return current, [], []
        late = summing.waiting(current, one)
    else:
        if current.stage != given.stage:
            return current, [], []
        late = waiting(current)
    out: Outgoing = []
    events: list[Event] = []
    for who in late:
        current, more, news = _leave(current, who, Timeout(given.stage))
        out += more
        events += news
    return current, out, events


def _failed(current: Round, refusal: Refusal) -> Step:
    return _ended(replace(current, stage=DONE), refusal, [Failed(refusal)])


def _over(current: Round) -> Step:
    """What has not been summed by now will not be; the clients may forget."""
    if current.stage == DONE:
        return current, [], []
    left = {at: replace(one, stage=DONE, total=None, shares={}, told={}) for at, one in current.sums.items()}
    return _ended(replace(current, stage=DONE, sums=left), Timeout(current.stage), [])


def _ended(current: Round, refusal: Refusal, events: list[Event]) -> Step:
    """ABORT to whoever may still hold keys of the round."""
    culprit = NOBODY if refusal.culprit is None else refusal.culprit
    whom = current.there(tuple(current.keys))
    context = current.of_keys or current.of_round
    header = Header(Abort.TYPE, current.number, current.attempt, SERVER, context)
    return current, [(index, encode(header, Abort(refusal.code, culprit))) for index in whom], events


def _say(current: Round, body: AnyBody, context: bytes) -> bytes:
    return encode(Header(body.TYPE, current.number, current.attempt, SERVER, context), body)


def _on(current: Round) -> Step:
    """The stage has what it needs, or will get no more."""
    opened = current.opened
    if current.stage == OPEN:
        needed = max(opened.quorum, FEWEST)
        there = current.there(tuple(sorted(current.keys)))
        if len(there) < needed:
            return _failed(current, TooFewAlive(len(there), needed))
        keys = {index: current.keys[index] for index in there}
        listed = KeysList(tuple(message.raw for message in keys.values()))
        of_keys = hashes.ctx_keys(current.of_round, listed.pack())
        led_by = rules.leaders(current.roster, current.of_round, there) if opened.similarity in (SKETCH, BITS) else ()
        stage = SEEDING if led_by else GROUPING if opened.similarity == NONE else TRAINING
        raw = _say(current, listed, current.of_round)
        after = replace(current, stage=stage, keys=keys, of_keys=of_keys, led_by=led_by)
        return after, [(index, raw) for index in there], []
    if current.stage == SEEDING:
        missing = [index for index in current.led_by if index not in current.seeds]
        if missing:
            return _failed(current, LeaderMissing(missing[0]))
        return replace(current, stage=TRAINING), [], []
    assert current.stage == SKETCHING
    return _agreed(current)


def _relay(current: Round) -> Step:
    """SEED_RELAY: to each the boxes that are for it; none where clients choose."""
    if current.stage != TRAINING:
        raise UnexpectedMessage(current.stage, "sketches")
    boxes: dict[int, list[Sealed]] = {index: [] for index in current.keys}
    for leader, message in sorted(current.seeds.items()):
        assert isinstance(message.body, Seed)
        for box in message.body.boxes:
            boxes[box.peer].append(replace(box, peer=leader))
    out = [
        (index, _say(current, SeedRelay(tuple(boxes[index])), current.of_keys))
        for index in current.there(tuple(current.keys))
    ]
    after = replace(current, stage=SKETCHING)
    return (after, out, []) if waiting(after) else _on(after)


def _agreed(current: Round) -> Step:
    """Whoever confirms another seed than most has a sketch that compares to nothing."""
    confirmed = {
        who: message.body.confirmation
        for who, message in current.answers.items()
        if isinstance(message.body, Sketch | Signs)
    }
    after = replace(current, stage=GROUPING)
    if not confirmed:
        return after, [], []
    common = Counter(confirmed.values()).most_common(1)[0][0]
    odd = [who for who in sorted(confirmed) if confirmed[who] != common]
    answers = {who: message for who, message in current.answers.items() if who not in odd}
    return replace(after, answers=answers), [], [Refused(who, SeedDisagreement(who)) for who in odd]


def _group(current: Round, given: Group) -> Step:
    groups = tuple((number, tuple(sorted(given.groups[number]))) for number in sorted(given.groups))
    if current.groups is not None:
        if current.groups.groups == groups:
            return current, [], []
        raise SecondSum()
    if current.stage != GROUPING:
        raise UnexpectedMessage(current.stage, "groups")
    body = Grouped(groups, rules.holders(current.roster, current.of_keys, tuple(current.keys)))
    rules.grouped(current.opened, tuple(current.keys), body)
    packed = body.pack()
    sums = {
        at: Sum(
            at,
            tuple(hashes.ctx_sum(current.of_keys, packed, at, pass_) for pass_ in range(current.opened.passes)),
            members,
        )
        for at, (_, members) in enumerate(groups)
    }
    after = replace(current, stage=SUMMING, groups=body, sums=sums)
    raw = _say(after, body, current.of_keys)
    out = [(index, raw) for index in current.there(tuple(current.keys))]
    events: list[Event] = []
    for at in sums:
        if not summing.waiting(after, after.sums[at]):
            after, more, news = summing.on(after, after.sums[at])
            out += more
            events += news
    after, more, news = _finished(after, [], [])
    return after, out + more, events + news


def _finished(current: Round, out: Outgoing, events: list[Event]) -> Step:
    """The round is over with its last sum; where a sum failed, its members are told to forget."""
    if current.stage != SUMMING or any(one.stage != DONE for one in current.sums.values()):
        return current, out, events
    current = replace(current, stage=DONE)
    broken = [one for one in current.sums.values() if one.failed is not None]
    if not broken:
        return current, out, events
    refusal = broken[0].failed
    assert refusal is not None and refusal.code <= len(REFUSALS)
    current, more, events = _ended(current, refusal, events)
    return current, out + more, events
