"""The fuzzer on a few inputs per parser, and that it finds what it is for."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from disue.secure.check import fuzz
from disue.secure.wire import messages
from disue.secure.wire.messages import NAMES


def test_only_named_refusals_escape():
    results = list(fuzz.fuzz(250, seed=1))
    assert [result.target for result in results] == [*NAMES.values(), "load", "client", "server"]
    for result in results:
        assert result.inputs == 250 == result.accepted + sum(result.refused.values())
        assert result.accepted and result.refused["Malformed"] and 0 < result.peak < fuzz.PEAK


def test_the_same_seed_gives_the_same_inputs():
    corpus = fuzz.moments()
    others = [message for _, message in corpus]
    one, other = (random.Random(5) for _ in range(2))
    for _, message in corpus:
        assert fuzz.mutated(message, others, one) == fuzz.mutated(message, others, other)
    assert {message[5] for message in others} == set(NAMES)


@pytest.mark.parametrize("flaw", ["lenient", "crash", "hungry"])
def test_flaws_are_found(monkeypatch: pytest.MonkeyPatch, flaw: str):
    class Alive(messages.Alive):
        @staticmethod
        def unpack(reader):
            found = messages.Alive.unpack(reader) if flaw != "lenient" else messages.Alive(())
            if flaw == "lenient":
                reader.view(reader.left, "alive")
            if flaw == "crash" and found.members[:1] != (0,):
                raise IndexError("too many")
            if flaw == "hungry":
                bytearray(2 * fuzz.PEAK)
            return found

    monkeypatch.setitem(messages.BY_TYPE, 13, Alive)
    with pytest.raises(AssertionError, match="ALIVE: "):
        list(fuzz.fuzz(3000, targets=["ALIVE"]))


def test_the_command(capsys: pytest.CaptureFixture[str]):
    assert fuzz.main(["--inputs", "20", "--seed", "3", "CLOSE", "server"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("CLOSE") and second.startswith("server") and "20 inputs" in first
    assert fuzz.main(["nothing"]) == 1
    assert "one of ROSTER" in capsys.readouterr().err
    assert Counter() == fuzz.Result("x").refused
