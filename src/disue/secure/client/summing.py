"""A client's part in a sum: shares of its secrets to the holders, its masked vector, and what it tells of others.

    SHARED    SHARES_RELAY  every box opens; the partners are those present        → MASKED, by members
    MASKED    ALIVE         the set is one that may be unmasked                    → ALIVE_SIG, by holders; or UNMASK
    ALIVE     ALIVE_PROOF   as many holders as open a secret saw the same set      → UNMASK
    UNMASKED  CLOSE         the next pass, or the end                              → MASKED of the next pass

A holder gives one kind of share per member and pass: the self mask's seed of who is alive, the mask key of who is not.
Both would open that member's vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from disue.core.checks import Float64, Mask
from disue.secure.client.local import Memory, Values, made
from disue.secure.client.state import ALIVE, CLOSED, MASKED, SHARED, UNMASKED, Part, Round, State
from disue.secure.wire import boxes, hashes, masks, ring, rules, shamir
from disue.secure.wire.codec import Message, decode, encode
from disue.secure.wire.header import Header
from disue.secure.wire.messages import (
    MASK_KEY,
    NAMES,
    SALT,
    SELF_SEED,
    SHARE,
    Alive,
    AliveProof,
    AliveSig,
    AnyBody,
    Close,
    Masked,
    Sealed,
    Shares,
    SharesRelay,
    Unmask,
)
from disue.secure.wire.names import (
    BothShares,
    Duplicate,
    Equivocation,
    LotBroken,
    Malformed,
    TooFewAlive,
    UnexpectedMessage,
    UnknownSender,
    WrongContext,
    WrongRound,
)
from disue.secure.wire.opening import LABELS, MOMENT_COUNTS, MOMENT_SUMS, STATIC, Open, Section

Pairs = tuple[tuple[bytes, bytes], ...]  # per pass: share of the mask key, share of the self seed


def share(state: State, current: Round, part: Part) -> tuple[Round, bytes]:
    """SHARES: both secrets of every pass, split among the holders and sealed for each."""
    assert current.groups is not None
    holders, secrets, draw = current.groups.holders, current.secrets, state.own.random
    t = rules.threshold(len(holders))
    split = [
        (shamir.split(key, len(holders), t, draw), shamir.split(own, len(holders), t, draw))
        for key, own in zip(secrets.masks, secrets.selves, strict=True)
    ]
    sealed = []
    for position, holder in enumerate(holders):
        pairs: Pairs = tuple((keys[position], selves[position]) for keys, selves in split)
        if holder == current.me:
            part = replace(part, shares={**part.shares, holder: pairs})
            continue
        salt = draw(SALT)
        secret = boxes.shared(secrets.box, current.keys[holder].box, holder)
        info = hashes.share_box_info(part.context[0], current.me, holder)
        sealed.append(Sealed(holder, salt, boxes.seal(secret, salt, info, b"".join(map(b"".join, pairs)))))
    current = current.with_part(part)
    return current, _say(state, current, part, Shares(tuple(sealed)))


def step(state: State, current: Round, message: Message) -> tuple[Round, Memory, list[bytes]]:
    """A message about a sum."""
    header, body = message.header, message.body
    part = current.parts.get(header.sum)
    if part is None:
        raise UnexpectedMessage("no part in this sum", NAMES[header.type])
    if header.pass_ != part.pass_ or header.context != part.context[part.pass_]:
        raise WrongContext(NAMES[header.type])
    if isinstance(body, SharesRelay) and part.stage == SHARED:
        return _relay(state, current, part, body)
    if isinstance(body, Alive) and part.stage in (ALIVE, UNMASKED):
        _one_kind(part, body.members)
    if isinstance(body, Alive) and part.stage == MASKED:
        return _alive(state, current, part, message, body)
    if isinstance(body, AliveProof) and part.stage == ALIVE:
        return _proof(state, current, part, body)
    if isinstance(body, Close) and part.stage == UNMASKED:
        return _close(state, current, part, body)
    raise UnexpectedMessage(part.stage, NAMES[header.type])


def _one_kind(part: Part, members: tuple[int, ...]) -> None:
    """A second alive set in one pass: what was shown as dropped and is now alive would lose both secrets."""
    changed = sorted(set(members) ^ set(part.alive))
    if changed:
        raise BothShares(changed[0])


def _holds(current: Round) -> bool:
    assert current.groups is not None
    return current.me in current.groups.holders


def _say(state: State, current: Round, part: Part, body: AnyBody) -> bytes:
    context = part.context[part.pass_]
    header = Header(body.TYPE, current.number, current.attempt, current.me, context, part.sum, part.pass_)
    return encode(header, body, state.own.identity)


def _static(opened: Open, pass_: int) -> bool:
    return any(section.policy == STATIC for section in opened.part(pass_))


def _enough(opened: Open, part: Part, found: tuple[int, ...], pass_: int) -> None:
    """Whether a set of members may be summed."""
    if not set(found) <= set(part.present or part.members):
        raise UnknownSender(next(index for index in found if index not in (part.present or part.members)))
    if len(found) < opened.min_group:
        raise TooFewAlive(len(found), opened.min_group)
    if _static(opened, pass_) and found != part.members:
        raise LotBroken(len(found), len(part.members))


def _relay(state: State, current: Round, part: Part, body: SharesRelay) -> tuple[Round, Memory, list[bytes]]:
    opened, me = current.opened, current.me
    _enough(opened, part, body.present, 0)
    member = me in part.members
    if member and me not in body.present:
        raise Equivocation("the own shares are left out")
    expected = tuple(index for index in body.present if index != me) if _holds(current) else ()
    if tuple(box.peer for box in body.boxes) != expected:
        raise Malformed("boxes")
    shares = dict(part.shares)
    for sealed in body.boxes:
        secret = boxes.shared(current.secrets.box, current.keys[sealed.peer].box, sealed.peer)
        info = hashes.share_box_info(part.context[0], sealed.peer, me)
        content = boxes.unseal(secret, sealed.salt, info, sealed.box, sealed.peer)
        if len(content) != 2 * SHARE * opened.passes:
            raise Malformed("share box")
        cut = [content[at : at + SHARE] for at in range(0, len(content), SHARE)]
        shares[sealed.peer] = tuple(zip(cut[::2], cut[1::2], strict=True))
    after = replace(part, stage=MASKED, present=body.present, shares=shares)
    memory = state.memory
    if not member:
        return current.with_part(after), memory, []
    if opened.static:
        assert state.roster is not None
        memory = memory.released(hashes.lot_hash([state.roster.ids[index] for index in part.members]))
    return current.with_part(after), memory, [masked(state, current, after)]


def masked(state: State, current: Round, part: Part) -> bytes:
    """MASKED of the pass that a part is in; the same bytes each time."""
    inputs = current.inputs
    if inputs is None:
        raise UnexpectedMessage("SHARED without inputs", "SHARES_RELAY")
    if part.pass_ == 0:
        sections = inputs.sections
        return _mask(state, current, part, sections(current.reported) if callable(sections) else sections)
    if inputs.second is None:
        raise ValueError("the round has a second pass, and the inputs have none")
    counts = np.array(part.counts, np.int64)
    return _mask(state, current, part, inputs.second(counts), counts < current.opened.min_class)


def _mask(state: State, current: Round, part: Part, values: Sequence[Values], unknown: Mask | None = None) -> bytes:
    """MASKED: the encoded sections plus the self mask, and a mask with each partner.

    unknown  (classes,) True for the classes of which nothing is said
    """
    opened, me, secrets = current.opened, current.me, current.secrets
    sections = opened.part(part.pass_)
    if len(values) != len(sections):
        raise ValueError(f"{len(sections)} sections are summed, {len(values)} were given")
    total = np.empty(opened.length(part.pass_), np.uint64)
    at = 0
    for section, value in zip(sections, values, strict=True):
        said = made(value, section.length)
        if unknown is not None:
            said = _without(section, said, unknown)
        total[at : at + section.length] = ring.encode(said, section.bits, opened.limit(section), section.name)
        at += section.length
    context = part.context[part.pass_]
    masks.add(total, hashes.self_mask(secrets.selves[part.pass_], context, me))
    assert state.roster is not None
    for other in rules.masked_with(state.roster, context, part.present, me):
        secret = boxes.shared(secrets.masks[part.pass_], current.keys[other].masks[part.pass_], other)
        masks.add(total, hashes.pair_mask(secret, context, me, other), sign=1 if other > me else -1)
    return _say(state, current, part, Masked(total))


def _without(section: Section, values: Float64, unknown: Mask) -> Float64:
    """The rows of unknown classes set to zero, where a section has one row per class."""
    if section.kind not in (LABELS, MOMENT_COUNTS, MOMENT_SUMS):
        return values
    rows = values.reshape(unknown.size, -1).copy()
    rows[unknown] = 0.0
    return np.asarray(rows.reshape(-1), np.float64)


def _alive(
    state: State, current: Round, part: Part, message: Message, body: Alive
) -> tuple[Round, Memory, list[bytes]]:
    opened, me = current.opened, current.me
    _enough(opened, part, body.members, part.pass_)
    if me in part.present and me not in body.members:
        raise Equivocation("the own vector is left out")
    after = replace(part, alive=body.members, stage=ALIVE)
    if not _holds(current):
        return current.with_part(replace(after, stage=UNMASKED)), state.memory, []
    if not opened.consistency:
        return _unmask(state, current, after)
    seen = hashes.body_hash(message.body_bytes)
    return current.with_part(after), state.memory, [_say(state, current, after, AliveSig(seen))]


def _proof(state: State, current: Round, part: Part, body: AliveProof) -> tuple[Round, Memory, list[bytes]]:
    assert current.groups is not None and state.roster is not None
    holders = current.groups.holders
    own = hashes.body_hash(Alive(part.alive).pack())
    context = part.context[part.pass_]
    last, same = -1, 0
    for raw in body.messages:
        inner = decode(raw)
        header, found = inner.header, inner.body
        if not isinstance(found, AliveSig):
            raise Malformed("signatures")
        if (header.round, header.attempt) != (current.number, current.attempt):
            raise WrongRound(header.round, header.attempt, current.number, current.attempt)
        if header.context != context or (header.sum, header.pass_) != (part.sum, part.pass_):
            raise WrongContext("ALIVE_SIG")
        if header.sender not in holders:
            raise UnknownSender(header.sender)
        if header.sender == last:
            raise Duplicate(header.sender)
        if header.sender < last:
            raise Malformed("signatures")
        last = header.sender
        inner.verify(state.roster.keys[header.sender])
        same += found.seen == own
    needed = rules.threshold(len(holders))
    if same < needed:
        raise Equivocation(f"{same} of the {needed} signatures needed")
    return _unmask(state, current, part)


def _unmask(state: State, current: Round, part: Part) -> tuple[Round, Memory, list[bytes]]:
    alive = set(part.alive)
    told = []
    for member in part.present:
        key, own = part.shares[member][part.pass_]
        told.append((member, SELF_SEED, own) if member in alive else (member, MASK_KEY, key))
    after = replace(part, stage=UNMASKED)
    return current.with_part(after), state.memory, [_say(state, current, after, Unmask(tuple(told)))]


def _close(state: State, current: Round, part: Part, body: Close) -> tuple[Round, Memory, list[bytes]]:
    """The end of a pass: of the sum, or on to what is per class, with those who were alive."""
    opened = current.opened
    if part.pass_ + 1 == opened.passes:
        if body.counts:
            raise Malformed("counts")
        return current.with_part(replace(part, stage=CLOSED, shares={})), state.memory, []
    if len(body.counts) != opened.classes or max(body.counts) > len(part.alive):
        raise Malformed("counts")
    present, pass_ = part.alive, part.pass_ + 1
    context = (*part.context[:pass_], hashes.ctx_pass(part.context[pass_], body.pack()))
    after = replace(part, stage=MASKED, pass_=pass_, present=present, alive=(), counts=body.counts, context=context)
    answers = [masked(state, current, after)] if current.me in present else []
    return current.with_part(after), state.memory, answers
