"""What a server can take off an upload with all that it was ever told: the attacker of experiments 9 to 12."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from disue.secure.check.cohort import Cohort
from disue.secure.wire import boxes, hashes, masks, rules, shamir
from disue.secure.wire.codec import decode
from disue.secure.wire.header import Header
from disue.secure.wire.messages import MASK_KEY, SELF_SEED, Grouped, Keys, Masked, SharesRelay, Unmask
from disue.secure.wire.names import BadShares
from disue.secure.wire.ring import Ring

Place = tuple[int, int, int]  # sum, pass, member


class Stripping:
    """Reads every message, puts shares together where there are enough, and removes the masks that it can make.

    A mask key is tried on every pass, not only on the one that it was given away for.
    """

    def __init__(self, cohort: Cohort, messages: Iterable[bytes]) -> None:
        self.roster = cohort.roster
        self.keys: dict[int, Keys] = {}
        self.holders: tuple[int, ...] = ()
        self.present: dict[int, tuple[int, ...]] = {}
        self.uploads: dict[Place, tuple[Header, Ring]] = {}
        self.selves: dict[tuple[int, int], bytes] = {}
        self.mask_keys: dict[int, list[bytes]] = {}
        self._shares: dict[tuple[int, int, int, int], dict[int, bytes]] = {}
        for message in messages:
            self._hear(message)
        self._combine()

    def told(self, member: int, *, mask_key: bytes = b"", self_seed: bytes = b"", pass_: int = 0) -> None:
        """A secret that the attacker has by other means."""
        if mask_key:
            self.mask_keys.setdefault(member, []).append(mask_key)
        if self_seed:
            self.selves[member, pass_] = self_seed

    def strip(self, member: int, sum_: int = 0, pass_: int = 0) -> Ring:
        """(L,) an upload of the first pass less every mask that can be made."""
        header, values = self.uploads[sum_, pass_, member]
        total = values.astype(np.uint64)
        if (member, pass_) in self.selves:
            own = hashes.self_mask(self.selves[member, pass_], header.context, member)
            masks.add(total, own, sign=-1)
        for other in rules.masked_with(self.roster, header.context, self.present[sum_], member):
            secret = self._pair(member, other, pass_)
            if secret is not None:
                key = hashes.pair_mask(secret, header.context, member, other)
                masks.add(total, key, sign=-masks.sign(member, other))
        return total

    def _pair(self, member: int, other: int, pass_: int) -> bytes | None:
        """What two members share in a pass, from either one's key; a key of another pass is better than none."""
        found = None
        for one, peer in ((member, other), (other, member)):
            for private in self.mask_keys.get(one, ()):
                secret = boxes.shared(private, self.keys[peer].masks[pass_])
                if boxes.public_of(private) == self.keys[one].masks[pass_]:
                    return secret
                found = secret
        return found

    def _hear(self, message: bytes) -> None:
        read = decode(message, masked=len(message))
        header, body = read.header, read.body
        if isinstance(body, Keys):
            self.keys[header.sender] = body
        elif isinstance(body, Grouped):
            self.holders = body.holders
        elif isinstance(body, SharesRelay):
            self.present[header.sum] = body.present
        elif isinstance(body, Masked):
            self.uploads[header.sum, header.pass_, header.sender] = header, body.values
        elif isinstance(body, Unmask):
            for member, kind, share in body.shares:
                place = self._shares.setdefault((header.sum, header.pass_, member, kind), {})
                place[self.holders.index(header.sender)] = share

    def _combine(self) -> None:
        for (_, pass_, member, kind), shares in self._shares.items():
            with suppress(BadShares):
                secret = shamir.combine(shares, rules.threshold(len(self.holders)))
                if kind == SELF_SEED:
                    self.told(member, self_seed=secret, pass_=pass_)
                elif kind == MASK_KEY:
                    self.told(member, mask_key=secret)


def right(found: Ring, truth: Ring) -> float:
    """Share of the numbers that are the client's own."""
    return float((found == truth).mean())
