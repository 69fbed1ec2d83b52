"""The encrypted reference: cosines of the CountSketches to three decimals, and nothing that the server can open."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.secure.client.sketch import Sketcher, Streams, count_sketch
from disue.secure.wire.ckks import library, products
from secure_by_hand import key

STREAMS = Streams(key("a"), key("b"), key("c"))


def updates(n: int, d: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(2, d))
    return [(base[i % 2] + 0.5 * rng.normal(size=d)).astype(np.float32) for i in range(n)]


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenseal", None)
    with pytest.raises(UserError, match=r"disue\[ckks\]"):
        library()


def test_cosines_are_those_of_the_count_sketches() -> None:
    pytest.importorskip("tenseal")
    from disue.secure.client.ckks import cosines

    given = updates(4, 3000)
    found = cosines(given, STREAMS, 1024)
    rows = np.stack([count_sketch(update, STREAMS.countsketch, 1024) for update in given])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.abs(found - rows @ rows.T).max() < 0.00051
    assert (found == found.T).all() and (np.diag(found) == 1).all()
    assert (np.abs(found * 1000 - np.rint(found * 1000)) < 1e-9).all()


def test_the_server_multiplies_what_it_cannot_open() -> None:
    ts = pytest.importorskip("tenseal")
    from disue.secure.client.ckks import Key

    held = Key.make()
    rows = np.random.default_rng(1).normal(size=(2, 4096))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sent = [held.encrypt(row) for row in rows]
    assert sent[0] != held.encrypt(rows[0]), "encryption is randomised"
    (product,) = products(held.public, sent)
    public = ts.context_from(held.public)
    assert not public.has_secret_key()
    with pytest.raises(ValueError):
        ts.ckks_vector_from(public, product).decrypt()
    assert held.reveal([product], 2)[0, 1] == pytest.approx(rows[0] @ rows[1], abs=0.00051)
    other = Key.make()
    assert abs(other.reveal([product], 2)[0, 1] - rows[0] @ rows[1]) > 0.01, "another key gives noise"
    with pytest.raises(UserError, match="4096"):
        held.encrypt(np.zeros(4097))


def test_as_the_sketch_but_without_its_error() -> None:
    pytest.importorskip("tenseal")
    from disue.secure.client.ckks import cosines
    from disue.secure.wire.estimate import cosines as estimated
    from disue.secure.wire.estimate import deviation

    given = updates(3, 2000)
    sketcher = Sketcher(STREAMS, 512, 4096)
    near = estimated(np.stack([sketcher.sketch(update) for update in given]))
    exact = cosines(given, STREAMS)
    assert (np.abs(near - exact) <= 4 * deviation(0, 512, 2**24) * (1 - exact**2) + 0.001).all()
