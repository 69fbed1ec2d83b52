"""A protected run's transcript: nothing of a single client's training stands in it."""

from __future__ import annotations

import numpy as np
import pytest

from disue.runs import protect
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec
from disue.secure.check.audit import audit
from disue.secure.check.transcript import TO_SERVER, joined, likeness

SPEC = {
    "rounds": 2,
    "data": {"name": "digits"},
    "partition": {"kind": "disjoint-labels", "clients": 12},
    "cohort": {"share": 1.0},
    "local": {"epochs": 1},
    "method": {"name": "disue", "k": 2},
    "privacy": {"similarity": "sketch", "transcript": True},
}


def test_nothing_of_a_client_stands_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = prepare(Spec.of(SPEC))
    run = SimulatedRun(setup, None)
    counts = setup.partition.counts(setup.dataset.y_train)
    hidden = {f"counts {client}": counts[at] for at, client in enumerate(setup.federation.ids.tolist())}
    updates = {}
    door = protect.Protection.door

    def watched(self, orders, plain):
        for client, row in zip(orders.ids.tolist(), orders.which[:, 0], strict=True):
            end = np.asarray(plain.ends[client])
            updates[f"update {orders.round} {client}"] = end - orders.starts[row]
            hidden[f"end {orders.round} {client}"] = end
            hidden[f"head bias {orders.round} {client}"] = setup.world.layout.head(end - orders.starts[row])[1]
        return door(self, orders, plain)

    monkeypatch.setattr(protect.Protection, "door", watched)
    for _ in run:
        pass
    assert run.side.protection is not None and run.side.protection.transcript is not None
    messages = run.side.protection.transcript.messages
    assert len(updates) == 24 and len(messages) > 500
    rows = audit(messages, {**hidden, **updates})
    assert all(row.good for row in rows), [row for row in rows if not row.good]
    stream = joined(message for way, _, message in messages if way == TO_SERVER)
    for update in updates.values():
        worst, most = likeness(stream, update)
        assert worst < most
        assert likeness(stream + update.tobytes(), update)[0] > 2 * most
