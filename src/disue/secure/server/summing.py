"""One sum at the server: shares relayed, masked vectors added up, the alive set confirmed, masks removed.

    SHARING     SHARES     deadline: who sent none leaves the group                     → SHARES_RELAY
    COLLECTING  MASKED     deadline: who sent none is dropped; too few alive: no sum    → ALIVE
    CONFIRMING  ALIVE_SIG  as many holders as open a secret                             → ALIVE_PROOF
    UNMASKING   UNMASK     as many shares as open a secret: masks are removed           → CLOSE

A sum that fails has unmasked nothing. A second pass starts over at COLLECTING, among those alive in the first, with
other keys: whoever survived one pass and dropped in the next would else have lost both secrets of one vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, islice
from math import ceil, comb
from typing import TypeAlias

import numpy as np

from disue.secure.server.state import (
    COLLECTING,
    CONFIRMING,
    DONE,
    SHARING,
    UNMASKING,
    Event,
    Failed,
    Round,
    Sum,
    Summed,
)
from disue.secure.wire import hashes, masks, ring, rules, shamir
from disue.secure.wire.boxes import public_of, shared
from disue.secure.wire.codec import Message, encode
from disue.secure.wire.header import SERVER, Header
from disue.secure.wire.messages import (
    MASK_KEY,
    NAMES,
    SELF_SEED,
    SHARE,
    TAG,
    Alive,
    AliveProof,
    AliveSig,
    AnyBody,
    Close,
    Keys,
    Masked,
    Sealed,
    Shares,
    SharesRelay,
    Unmask,
)
from disue.secure.wire.names import (
    BadShares,
    BothShares,
    Equivocation,
    ImplausibleSum,
    LotBroken,
    Malformed,
    Refusal,
    TooFewAlive,
    UnexpectedMessage,
    UnknownSender,
    WrongContext,
)
from disue.secure.wire.opening import CONTRIBUTORS, MEMBERS, STATIC, Open
from disue.secure.wire.ring import Ring

Outgoing: TypeAlias = list[tuple[int, bytes]]
Step: TypeAlias = tuple[Round, Outgoing, list[Event]]
TRIES = 64  # subsets of shares that are tried before a secret is given up


def waiting(current: Round, one: Sum) -> tuple[int, ...]:
    """Whose message is missing."""
    if one.stage == SHARING:
        return current.there(tuple(index for index in one.members if index not in one.shares))
    if one.stage == COLLECTING:
        came = set(one.masked)
        return current.there(tuple(index for index in one.present if index not in came))
    if one.stage == CONFIRMING:
        return current.there(tuple(index for index in one.asked if index not in one.signed))
    if one.stage == UNMASKING:
        return current.there(tuple(index for index in one.asked if index not in one.told))
    return ()


def step(current: Round, message: Message) -> Step:
    """A message about a sum, from somebody who is waited for."""
    header, body = message.header, message.body
    one = current.sums.get(header.sum)
    if one is None:
        raise UnexpectedMessage("no such sum", NAMES[header.type])
    fitting = {SHARING: Shares, COLLECTING: Masked, CONFIRMING: AliveSig, UNMASKING: Unmask}
    kind = fitting.get(one.stage)
    if kind is None or not isinstance(body, kind):
        raise UnexpectedMessage(one.stage, NAMES[header.type])
    if header.pass_ != one.pass_ or header.context != one.now:
        raise WrongContext(NAMES[header.type])
    sender = header.sender
    if sender not in waiting(current, one):
        raise UnknownSender(sender)
    if isinstance(body, Shares):
        _boxed(current, body, sender)
        one = replace(one, shares={**one.shares, sender: message})
    elif isinstance(body, Masked):
        if len(body.values) != current.opened.length(one.pass_):
            raise Malformed("length")
        total = body.values + one.total if one.total is not None else body.values.astype(np.uint64)
        one = replace(one, masked=tuple(sorted((*one.masked, sender))), total=total)
    elif isinstance(body, AliveSig):
        if body.seen != hashes.body_hash(Alive(one.alive).pack()):
            raise Equivocation("a signature on another set")
        one = replace(one, signed={**one.signed, sender: message})
    elif isinstance(body, Unmask):
        _as_asked(one, body)
        one = replace(one, told={**one.told, sender: message})
    current = current.with_sum(one)
    return on(current, one) if not waiting(current, one) else (current, [], [])


def _boxed(current: Round, body: Shares, sender: int) -> None:
    size = 2 * SHARE * current.opened.passes + TAG
    if tuple(box.peer for box in body.boxes) != tuple(index for index in current.holders if index != sender):
        raise Malformed("boxes")
    if any(len(box.box) != size for box in body.boxes):
        raise Malformed("boxes")


def _as_asked(one: Sum, body: Unmask) -> None:
    """One share of everybody who was present, of the kind that the alive set says."""
    if tuple(member for member, _, _ in body.shares) != one.present:
        raise Malformed("shares")
    for member, kind, _ in body.shares:
        if kind != (SELF_SEED if member in one.alive else MASK_KEY):
            raise BothShares(member)


def on(current: Round, one: Sum) -> Step:
    """The stage has what it needs, or will get no more."""
    try:
        if one.stage == SHARING:
            return _relay(current, one)
        if one.stage == COLLECTING:
            return _alive(current, one)
        if one.stage == CONFIRMING:
            return _proof(current, one)
        return _open(current, one)
    except Refusal as refusal:
        failed = replace(one, stage=DONE, failed=refusal, total=None, shares={}, told={})
        return current.with_sum(failed), [], [Failed(refusal, one.sum)]


def _say(current: Round, one: Sum, body: AnyBody) -> bytes:
    header = Header(body.TYPE, current.number, current.attempt, SERVER, one.now, one.sum, one.pass_)
    return encode(header, body)


def _enough(opened: Open, one: Sum, found: tuple[int, ...]) -> None:
    """Whether a set of members may be summed."""
    if len(found) < opened.min_group:
        raise TooFewAlive(len(found), opened.min_group)
    if any(section.policy == STATIC for section in opened.part(one.pass_)) and found != one.members:
        raise LotBroken(len(found), len(one.members))


def _holders_left(current: Round, whom: tuple[int, ...]) -> None:
    needed = rules.threshold(len(current.holders))
    if len(whom) < needed:
        raise TooFewAlive(len(whom), needed)


def _relay(current: Round, one: Sum) -> Step:
    present = tuple(sorted(one.shares))
    _enough(current.opened, one, present)
    boxes: dict[int, list[Sealed]] = {index: [] for index in current.holders}
    for member in present:
        body = one.shares[member].body
        assert isinstance(body, Shares)
        for box in body.boxes:
            boxes[box.peer].append(replace(box, peer=member))
    whom = current.there(tuple(sorted({*present, *current.holders})))
    out = [(index, _say(current, one, SharesRelay(present, tuple(boxes.get(index, ()))))) for index in whom]
    after = replace(one, stage=COLLECTING, present=present, shares={})
    current = current.with_sum(after)
    if waiting(current, after):
        return current, out, []
    current, more, events = on(current, after)
    return current, out + more, events


def _alive(current: Round, one: Sum) -> Step:
    """Members who dropped are not told: they hold no part in what follows."""
    alive = one.masked
    _enough(current.opened, one, alive)
    lost = set(one.present) - set(alive)
    asked = tuple(index for index in current.there(current.holders) if index not in lost)
    _holders_left(current, asked)
    stage = CONFIRMING if current.opened.consistency else UNMASKING
    after = replace(one, stage=stage, alive=alive, asked=asked)
    raw = _say(current, one, Alive(alive))
    whom = current.there(tuple(sorted({*alive, *asked})))
    return current.with_sum(after), [(index, raw) for index in whom], []


def _proof(current: Round, one: Sum) -> Step:
    signed = dict(sorted(one.signed.items()))
    _holders_left(current, tuple(signed))
    proof = [message.raw for message in signed.values()][: rules.threshold(len(current.holders))]
    raw = _say(current, one, AliveProof(tuple(proof)))
    asked = current.there(tuple(signed))
    after = replace(one, stage=UNMASKING, asked=asked)
    current = current.with_sum(after)
    out = [(index, raw) for index in asked]
    if waiting(current, after):
        return current, out, []
    current, more, events = on(current, after)
    return current, out + more, events


def _open(current: Round, one: Sum) -> Step:
    """Masks off, the sum checked, the pass closed."""
    opened = current.opened
    _holders_left(current, tuple(one.told))
    assert one.total is not None
    total = one.total.copy()
    secrets = _secrets(current, one)
    alive = set(one.alive)
    for member, secret in secrets.items():
        if member in alive:
            masks.add(total, hashes.self_mask(secret, one.now, member), sign=-1)
            continue
        for other in rules.masked_with(current.roster, one.now, one.present, member):
            if other in alive:
                theirs = _key(current, other, one.pass_)
                key = hashes.pair_mask(shared(secret, theirs, other), one.now, member, other)
                masks.add(total, key, sign=-1 if member > other else 1)
    _plausible(opened, one, total)
    summed = Summed(one.sum, one.pass_, one.alive, total)
    last = one.pass_ + 1 == opened.passes
    close = Close(hashes.H("result", total.astype("<u8", copy=False).data), () if last else _counts(opened, total))
    raw = _say(current, one, close)
    whom = current.there(tuple(sorted({*one.told, *(index for index in one.alive if index not in current.holders)})))
    out = [(index, raw) for index in whom]
    if last:
        after = replace(one, stage=DONE, total=None, told={})
        return current.with_sum(after), out, [summed]
    pass_ = one.pass_ + 1
    context = (*one.context[:pass_], hashes.ctx_pass(one.context[pass_], close.pack()))
    after = replace(
        one, context=context, stage=COLLECTING, pass_=pass_, present=one.alive, masked=(), total=None, alive=(),
        asked=(), signed={}, told={},
    )  # fmt: skip
    current = current.with_sum(after)
    if waiting(current, after):
        return current, out, [summed]
    current, more, events = on(current, after)
    return current, out + more, [summed, *events]


def _key(current: Round, index: int, pass_: int) -> bytes:
    body = current.keys[index].body
    assert isinstance(body, Keys)
    return body.masks[pass_]


def _secrets(current: Round, one: Sum) -> dict[int, bytes]:
    """Per member present the seed of its self mask, or, if it dropped, its mask key."""
    place = {holder: position for position, holder in enumerate(current.holders)}
    shares: dict[int, dict[int, bytes]] = {member: {} for member in one.present}
    for holder, message in one.told.items():
        assert isinstance(message.body, Unmask)
        for member, _, share in message.body.shares:
            shares[member][place[holder]] = share
    t = rules.threshold(len(current.holders))
    found = {}
    for member in one.present:
        public = None if member in one.alive else _key(current, member, one.pass_)
        found[member] = secret_of(shares[member], t, public, member)
    return found


def secret_of(shares: Mapping[int, bytes], threshold: int, public: bytes | None, who: int) -> bytes:
    """A secret from more shares than it takes, some of which may be wrong.

    A mask key is held against its public half. A self seed has none: it is taken where so many shares agree on it that
    no other could have as many, half of the spare ones wrong; where there are no spare shares, as it comes.
    """
    held = sorted(shares)
    for subset in islice(_subsets(held, threshold), TRIES):
        secret = _combined(shares, subset, threshold)
        if secret is None:
            continue
        if public is not None:
            if public_of(secret) == public:
                return secret
            continue
        # A share lies on the subset's polynomial if it can take the place of one in it.
        spare = [position for position in held if position not in subset]
        wrong = sum(_combined(shares, (*subset[1:], position), threshold) != secret for position in spare)
        if 2 * wrong <= len(spare):
            return secret
    raise BadShares(who)


def _combined(shares: Mapping[int, bytes], subset: tuple[int, ...], threshold: int) -> bytes | None:
    try:
        return shamir.combine({position: shares[position] for position in subset}, threshold)
    except BadShares:
        return None


def _subsets(held: list[int], size: int) -> Iterator[tuple[int, ...]]:
    """The lowest first; all of them where they are few, else a fixed sample that favours nobody."""
    if comb(len(held), size) <= TRIES:
        yield from combinations(held, size)
        return
    yield tuple(held[:size])
    draw = np.random.default_rng(len(held))
    while True:
        yield tuple(sorted(int(position) for position in draw.choice(held, size, replace=False)))


def _plausible(opened: Open, one: Sum, total: Ring) -> None:
    """No coordinate can exceed what that many members may put in; the count of members is known exactly."""
    at = 0
    for section in opened.part(one.pass_):
        part = total[at : at + section.length].view(np.int64)
        at += section.length
        most = len(one.alive) * ceil(opened.limit(section) * 2.0**section.bits)
        if int(part.max()) > most or int(part.min()) < -most:
            raise ImplausibleSum(section.name)
        if section.kind == MEMBERS and (part != len(one.alive) << section.bits).any():
            raise ImplausibleSum(section.name)


def _counts(opened: Open, total: Ring) -> tuple[int, ...]:
    """The contributors per class, which the members need to know before they say more."""
    at = 0
    for section in opened.part(0):
        if section.kind == CONTRIBUTORS:
            counts = ring.decode(total[at : at + section.length], section.bits)
            return tuple(int(count) for count in np.maximum(np.rint(counts), 0))
        at += section.length
    raise AssertionError("two passes have contributors")
