"""docs/protocol.md says what the code does, where it lists things."""

from __future__ import annotations

import re
from pathlib import Path

from disue.secure.wire.messages import NAMES, OF_A_SUM
from disue.secure.wire.names import REFUSALS
from disue.secure.wire.opening import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def test_every_message_is_listed():
    rows = re.findall(r"^\| (\d+) ([A-Z_]+) \| (.*) \| .* \| (.*) \|$", PAGE, re.M)
    assert {int(kind): name for kind, name, _, _ in rows} == NAMES
    about = {int(kind) for kind, _, _, context in rows if "pass" in context}
    assert about == OF_A_SUM


def test_every_refusal_is_listed_with_its_code_and_sentence():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.*) \|$", PAGE, re.M)
    expected = [(str(at), kind.__name__, kind.said.replace("{}", "…")) for at, kind in enumerate(REFUSALS, start=1)]
    assert rows == expected


def test_every_kind_of_section_is_listed():
    text = " ".join(PAGE.split())
    assert "Kinds: " + ", ".join(f"{kind} {name}" for kind, name in sorted(KINDS.items())) + "." in text
