"""The context of every message of a round of two passes, derived a second time from the bytes that were sent."""

from __future__ import annotations

from hashlib import sha256

from secure_bed import Federation, a_round

from disue.secure.client.local import Policy
from disue.secure.wire.messages import NAMES, OF_A_SUM


def h(name: str, *parts: bytes) -> bytes:
    return sha256(b"disue/1/" + name.encode() + b"\0" + b"".join(parts)).digest()


def body(raw: bytes) -> bytes:
    return raw[64 : 64 + int.from_bytes(raw[24:28], "little")]


def test_each_context_is_bound_to_all_that_came_before():
    fed = Federation(7, Policy(lots=False))
    exchange = fed.exchange(fed.two_passes(), number=5)
    a_round(fed, exchange, {2: range(4), 9: range(4, 7)})
    assert len(exchange.second()) == 2
    sent = [raw for _, _, raw in fed.kept.messages]

    def first(kind: int, sum_: bytes = b"\xff\xff") -> bytes:
        return body(next(raw for raw in sent if raw[5] == kind and raw[28:30] == sum_))

    of_round = h("round", fed.roster.hash, (5).to_bytes(8, "little"), bytes(4), h("body", first(2)))
    of_keys = h("keys", of_round, h("body", first(4)))
    expected = {2: fed.roster.hash, 3: of_round, 4: of_round, 9: of_keys}
    for raw in sent:
        kind, sum_, pass_ = raw[5], raw[28:30], raw[30:32]
        if kind in OF_A_SUM:
            of_sum = h("sum", of_keys, h("body", first(9)), sum_ + bytes(2), pass_[:1])
            context = of_sum if pass_ == b"\0\0" else h("pass", of_sum, h("body", first(17, sum_)))
        else:
            context = expected[kind]
        assert raw[32:64] == context, NAMES[kind]
    assert {raw[30:32] for raw in sent if raw[5] in OF_A_SUM} == {b"\0\0", b"\1\0"}
