"""Makes the golden files of rounds: `python tests/secure/golden.py` writes them, the tests hold them against the code.

transcript.json   one round of five clients, every message: sketches, two groups of which one is below the floor and is
                  merged into the other, one client that drops after its shares
refused/NAME.json per refusal a message that is refused by that name, and what its receiver took in before it: hex, or
                  the number of a message of the transcript
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from secure_bed import SECTIONS, START, Federation, changed, identity, read

from disue.secure.client.local import Memory, Policy, Received
from disue.secure.server import machine
from disue.secure.server.exchange import Exchange, Kept
from disue.secure.server.state import DONE, Deadline, Failed, Group, Refused, Round, Trained, opening
from disue.secure.wire.codec import encode
from disue.secure.wire.hashes import lot_hash, vector_hash
from disue.secure.wire.header import SERVER, Header
from disue.secure.wire.messages import NAMES, NOBODY, Abort
from disue.secure.wire.names import REFUSALS
from disue.secure.wire.opening import SKETCH, STATIC
from disue.secure.wire.roster import Roster

FOLDER = Path(__file__).parents[1] / "golden" / "secure" / "v1"
FOUND = {1: [0, 1, 2], 4: [3, 4]}  # what the method would find
MERGED = {1: [0, 1, 2, 3, 4]}  # after the floor of three
LOST = 3
MEMBERS = 5


def golden() -> tuple[Federation, Exchange]:
    """The round of the transcript; `kept` has its messages."""
    fed = Federation(MEMBERS)
    exchange = fed.exchange(opened(fed), dropouts={"masked": [LOST]})
    exchange.open()
    exchange.sketches()
    exchange.sums(MERGED)
    return fed, exchange


def opened(fed: Federation) -> Any:
    return replace(fed.open(SKETCH), k=16, m=64)


def transcript(kept: Kept) -> list[dict[str, Any]]:
    """Messages in order; one that went to several clients stands once."""
    rows: list[dict[str, Any]] = []
    for way, index, raw in kept.messages:
        last = rows[-1] if rows else {}
        if way == b"d" and last.get("hex") == raw.hex():
            last["to"].append(index)
        else:
            row = {"type": NAMES[raw[5]]} | ({"to": [index]} if way == b"d" else {"from": index}) | {"hex": raw.hex()}
            rows.append(row)
    return rows


def taken_by(rows: list[dict[str, Any]], index: int | None) -> list[bytes]:
    """What a client, or where None the server, took in."""
    mine = [row for row in rows if ("from" in row if index is None else index in row.get("to", ()))]
    return [bytes.fromhex(row["hex"]) for row in mine]


def client_after(case: dict[str, Any], before: list[bytes]) -> Any:
    """The party that a case is for, after what it took in."""
    fed = Federation(case.get("clients", MEMBERS))
    memory = Memory(lots=tuple(bytes.fromhex(lot) for lot in case.get("lots", ())))
    received = fed.received(opened(fed))
    policy = Policy(min_cell=2 if case.get("strict") else 1)
    more = {"received": lambda _: received} if case.get("strict") else {}
    party = fed.party(0, memory=memory, policy=policy, **more)
    authority = identity(99).public_key().public_bytes_raw()
    party.state = replace(party.state, own=replace(party.state.own, authority=authority))
    for message in before:
        party.receive(message)
    assert not party.events, party.events
    return party


def server_after(before: list[bytes]) -> Round:
    """The server after some messages; where one does not fit the stage, a deadline passes."""
    fed = Federation(MEMBERS)
    current = opening(fed.roster, 1, 0, opened(fed))
    for message in before:
        current = moved_on(current, message)
        current, _, events = machine.step(current, message)
        assert not any(isinstance(event, Refused) for event in events), events
    return current


def moved_on(current: Round, message: bytes) -> Round:
    """What the driver does before this message can come."""
    if current.stage == "TRAINING":
        current, _, _ = machine.step(current, Trained())
    if current.stage == "GROUPING":
        current, _, _ = machine.step(current, Group({1: tuple(MERGED[1])}))
    one = current.sums.get(0)
    if one is not None and one.stage == "COLLECTING" and message[5] == 14:
        current, _, _ = machine.step(current, Deadline("COLLECTING", 0))
    return current


def refusal_of(case: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """By what name a case is refused."""
    index = None if case["by"] == "server" else 0
    taken = taken_by(rows, index)
    before = [taken[one] if isinstance(one, int) else bytes.fromhex(one) for one in case["before"]]
    message = bytes.fromhex(case["message"]) + bytes(case.get("zeros", 0))
    if index == 0:
        party = client_after(case, before)
        party.receive(message)
        assert party.state.round is None
        return str(party.events[-1].refusal.name)
    current = moved_on(server_after(before), message)
    current, _, events = machine.step(current, message)
    if not any(isinstance(event, Refused | Failed) for event in events):
        current, _, events = machine.step(current, Deadline(current.sums[0].stage, 0))
    found = [event.refusal.name for event in events if isinstance(event, Refused | Failed)]
    assert found, events
    return found[0]


class Cases:
    """Messages that are refused, made from those of the transcript."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.down, self.up = taken_by(rows, 0), taken_by(rows, None)
        self.found: dict[str, dict[str, Any]] = {}

    def client(self, name: str, kind: str, change: Callable[[bytes], bytes], again: bool = False, **more: Any) -> None:
        """Client 0 is given a changed message, in the place of the first of its kind or, `again`, after it."""
        at = next(at for at, raw in enumerate(self.down) if NAMES[raw[5]] == kind)
        before = list(range(at + again))
        self.found[name] = {"by": "client 0", "before": before, "message": change(self.down[at]).hex()} | more

    def server(self, name: str, kind: str, change: Callable[[bytes], bytes], again: bool = False) -> None:
        at = next(at for at, raw in enumerate(self.up) if NAMES[raw[5]] == kind)
        before = list(range(at + again))
        self.found[name] = {"by": "server", "before": before, "message": change(self.up[at]).hex()}

    def told(self, name: str) -> None:
        """What only a party's own data or clock can bring about reaches the others as an ABORT."""
        code = [kind.__name__ for kind in REFUSALS].index(name) + 1
        raw = self.down[1]
        abort = encode(Header(18, 1, 0, SERVER, raw[32:64]), Abort(code, NOBODY))
        self.found[name] = {"by": "client 0", "before": [0], "message": abort.hex()}


def sign(**fields: Any) -> Callable[[bytes], bytes]:
    """Fields of a client's message changed, and signed by the client that sent it."""

    def change(raw: bytes) -> bytes:
        old = read(raw).body
        new = {name: value(getattr(old, name)) if callable(value) else value for name, value in fields.items()}
        return changed(raw, identity(read(raw).header.sender), **new)

    return change


def body(**fields: Any) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        old = read(raw).body
        return changed(raw, **{n: v(getattr(old, n)) if callable(v) else v for n, v in fields.items()})

    return change


def head(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda raw: changed(raw, header=fields)


def first(change: Callable[[Any], Any]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda old: (change(old[0]), *old[1:])


def second(change: Callable[[Any], Any]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda old: (old[0], change(old[1]), *old[2:])


def refusals(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A case for each refusal."""
    made = Cases(rows)
    made.client("Malformed", "ALIVE", lambda raw: raw[:-1])
    made.client("TooLarge", "ALIVE", lambda raw: raw, zeros=4 * 2**20 + 200)
    made.client("WrongVersion", "KEYS_LIST", lambda raw: raw[:4] + b"\2" + raw[5:])
    made.server("BadSignature", "SKETCH", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    made.server("UnknownSender", "KEYS", lambda raw: changed(raw, identity(9), {"sender": 9}))
    made.client("WrongRoster", "ROUND_OPEN", body(roster=bytes(32)))
    made.client("Replay", "ROUND_OPEN", body(min_group=4), again=True)
    made.client("WrongRound", "SEED_RELAY", head(attempt=1))
    made.client("WrongContext", "SEED_RELAY", head(context=bytes(32)))
    made.server("Duplicate", "KEYS", sign(box=bytes(32)), again=True)
    made.client("UnexpectedMessage", "SEED_RELAY", body(boxes=()), again=True)
    made.client("PolicyTooWeak", "ROUND_OPEN", body(min_group=2))
    made.client("WrongLayout", "ROUND_OPEN", body(layout=bytes(32)))
    made.client("WrongStart", "ROUND_OPEN", body(starts=(bytes(32),)))
    made.client("WrongReference", "ROUND_OPEN", body(reference=bytes(32)))
    wide = (replace(SECTIONS[0], bound=2.0**40), *SECTIONS[1:])
    made.client("OverflowPossible", "ROUND_OPEN", body(sections=wide))
    made.client("NotInRoster", "ROUND_OPEN", body(cohort=lambda old: old[1:]))
    zero = body(messages=second(lambda raw: changed(raw, identity(1), box=bytes(32))))
    made.client("WeakKey", "KEYS_LIST", zero)
    twice = lambda old: (old[0], changed(old[1], identity(1), box=read(old[0]).body.box), *old[2:])  # noqa: E731
    made.client("DuplicateKey", "KEYS_LIST", body(messages=twice))
    made.client("LeaderMissing", "SEED_RELAY", body(boxes=lambda old: old[1:]))
    made.client("SecondSum", "GROUPS", body(groups=((1, (0, 1, 2)),)), again=True)
    made.client("BoxTampered", "SEED_RELAY", body(boxes=first(lambda box: replace(box, salt=bytes(16)))))
    made.server("SeedDisagreement", "SKETCH", sign(confirmation=bytes(16)))
    made.server("SecondSketch", "SKETCH", sign(confirmation=bytes(16)), again=True)
    made.client("GroupTooSmall", "GROUPS", body(groups=tuple((n, tuple(found)) for n, found in FOUND.items())))
    made.client("TooFewAlive", "ALIVE", body(members=(0, 1)))
    made.client("Equivocation", "ALIVE_PROOF", body(messages=lambda old: old[:3]))
    made.client("BothShares", "ALIVE", body(members=(0, 1, 2)), again=True)
    for name in ("ZeroUpdate", "NonFinite", "OutOfBound", "Timeout"):
        made.told(name)
    found = made.found
    unmask = [at for at, raw in enumerate(made.up) if NAMES[raw[5]] == "UNMASK"]
    spoilt = sign(shares=lambda old: tuple((m, kind, bytes([s[0] ^ 1]) + s[1:]) for m, kind, s in old))
    last = made.up[unmask[-1]]
    found["BadShares"] = {"by": "server", "before": list(range(unmask[-1])), "message": spoilt(last).hex()}
    masked = [at for at, raw in enumerate(made.up) if NAMES[raw[5]] == "MASKED"]
    found["ImplausibleSum"] = _implausible(made, masked[0], unmask[-1])
    found["SeedDisagreement"] = _minority(made)
    _of_other_rounds(found)
    return found


def _minority(made: Cases) -> dict[str, Any]:
    """The last sketch, with which all are there, confirms another seed."""
    at = max(at for at, raw in enumerate(made.up) if NAMES[raw[5]] == "SKETCH")
    return {"by": "server", "before": list(range(at)), "message": sign(confirmation=bytes(16))(made.up[at]).hex()}


def _implausible(made: Cases, masked: int, last: int) -> dict[str, Any]:
    """One vector shifted by half the ring; the sum shows it once all masks are off."""
    shifted = sign(values=lambda old: old + np.uint64(2**63))(made.up[masked])
    before: list[Any] = list(range(last))
    before[masked] = shifted.hex()
    return {"by": "server", "before": before, "message": made.up[last].hex()}


def _of_other_rounds(found: dict[str, dict[str, Any]]) -> None:
    """Refusals that take another roster, other starts, or static sections."""
    authority = identity(99)
    fed = Federation(MEMBERS)
    newer = replace(fed.roster, version=2).message(authority)
    stale = {"by": "client 0", "before": [newer.hex()], "message": fed.roster.message(authority).hex()}
    found["StaleRoster"] = stale

    start = vector_hash(START)
    cells = {"starts": (start, start), "cohort": tuple((i, int(i == 4)) for i in range(5)), "min_cell": 2}
    taken = _taken(replace(opened(fed), **cells, similarity=0, k=0, m=0, slices=()), fed, {1: [0, 1, 2, 3]})
    at = next(at for at, raw in enumerate(taken) if raw[5] == 9)
    message = changed(taken[at], groups=((1, (0, 1, 2, 3, 4)),)).hex()
    before = [raw.hex() for raw in taken[:at]]
    found["CellTooSmall"] = {"by": "client 0", "before": before, "message": message, "strict": True}

    six = Federation(6)
    static = tuple(replace(section, policy=STATIC) for section in SECTIONS)
    taken = _taken(six.open(sections=static), six, {0: list(range(6))})
    at = next(at for at, raw in enumerate(taken) if raw[5] == 9)
    before = [raw.hex() for raw in taken[:at]]
    lots = [lot_hash([bytes([n]) * 16]).hex() for n in range(2)]
    found["StaticBudgetSpent"] = {
        "by": "client 0", "before": before, "message": taken[at].hex(), "clients": 6, "lots": lots,
    }  # fmt: skip
    relay = changed(taken[at + 1], present=(0, 1, 2, 3, 4), boxes=read(taken[at + 1]).body.boxes[:4])
    found["LotBroken"] = {
        "by": "client 0", "before": [*before, taken[at].hex()], "message": relay.hex(), "clients": 6,
    }  # fmt: skip


def _taken(opening_: Any, fed: Federation, groups: dict[int, list[int]]) -> list[bytes]:
    """What client 0 takes in during another round."""
    for index in fed.parties:
        received: Received = fed.received(opening_)
        fed.parties[index] = fed.party(index, received=lambda _, found=received: found)
    exchange = fed.exchange(opening_)
    exchange.open()
    exchange.sums(groups)
    assert exchange.round.stage == DONE
    return taken_by(transcript(fed.kept), 0)


def write() -> None:
    fed, _ = golden()
    rows = transcript(fed.kept)
    FOLDER.joinpath("refused").mkdir(parents=True, exist_ok=True)
    body_ = {"roster": Roster.message(fed.roster).hex(), "messages": rows}
    FOLDER.joinpath("transcript.json").write_text(json.dumps(body_, indent=1) + "\n")
    for name, case in refusals(rows).items():
        text = json.dumps({"refusal": name} | case, indent=1)
        FOLDER.joinpath("refused", f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(write())
