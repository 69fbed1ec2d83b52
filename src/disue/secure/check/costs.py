"""What the protocol costs on this machine: processor seconds of one thread, medians of repeated runs."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disue.core.checks import Vector
from disue.core.streams import Streams
from disue.secure.check.cohort import Cohort
from disue.secure.check.row import keys
from disue.secure.client.sketch import Sketcher, count_sketch
from disue.secure.client.sketch import Streams as Keys
from disue.secure.server.exchange import Exchange
from disue.secure.wire import boxes, hashes, masks, ring, rules, shamir
from disue.secure.wire.estimate import cosines

LENET, RESNET = 62_006, 11_173_962
HEAD = 136  # bytes of a masked upload besides its numbers
LEAST = 0.01  # seconds that one timing takes at least: shorter steps are repeated within it


@dataclass(frozen=True)
class Cost:
    """`who` (client or server) spends `seconds` of processor time on `step` once; `size` says for how much.

    up, down  bytes that one client sends and receives, where the step is a phase of a round
    """

    who: str
    step: str
    size: str
    seconds: float
    up: int | None = None
    down: int | None = None


def costs(quick: bool = False, repeats: int = 5, progress: Callable[[str], None] = lambda _: None) -> list[Cost]:
    """The steps of a round one by one, then whole rounds by phase.

    quick  leaves out the model of 11 million parameters, the large cohorts and CKKS
    """
    out = []
    for who, step, size, once in _steps(quick):
        progress(f"{step}, {size}")
        out.append(Cost(who, step, size, median(once, repeats)))
    out += multiplied(out, (LENET,) if quick else (LENET, RESNET), (100, 1000))
    for clients in (10,) if quick else (10, 100):
        progress(f"a round of {clients} clients")
        out += whole(clients, LENET)
    return out


def multiplied(steps: Sequence[Cost], models: Sequence[int], cohorts: Sequence[int]) -> list[Cost]:
    """What a sum over a whole cohort takes, from the measured steps: nothing of it was carried out, as each row says.

    A client masks with all others, or with 64 of more than that; it checks everybody's keys, and seals shares for all,
    or for 64 holders.
    """
    took = {(cost.step, cost.size): cost.seconds for cost in steps}
    box = took["seal a box", "66 bytes"] + took["open a box", "66 bytes"]
    exchange = took["key exchange", "X25519"] + took["key derivation", "HKDF-SHA256"]
    out = []
    for d in models:
        size = f"d = {d:,}"
        mask, upload = took["one mask", size], HEAD + 8 * d
        for clients in cohorts:
            partners, holders = (min(clients - 1, most) for most in (rules.DEGREE, rules.HOLDERS))
            said = f"{size}, {clients:,} clients, multiplied out"
            masked = took["fixed point", size] + (partners + 1) * mask + took["hash of the upload", size]
            out.append(Cost("client", f"mask with {partners} partners", said, masked, upload))
            checked = clients * took["verification", "Ed25519"] + (partners + holders) * exchange + holders * box
            out.append(Cost("client", "keys of all, and boxes", said, checked))
            removed = clients * (took["add one upload", size] + mask)
            out.append(Cost("server", "add uploads, remove self masks", said, removed))
            out.append(Cost("server", "remove the masks of one lost member", said, partners * mask))
    return out


def whole(clients: int, d: int) -> list[Cost]:
    """A round of one group through the machines, by phase: the median client, and the server's work for all."""
    cohort = Cohort(Streams(0), clients, d)
    crowd = cohort.crowd()
    exchange = Exchange(cohort.roster, cohort.sketched(k=256, m=4096), crowd, number=1)
    exchange.open()
    exchange.sketches()
    exchange.sums({0: range(clients)})
    size = f"{clients} clients, d = {d:,}"
    out = []
    for phase, cost in exchange.cost.items():
        spent = crowd.seconds.get(phase)
        if spent:
            up, down = cost.up // clients, cost.down // clients
            out.append(Cost("client", f"round: {phase}", size, statistics.median(spent.values()), up, down))
        out.append(Cost("server", f"round: {phase}", size, cost.seconds))
    return out


def median(once: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of processor time of one call; the first call, which touches the memory, is not counted."""
    began = time.process_time()
    once()
    inner = max(1, int(LEAST / max(time.process_time() - began, 1e-7)))
    found = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(inner):
            once()
        found.append((time.process_time() - began) / inner)
    return statistics.median(found)


def _steps(quick: bool) -> Iterator[tuple[str, str, str, Callable[[], object]]]:
    for d in (LENET,) if quick else (LENET, RESNET):
        yield from _of_updates(d)
    yield from _of_keys()
    for holders in (10, 64) if quick else (10, 64, 100):
        yield from _of_shares(holders)
    if not quick:
        yield from _of_ckks()
    for clients in (10, 100) if quick else (10, 100, 1000):
        rows = np.random.default_rng(0).integers(-30000, 30000, (clients, 256)).astype(np.int16)
        yield "server", "cosines of sketches", f"{clients} clients", partial(cosines, rows)


def _of_updates(d: int) -> Iterator[tuple[str, str, str, Callable[[], object]]]:
    size = f"d = {d:,}"
    update = np.random.default_rng(0).normal(size=d).astype(np.float32)
    wide, total = update.astype(np.float64), np.zeros(d, np.uint64)
    upload = ring.encode(wide, 32, 8.0, "update")
    one = keys(Streams(0))
    for m in (4096, 16384):
        yield "client", f"sketch, k = 256, m = {m}", size, partial(_fresh, one, m, update)
    shared = Sketcher(one, 256, 4096)
    yield "client", "the same, matrix shared by the cohort", size, lambda: shared.sketch(update)
    yield "client", "of it, CountSketch", size, lambda: count_sketch(update, one.countsketch, 4096)
    yield "client", "fixed point", size, lambda: ring.encode(wide, 32, 8.0, "update")
    yield "client", "one mask", size, lambda: masks.add(total, one.extra)
    yield "client", "hash of the upload", size, lambda: hashlib.sha256(upload.data).digest()
    yield "server", "add one upload", size, lambda: np.add(total, upload, out=total)


def _of_ckks() -> Iterator[tuple[str, str, str, Callable[[], object]]]:
    """Of the encrypted reference, where its library is installed."""
    if importlib.util.find_spec("tenseal") is None:
        return
    from disue.secure.client.ckks import Key
    from disue.secure.wire.ckks import SLOTS, products

    key = Key.make()
    row = np.random.default_rng(0).normal(size=SLOTS) / np.sqrt(SLOTS)
    sent = key.encrypt(row)
    yield "client", "CKKS: encrypt a CountSketch", f"{SLOTS} numbers", lambda: key.encrypt(row)
    yield "server", "CKKS: all 45 pairs", "10 clients", lambda: list(products(key.public, [sent] * 10))


def _fresh(streams: Keys, m: int, update: Vector) -> object:
    """As a client alone has it: the matrix is made for this one sketch."""
    return Sketcher(streams, 256, m).sketch(update)


def _of_keys() -> Iterator[tuple[str, str, str, Callable[[], object]]]:
    mine, theirs = os.urandom(32), boxes.public_of(os.urandom(32))
    secret, salt, content = os.urandom(32), os.urandom(16), os.urandom(66)
    sealed = boxes.seal(secret, salt, b"info", content)
    identity = Ed25519PrivateKey.generate()
    signature, public = identity.sign(content), identity.public_key()
    yield "client", "key pair", "X25519", lambda: boxes.public_of(os.urandom(32))
    yield "client", "key exchange", "X25519", lambda: boxes.shared(mine, theirs)
    yield "client", "key derivation", "HKDF-SHA256", lambda: hashes.hkdf(secret, salt, content)
    yield "client", "signature", "Ed25519", lambda: identity.sign(content)
    yield "client", "verification", "Ed25519", lambda: public.verify(signature, content)
    yield "client", "seal a box", "66 bytes", lambda: boxes.seal(secret, salt, b"info", content)
    yield "client", "open a box", "66 bytes", lambda: boxes.unseal(secret, salt, b"info", sealed)


def _of_shares(holders: int) -> Iterator[tuple[str, str, str, Callable[[], object]]]:
    size, threshold, secret = f"{holders} holders", 2 * holders // 3 + 1, os.urandom(32)
    shares = dict(enumerate(shamir.split(secret, holders, threshold, os.urandom)))
    chosen = tuple(sorted(shares)[:threshold])
    yield "client", "split a secret", size, lambda: shamir.split(secret, holders, threshold, os.urandom)
    yield "server", "weights of the answerers", size, lambda: shamir.lagrange.__wrapped__(chosen)
    yield "server", "combine a secret", size, lambda: shamir.combine(shares, threshold)
