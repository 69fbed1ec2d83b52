"""`python -m disue.secure.check.fuzz --inputs N --seed S [TARGET …]`: mutated messages, and what comes of them.

Valid messages of whole rounds are changed with their structure in mind: bits, bytes and fields overwritten, counts set
to extremes, parts cut out, doubled, exchanged or taken from other messages; then the length in the header is mended and
the message signed anew, or not. Only named refusals may come out, what a parser accepts must be the one encoding of
what it read, and memory is bounded by the limit that the parser was given.

TARGET  a message type, which is decoded; "load", a roster; "client" and "server", a machine in the state in which it
        took the message; all of them by default
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.core.streams import Streams
from disue.secure.check.cohort import Cohort
from disue.secure.client import machine as client
from disue.secure.client.state import Aborted, Ready, State
from disue.secure.server import machine as server
from disue.secure.server.exchange import Exchange
from disue.secure.server.state import Refused, Round, opening
from disue.secure.wire.codec import decode, encode, is_signed
from disue.secure.wire.hashes import signed
from disue.secure.wire.header import NO_PASS, NO_SUM, SERVER, SIZE, ZERO, Header
from disue.secure.wire.messages import NAMES, SIGNATURE, Abort, Choice, Signs
from disue.secure.wire.names import Refusal
from disue.secure.wire.roster import load

LIMIT = 1 << 16  # bytes that a parser may take here
PEAK = 4 * LIMIT + (1 << 20)
WATCHED = 64  # every so many inputs the memory is measured, which slows them down
EXTREMES = (0, 1, 2, 3, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

Moment: TypeAlias = tuple[State | Round | None, bytes]


@dataclass
class Result:
    """What became of a target's inputs. refused  by name; peak  most bytes held in one of the inputs watched"""

    target: str
    inputs: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        names = ", ".join(f"{name} {count:,}" for name, count in self.refused.most_common())
        return (
            f"{self.target:12s} {self.inputs:9,} inputs, {self.accepted:9,} accepted, "
            f"peak {self.peak / 1024:6.0f} KiB, {self.seconds:7.1f} s; refused: {names}"
        )


def fuzz(inputs: int, seed: int = 0, targets: Sequence[str] = ()) -> Iterator[Result]:
    """The results of each target; whatever is no refusal, and every other breach, is raised with the input in hex."""
    corpus = moments()
    every = [*NAMES.values(), "load", "client", "server"]
    for name in targets or every:
        if name not in every:
            raise ValueError(f"target {name!r}: one of {', '.join(every)}")
        yield _one(name, inputs, seed, corpus)


def _one(name: str, inputs: int, seed: int, corpus: list[Moment]) -> Result:
    kinds = {text: kind for kind, text in NAMES.items()} | {"load": 1}
    run: Callable[[State | Round | None, bytes], str]
    if name in ("client", "server"):
        run = _stepped
        wanted = State if name == "client" else Round
        seeds = [moment for moment in corpus if isinstance(moment[0], wanted)]
    else:
        run = _loaded if name == "load" else _decoded
        seeds = [moment for moment in corpus if moment[1][5] == kinds[name]]
    rng = random.Random(f"{seed} {name}")
    others = [message for _, message in corpus]
    resign = run is not _decoded  # nothing looks at a signature there
    result = Result(name)
    began = time.process_time()
    for at in range(inputs):
        before, message = rng.choice(seeds)
        given = mutated(message, others, rng, resign=resign)
        watched = at % WATCHED == 0
        if watched:
            tracemalloc.start()
        try:
            said = run(before, given)
        except Exception as error:
            raise AssertionError(f"{name}: {error!r} from {given.hex()}") from error
        finally:
            if watched:
                result.peak = max(result.peak, tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
        if result.peak > PEAK:
            raise AssertionError(f"{name}: {result.peak} bytes held for {given.hex()}")
        result.inputs += 1
        if said:
            result.refused[said] += 1
        else:
            result.accepted += 1
    result.seconds = time.process_time() - began
    return result


def _decoded(before: object, given: bytes) -> str:
    try:
        message = decode(given, limit=LIMIT, masked=LIMIT)
    except Refusal as refusal:
        return refusal.name
    again = message.header.pack(len(message.body_bytes)) + message.body.pack() + message.signature
    if again != given:
        raise ValueError("accepted, and not the one encoding")
    return ""


def _loaded(before: object, given: bytes) -> str:
    try:
        load(given, authority=KEY.public_key().public_bytes_raw(), limit=LIMIT)
    except Refusal as refusal:
        return refusal.name
    return ""


def _stepped(before: State | Round | None, given: bytes) -> str:
    if isinstance(before, State):
        after, _, event = client.step(before, given)
        if not isinstance(event, Aborted):
            return ""
        if after.round is not None:
            raise ValueError("refused, and keys are left")
        return event.refusal.name
    assert isinstance(before, Round)
    same, out, events = server.step(before, given)
    refused = [event.refusal.name for event in events if isinstance(event, Refused)]
    if refused and (same is not before or out) and refused != ["SeedDisagreement"]:
        raise ValueError("refused, and something changed")
    return refused[0] if refused else ""


def mutated(message: bytes, others: Sequence[bytes], rng: random.Random, resign: bool = True) -> bytes:
    """A message like this one, but for one to three changes of its header or body."""
    tail = SIGNATURE if is_signed(message[5], int.from_bytes(message[20:24], "little")) else 0
    header, body = bytearray(message[:SIZE]), bytearray(message[SIZE : len(message) - tail])
    end = message[len(message) - tail :]
    if rng.random() < 0.01:
        _swell(body, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.15:
            _change(header, rng, keep=True)
        elif rng.random() < 0.1:
            other = rng.choice(others)[SIZE:]
            at = rng.randrange(len(body) + 1)
            body[at : at + rng.randrange(64)] = other[at : at + rng.randrange(64)]
        else:
            _change(body, rng)
    if rng.random() < 0.85:
        header[24:28] = len(body).to_bytes(4, "little")
    if tail and resign and rng.random() < 0.7:
        end = KEYS.get(int.from_bytes(header[20:24], "little"), KEY).sign(signed(bytes(header), bytes(body)))
    return bytes(header + body) + end


def _swell(body: bytearray, rng: random.Random) -> None:
    """Up to the limit, with a count that may fit what comes after it."""
    size = rng.randrange(LIMIT // 2, LIMIT + 100)
    body[:] = bytes(body[:64]) + bytes(rng.choice((body[4:], b"\1", rng.randbytes(68))) or b"\0") * (size // 4)
    del body[size:]
    for at in rng.sample(range(0, 64, 4), 3):
        entry = rng.choice((4, 8, 12, 16, 24, 32, 38, 48, 68, 128, 200))
        body[at : at + 4] = ((size - at - 4) // entry).to_bytes(4, "little")


def _change(data: bytearray, rng: random.Random, keep: bool = False) -> None:
    """One change; `keep` the length."""
    size = len(data)
    what = rng.randrange(4 if keep else 9)
    if size == 0:
        data += rng.randbytes(rng.randrange(1, 9))
        return
    at = rng.randrange(size)
    if what == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif what == 1:
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif what in (2, 3):
        at -= at % 4
        width = min(rng.choice((2, 4, 4, 8)), size - at)
        value = rng.choice((*EXTREMES, size, size // 4, size // 66))
        data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    elif what == 4:
        del data[at : at + rng.choice((1, 2, 4, 8, 32, 68, size))]
    elif what == 5:
        data[at:at] = data[at : at + rng.choice((1, 4, 8, 32, 68, 100))]
    elif what == 6:
        data[at:at] = rng.randbytes(rng.choice((1, 4, 8, 32, 68)))
    elif what == 7:
        length = rng.choice((4, 8, 32, 68, 100))
        to = rng.randrange(size)
        one, other = bytes(data[at : at + length]), bytes(data[to : to + length])
        if len(one) == len(other):
            data[at : at + length], data[to : to + length] = other, one
    else:
        data.extend(rng.randbytes(rng.randrange(1, 70)))


KEYS: dict[int, Ed25519PrivateKey] = {}  # of the clients whose messages are signed anew


def moments() -> list[Moment]:
    """Messages of whole rounds, each with the state of the server, or of client 0, that took it in; and some others."""
    cohort = Cohort(Streams(7), 5, 6)
    KEYS.update({index: party.state.own.identity for index, party in cohort.parties.items()})
    found: list[Moment] = []
    for number, opened in enumerate((cohort.sketched(), cohort.in_two_passes()), start=1):
        exchange = cohort.exchange(opened)
        exchange.round = opening(cohort.roster, number, 0, opened)
        exchange.wire = _Watch(cohort, exchange, found)
        exchange.open()
        if opened.similarity:
            exchange.sketches()
        exchange.sums({0: range(5)})
    about = Header(Abort.TYPE, 1, 0, 0, ZERO)
    found += [(None, cohort.roster.message(KEY)), (None, encode(about, Abort(3, 2), KEYS[0]))]
    found += [(None, encode(replace(about, sender=SERVER), Abort(3, 2)))]
    found += [(None, encode(Header(Choice.TYPE, 1, 0, 0, ZERO), Choice(1, 2.0), KEYS[0]))]
    found += [(None, encode(Header(Signs.TYPE, 1, 0, 0, ZERO, NO_SUM, NO_PASS), Signs(ZERO[:16], (ZERO,)), KEYS[0]))]
    return found


@dataclass
class _Watch:
    """A wire that notes what client 0 and the server are about to take in."""

    cohort: Cohort
    exchange: Exchange
    found: list[Moment]

    def send(self, messages: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        for index, message in messages:
            party = self.cohort.parties[index]
            if client.wants(party.state, message) and party.state.round is not None:
                inputs = party.inputs(party.state.round.opened)
                party.state, _, _ = client.step(party.state, Ready(inputs))
            if index == 0:
                self.found.append((party.state, message))
            for answer in party.receive(message):
                self.found.append((self.exchange.round, answer))
                yield index, answer


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m disue.secure.check.fuzz", description="mutated messages")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--inputs", type=int, default=10_000, help="per target")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(words)
    try:
        for result in fuzz(asked.inputs, asked.seed, asked.targets):
            print(result, flush=True)
    except (AssertionError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
