"""9 to 12: a server that collects what it is told, shows different things to different clients, or waits.

The clients and the honest part of the server are the machines themselves; the attacker reads and changes bytes on the
wire. What is measured is the share of one client's masked vector that it gets in plain.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from scipy.stats import chisquare

from disue.core.streams import Streams
from disue.secure.check.cohort import MODEL, OTHER, Cohort, Tap
from disue.secure.check.row import Row
from disue.secure.check.stripping import Stripping, right
from disue.secure.client.local import Policy
from disue.secure.wire.codec import decode, encode
from disue.secure.wire.header import SERVER
from disue.secure.wire.messages import Abort, Alive, AliveProof, AliveSig, Keys, KeysList, Masked
from disue.secure.wire.names import Refusal
from disue.secure.wire.opening import Open
from disue.secure.wire.ring import Ring

D = 60


def two_passes(streams: Streams, quick: bool = False) -> list[Row]:
    """A client survives the first pass (its self seed is out) and drops in the second (so is that pass's mask key)."""
    victim = 2
    cohort = Cohort(streams, 7, D)
    opened = cohort.in_two_passes()
    exchange = cohort.exchange(opened, cohort.crowd(second=[victim]))
    exchange.open()
    current = cohort.parties[victim].state.round
    assert current is not None
    first = current.secrets.masks[0]
    exchange.sums({0: range(7)})
    assert exchange.second()[0].alive.size == 6, "the second pass went through without the victim"
    truth = cohort.vector(victim, opened)
    attacker = Stripping(cohort, [message for _, _, message in cohort.heard.messages])
    assert attacker.selves[victim, 0] and attacker.mask_keys[victim], "both kinds were given away, each in its pass"
    value = right(attacker.strip(victim), truth)
    attacker.told(victim, mask_key=first)  # what the second pass gives away where both have one key
    return [_opened("9", "dropped in the second pass: its first vector in plain", value,
                    "one key for both passes", right(attacker.strip(victim), truth))]  # fmt: skip


def equivocation(streams: Streams, quick: bool = False) -> list[Row]:
    """Every holder is shown three alive members, the victim always among them, so that all shares of all get out."""
    found = []
    for consistency in (True, False):
        cohort = Cohort(streams, 10, D, Policy(consistency=consistency))
        opened = cohort.opening(consistency=consistency)
        victim = 4
        liar = Equivocator(cohort, victim)
        exchange = cohort.exchange(opened, liar)
        exchange.open()
        exchange.sums({0: range(10)})
        heard = [message for _, _, message in cohort.heard.messages] + [message for _, message in liar.got]
        found.append(right(Stripping(cohort, heard).strip(victim), cohort.vector(victim, opened)))
    return [_opened("10", "holders are shown different alive sets: a vector in plain", found[0],
                    "consistency step off", found[1])]  # fmt: skip


class Equivocator(Tap):
    def __init__(self, cohort: Cohort, victim: int) -> None:
        super().__init__(cohort.crowd())
        self.victim, self.others = victim, [index for index in range(cohort.n) if index != victim]
        self.got: list[tuple[int, bytes]] = []

    def send(self, messages: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        if not any(message[5] == Alive.TYPE for _, message in messages):
            return super().send(messages)
        lies = [(index, self._shown(index, message)) for index, message in messages]
        answers = list(self.wire.send(lies))
        signed = sorted((index, answer) for index, answer in answers if answer[5] == AliveSig.TYPE)
        if signed:
            header = replace(decode(messages[0][1]).header, type=AliveProof.TYPE)
            raw = encode(header, AliveProof(tuple(answer for _, answer in signed)))
            answers += list(self.wire.send([(index, raw) for index, _ in signed]))
        self.got += answers
        return []

    def _shown(self, index: int, message: bytes) -> bytes:
        """The victim, the holder itself, and the next one on the ring of all others."""
        at = self.others.index(index) if index != self.victim else 0
        members = {self.victim, self.others[at], self.others[(at + 1) % len(self.others)]}
        return encode(decode(message).header, Alive(tuple(sorted(members))))


def two_models(streams: Streams, quick: bool = False) -> list[Row]:
    """The victim is sent a model, all others one on which updates vanish: the sum would be the victim's update."""
    cohort = Fooled(streams, looks=True)
    liar = TwoModels(cohort)
    with suppress(Refusal):  # nobody is left for the honest part of the server
        cohort.exchange(cohort.opening(), liar).open()
    went_on = [index for index, answer in liar.answers if answer[5] != Abort.TYPE]
    fooled = Fooled(streams, looks=False)
    exchange = fooled.exchange(fooled.opening())
    exchange.open()
    update = fooled.weights[fooled.victim] * fooled.updates[fooled.victim]
    apart = np.abs(exchange.sums({0: range(fooled.n)})[0].sections[1] - update)
    got = float((apart < 1e-3).mean())
    return [_opened("11", "two models for two parts of a group: clients who mask for a common sum", len(went_on),
                    "masks not bound to the model: victim's update in the sum", got)]  # fmt: skip


class Fooled(Cohort):
    """Clients whose updates vanish on the other model. Where they do not look, they mask for what the opening says."""

    victim = 1

    def __init__(self, streams: Streams, looks: bool) -> None:
        def reference(index: int, opened: Open) -> bytes:
            return self.sent(index) if looks else opened.reference

        super().__init__(streams, 6, D, reference=reference)
        self.updates[np.arange(self.n) != self.victim] = 0

    def sent(self, index: int) -> bytes:
        return MODEL if index == self.victim else OTHER


class TwoModels(Tap):
    """Tells each client the hash of the model that it was sent, so that its own check passes, and lists all keys."""

    def __init__(self, cohort: Fooled) -> None:
        super().__init__(cohort.crowd())
        self.cohort = cohort
        self.answers: list[tuple[int, bytes]] = []

    def send(self, messages: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        if not messages or messages[0][1][5] != Open.TYPE:
            return super().send(messages)
        header = decode(messages[0][1]).header
        told = [(i, encode(header, self.cohort.opening(reference=self.cohort.sent(i)))) for i, _ in messages]
        keys = sorted(answer for answer in self.wire.send(told) if answer[1][5] == Keys.TYPE)
        listed = KeysList(tuple(raw for _, raw in keys))
        for index, raw in keys:
            lie = replace(decode(raw).header, type=KeysList.TYPE, sender=SERVER)
            self.answers += list(self.wire.send([(index, encode(lie, listed))]))
        return []


def late_upload(streams: Streams, quick: bool = False) -> list[Row]:
    """A client is declared dropped, its mask key given away, and then its upload comes."""
    victim, d = 3, 4096
    cohort = Cohort(streams, 7, d)
    opened = cohort.opening()
    late = Tap(cohort.crowd(), hold=lambda index, message: index == victim and message[5] == Masked.TYPE)
    exchange = cohort.exchange(opened, late)
    exchange.open()
    current = cohort.parties[victim].state.round
    assert current is not None
    own = current.secrets.selves[0]
    sums = exchange.sums({0: range(7)})
    assert sums[0].alive.size == 6 and late.held
    heard = [message for _, _, message in cohort.heard.messages] + [message for _, message in late.held]
    attacker = Stripping(cohort, heard)
    assert attacker.mask_keys[victim], "the dropped client's key is known"
    truth = cohort.vector(victim, opened)
    value, uniform = right(attacker.strip(victim), truth), _uniform(attacker.strip(victim))
    attacker.told(victim, self_seed=own)
    stripped = attacker.strip(victim)
    return [
        _opened("12", "late upload of a dropped client: its vector in plain", value, "without self masks",
                right(stripped, truth)),
        Row("12", "the same, bytes less pair masks: p of being uniform", uniform, "> 0.001", uniform > 0.001,
            "without self masks", _uniform(stripped), "< 1e-6", _uniform(stripped) < 1e-6),
    ]  # fmt: skip


def _uniform(values: Ring) -> float:
    """p of a chi-square test of the bytes."""
    return float(chisquare(np.bincount(np.frombuffer(values.tobytes(), np.uint8), minlength=256)).pvalue)


def _opened(number: str, name: str, value: float, off: str, against: float) -> Row:
    return Row(number, name, value, "0", value == 0, off, against, "1", against == 1)
