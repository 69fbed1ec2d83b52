"""Every derivation of a key is that of the format: golden, and spelt out a second time."""

from __future__ import annotations

import json

from disue.secure.client import seed
from disue.secure.wire import hashes
from secure_by_hand import GOLDEN, STREAMS, frozen, golden, key


def test_golden_derivations() -> None:
    told = {row["name"]: row for row in frozen("hkdf")}
    ikm, ctx, salt = key("ikm"), key("context"), key("salt")[:16]
    found = {
        "seed box": hashes.hkdf(ikm, salt, hashes.seed_box_info(ctx, 3, 20)),
        "share box": hashes.hkdf(ikm, salt, hashes.share_box_info(ctx, 3, 20)),
        "round seed": seed.round_seed([key("z 3"), key("z 8"), key("z 20")], [3, 8, 20], ctx),
        **{name: seed.stream_key(ikm, ctx, name, 1) for name in STREAMS},
        "pair mask": hashes.pair_mask(ikm, ctx, 20, 3),
        "self mask": hashes.self_mask(ikm, ctx, 20),
    }
    assert hashes.pair_mask(ikm, ctx, 3, 20) == found["pair mask"]
    assert seed.confirmation(ikm, ctx).hex() == told.pop("confirmation")["out"][:32]
    assert {name: out.hex() for name, out in found.items()} == {name: row["out"] for name, row in told.items()}
    for row in told.values():
        assert hashes.hkdf(*(bytes.fromhex(row[part]) for part in ("ikm", "salt", "info"))).hex() == row["out"]


def test_the_frozen_files_are_what_plain_python_makes() -> None:
    """Floats of the normals within an ulp or two of another machine's libm, the rest to the letter."""
    made = json.loads(json.dumps(golden()))
    made.pop("normals")
    for name, value in made.items():
        assert frozen(name) == value, name
    ours = {*made, "normals"}
    assert ours <= {path.stem for path in GOLDEN.glob("*.json")}
