"""SCAFFOLD: two clients against a few lines of numpy, the identity with FedAvg, absent clients, resume."""

import numpy as np
import pytest

import disue
from disue.core.errors import UserError
from disue.parts.local import Controlled
from disue.runs.federate import Federate
from disue.runs.setup import prepare
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


def run(name, **changes):
    method = {"name": name} | ({"aggregate": {"weights": "uniform"}} if name == "fedavg" else {})
    out = Federate(prepare(Spec.of({**BASE, **changes, "method": method})), None)
    for _ in out:
        pass
    return out


def test_the_first_round_is_fedavg_with_uniform_weights():
    many = {"rounds": 1, "local": {"epochs": 2, "batch": 20, "lr": 0.05}}
    ours, theirs = run("scaffold", **many).state.average, run("fedavg", **many).state.average
    np.testing.assert_array_equal(ours, theirs)
    many["rounds"] = 3
    assert np.abs(run("scaffold", **many).state.average - run("fedavg", **many).state.average).max() > 1e-4


def test_against_a_reference_of_softmax_regression():
    """One full-batch step a round: gradients in float64, variates by the paper's lines; absent clients keep c_i."""
    federate = Federate(prepare(Spec.of({**BASE, "method": {"name": "scaffold"}})), None)
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
    assert federate.engine.memory.ids == sorted(own)
    for client, value in own.items():
        np.testing.assert_allclose(federate.engine.memory.get(client)["control"], value, atol=1e-5)


def test_resumed_is_uninterrupted(tmp_path):
    spec = {**BASE, "checkpoint": {"every": 1}, "method": {"name": "scaffold"}}
    disue.run(spec, tmp_path / "whole", report=False)

    class Stop(Exception):
        pass

    def stop(record):
        if record.round == 2:
            raise Stop

    with pytest.raises(Stop):
        disue.run(spec, tmp_path / "cut", report=False, on_round=stop)
    disue.resume(tmp_path / "cut", report=False)
    name = "checkpoint/round-00004.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_momentum_is_refused():
    with pytest.raises(UserError, match="momentum must be 0"):
        Controlled(momentum=0.9)
