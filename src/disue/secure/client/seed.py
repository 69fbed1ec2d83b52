"""The sketch seed of a round: leaders each seal a random part for every member, and all members hash the parts.

The server relays the boxes and stays ignorant as long as one leader does not work for it. Who has the seed can turn
sketches into known measurements of updates, so nothing outside `client` may import this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from disue.secure.client.sketch import Streams
from disue.secure.wire import boxes, hashes
from disue.secure.wire.messages import SALT, Sealed
from disue.secure.wire.names import BoxTampered, LeaderMissing

PART = 32


def round_seed(contributions: Sequence[bytes], leaders: Sequence[int], of_keys: bytes) -> bytes:
    """Hashed together and not added: whoever sees the others' part can then try values, but not choose the seed."""
    info = hashes.label("sketch-seed") + hashes.u32(len(leaders)) + b"".join(map(hashes.u32, leaders))
    return hashes.hkdf(b"".join(contributions), of_keys, info)


def stream_key(seed: bytes, of_keys: bytes, name: str, slice_: int) -> bytes:
    """`name` is "countsketch", "gaussian" or "gaussian-extra"."""
    return hashes.hkdf(seed, of_keys, hashes.label(name) + hashes.u32(slice_))


def confirmation(seed: bytes, of_keys: bytes) -> bytes:
    """16 bytes that show which seed somebody holds without showing it."""
    return hashes.hkdf(seed, of_keys, hashes.label("seed-confirm"))[:16]


@dataclass(frozen=True)
class Seed:
    """What all members of a cohort share and the server does not."""

    secret: bytes = field(repr=False)
    of_keys: bytes

    def streams(self, slice_: int = 0) -> Streams:
        """The keys of the sketch of one slice of the update."""
        names = ("countsketch", "gaussian", "gaussian-extra")
        return Streams(*(stream_key(self.secret, self.of_keys, name, slice_) for name in names))

    @property
    def confirmation(self) -> bytes:
        """16 bytes by which the server sees that all have one seed."""
        return confirmation(self.secret, self.of_keys)


def contribute(
    part: bytes, me: int, private: bytes, keys: Mapping[int, bytes], of_keys: bytes, random: Callable[[int], bytes]
) -> tuple[Sealed, ...]:
    """A leader's part (32 bytes), sealed for each of the others.

    private  the own box key; keys  roster index → public box key, `me` may be among them
    """
    out = []
    for other in sorted(set(keys) - {me}):
        salt = random(SALT)
        secret = boxes.shared(private, keys[other], other)
        out.append(Sealed(other, salt, boxes.seal(secret, salt, hashes.seed_box_info(of_keys, me, other), part)))
    return tuple(out)


def derive(
    relayed: Sequence[Sealed],
    led_by: Sequence[int],
    me: int,
    private: bytes,
    keys: Mapping[int, bytes],
    of_keys: bytes,
    own: bytes | None = None,
) -> Seed:
    """The seed from the boxes of all leaders, which each member worked out itself: the server cannot leave one out.

    own  the own part, where `me` leads
    """
    found = {sealed.peer: sealed for sealed in relayed}
    parts = []
    for leader in led_by:
        if leader == me and own is not None:
            parts.append(own)
            continue
        if leader not in found:
            raise LeaderMissing(leader)
        sealed = found[leader]
        secret = boxes.shared(private, keys[leader], leader)
        info = hashes.seed_box_info(of_keys, leader, me)
        part = boxes.unseal(secret, sealed.salt, info, sealed.box, leader)
        if len(part) != PART:
            raise BoxTampered(leader)
        parts.append(part)
    return Seed(round_seed(parts, led_by, of_keys), of_keys)
