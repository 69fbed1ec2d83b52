"""The golden files of rounds: every byte of one round, and a message for every refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from secure_bed import read

from disue.secure.wire.messages import NAMES
from disue.secure.wire.names import REFUSALS
from golden import FOLDER, LOST, MERGED, golden, refusal_of, refusals, transcript

STORED = json.loads(FOLDER.joinpath("transcript.json").read_text())
CASES = sorted(FOLDER.joinpath("refused").glob("*.json"))


def test_a_round_is_the_same_to_the_byte():
    """But for sketches, whose last grid step may differ between machines, and the signatures over them."""
    fed, exchange = golden()
    rows = transcript(fed.kept)
    assert fed.roster.message().hex() == STORED["roster"]
    assert len(rows) == len(STORED["messages"])
    for row, stored in zip(rows, STORED["messages"], strict=True):
        if row["type"] == "SKETCH":
            one, other = (read(bytes.fromhex(found["hex"])) for found in (row, stored))
            assert one.header == other.header and one.body.confirmation == other.body.confirmation
            drawn, kept = (np.frombuffer(found.body.values[0], "<i2").astype(int) for found in (one, other))
            assert np.abs(drawn - kept).max() <= 1
        else:
            assert row == stored
    one = exchange.sums(MERGED)[1]
    assert one.alive.tolist() == [0, 1, 2, 4] and LOST == 3
    np.testing.assert_allclose(np.concatenate(one.sections), fed.expected(one.alive), rtol=0, atol=4 * 2**-33)


def test_the_round_has_every_kind_of_message_but_those_of_other_modes():
    assert {row["type"] for row in STORED["messages"]} == set(NAMES.values()) - {"ROSTER", "CHOICE", "ABORT", "SIGNS"}


def test_every_refusal_has_a_file():
    assert [path.stem for path in CASES] == sorted(kind.__name__ for kind in REFUSALS)


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_a_message_is_refused_by_its_name(path):
    case = json.loads(path.read_text())
    assert refusal_of(case, STORED["messages"]) == case["refusal"] == path.stem


def test_the_files_are_what_the_code_makes():
    made = refusals(STORED["messages"])
    for path in CASES:
        assert json.loads(path.read_text()) == json.loads(json.dumps({"refusal": path.stem} | made[path.stem]))
