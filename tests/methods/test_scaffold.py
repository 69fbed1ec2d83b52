"""SCAFFOLD: two clients against a few lines of numpy, absent clients."""

import numpy as np
import pytest
import torch

from disue.core.clients import Order
from disue.core.errors import UserError
from disue.core.layout import Entry, Layout
from disue.parts.local import Controlled
from disue.runs.simulated import SimulatedRun
from disue.runs.simulation import prepare
from disue.runs.spec import Spec

BASE = {
    "rounds": 4,
    "data": {"name": "digits"},
    "model": {"name": "mlp", "hidden": []},
    "partition": {"clients": 6, "alpha": 0.3},
    "cohort": {"share": 0.5},
    "local": {"steps": 1, "batch": 2000, "lr": 0.1},
    "evaluate": {"every": 100},
}


def test_against_a_reference_of_softmax_regression():
    """One full-batch step a round: gradients in float64, variates by the paper's lines; absent clients keep c_i."""
    federate = SimulatedRun(prepare(Spec.of({**BASE, "method": {"name": "scaffold"}})), None)
    data, x, c, own = federate.setup.federation, None, 0.0, {}
    for record in federate:
        if x is not None:
            steps, changes = [], []
            for client in record.cohort.tolist():
                inputs, labels = data.train(client)
                inputs = inputs.reshape(len(labels), -1).astype(np.float64)
                weight, bias = federate.setup.world.layout.head(x)
                z = inputs @ weight.T + bias
                p = np.exp(z - z.max(1, keepdims=True))
                p = p / p.sum(1, keepdims=True) - np.eye(p.shape[1])[labels]
                g = np.concatenate([(p.T @ inputs / len(labels)).ravel(), p.mean(0)])
                mine = own.get(client, 0.0)
                y = x - 0.1 * (g - mine + c)
                own[client] = mine - c + (x - y) / 0.1
                steps.append(y - x)
                changes.append(own[client] - mine)
            x, c = x + np.mean(steps, 0), c + len(steps) / 6 * np.mean(changes, 0)
            np.testing.assert_allclose(federate.state.average, x, atol=2e-6)
            np.testing.assert_allclose(federate.state.aggregate.control, c, atol=1e-5)
        x = federate.state.average.astype(np.float64) if x is None else x
    assert federate.side.trainer.memory.ids == sorted(own)
    for client, value in own.items():
        np.testing.assert_allclose(federate.side.trainer.memory.get(client)["control"], value, atol=1e-5)


def test_momentum_is_refused():
    with pytest.raises(UserError, match="momentum must be 0"):
        Controlled(momentum=0.9)


@pytest.mark.hand("scaffold")
def test_two_clients_by_hand():
    """Clients 4001 and 17, lr 0.5, one step, from x = 0 with gradients x − 1 and x + 3; both asked in both rounds.

    Round 1: ends 0.5 and −1.5; c_i⁺ = −1 and 3; x = −0.5; c = 1.
    Round 2: gradients −1.5 and 2.5, corrected (+c − c_i) 0.5 and 0.5: both end at −0.75, c_i⁺ = −1.5 and 2.5.
    """
    part, layout = Controlled(lr=0.5), Layout((Entry("w", (1,)),), "w", "w")
    x, c = np.zeros(1, np.float32), np.zeros(1, np.float32)
    memory = {4001: {}, 17: {}}
    for ends, own in (
        ({4001: 0.5, 17: -1.5}, {4001: -1.0, 17: 3.0}),
        ({4001: -0.75, 17: -0.75}, {4001: -1.5, 17: 2.5}),
    ):
        changes, last = [], []
        for client, slope in ((4001, x - 1), (17, x + 3)):
            labels = np.ones(1, np.int64)
            order = Order(client, 0, x, x[None], 0, np.ones(1), {"control": c}, 1, labels, layout)
            context = part.context(order, memory[client])
            tensors = {name: torch.from_numpy(np.array(value)) for name, value in context.fixed.items()}
            step = part.phases[0].correct(torch.from_numpy(slope), torch.from_numpy(x), tensors).numpy()
            done = part.finish({"model": x - np.float32(0.5) * step}, 1, context, order)
            memory[client] = done.memory
            assert done.end.tolist() == [ends[client]] and done.memory["control"].tolist() == [own[client]]
            changes.append(done.extras["control_change"])
            last.append(done.end)
        x, c = np.mean(last, 0, dtype=np.float32), c + np.float32(2 / 2) * np.mean(changes, 0, dtype=np.float32)
    assert x.tolist() == [-0.75] and c.tolist() == [0.5]
