"""Methods with one model: hand-made numbers of their new part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import methods_bed
import numpy as np
import pytest
import torch
from methods_bed import BASE, metrics

from disue.core.clients import Batch, Order
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import Entry, Layout
from disue.core.method import View
from disue.methods import TABLE
from disue.methods.feddyn import DriftCorrected
from disue.methods.fednova import Rescaled
from disue.parts.aggregate import Adaptive
from disue.parts.local import Contrastive, Dynamic, Normalised, NotTrue, Proximal
from disue.parts.local.normalised import LENGTH, effective
from disue.runs.federate import Federate
from fakes import answer, orders, vec, world

HALF = {**BASE, "cohort": {"share": 0.5}}
D = 6


def run(name: str, method: Mapping[str, Any] = {}, **changes: Any) -> Federate:
    """Keys of a table are changed one by one."""
    tables = {k: {**HALF[k], **v} if isinstance(v, Mapping) else v for k, v in changes.items()}
    return methods_bed.run(**{**HALF, **tables, "method": {"name": name, **method}})


def test_every_method_with_one_model_learns() -> None:
    for name in ("fedprox", "fednova", "feddyn", "moon", "fedntd", "fedavgm", "fedadam", "fedyogi"):
        assert name in TABLE
        found = metrics(**{**HALF, "rounds": 12, "evaluate": {"every": 12}, "method": {"name": name}})
        assert found["served_global"] > 40, name  # chance is 10


# -- the parts by hand ---------------------------------------------------------------------------------


def order(start: np.ndarray, extras: Mapping[str, np.ndarray] = {}) -> Order:
    layout = Layout((Entry("w", start.shape),), "w", "w")
    return Order(17, 0, start, start[None], 0, np.ones(1), extras, 3, np.array([3]), layout)


def stepped(part: Any, start: np.ndarray, memory: Mapping[str, np.ndarray], target: float, steps: int) -> Any:
    """(end, what `finish` makes of it) after SGD on ½(w − target)²."""
    asked = order(start)
    context = part.context(asked, memory)
    fixed = {name: torch.from_numpy(np.array(value)) for name, value in context.fixed.items()}
    (phase,), w = part.phases, torch.from_numpy(np.array(start))
    for _ in range(steps):
        slope = w - target
        changed = phase.correct(slope, w, fixed)
        declared = phase.pull(fixed)
        if declared is not None:  # what is compiled is what is written
            torch.testing.assert_close(changed, slope + declared[0] * w + declared[1])
        w = w - part.lr * (slope if changed is None else changed)
    return w.numpy(), part.finish({"model": w.numpy()}, steps, context, asked)


@pytest.mark.hand("fedprox")
def test_fedprox_two_steps() -> None:
    """s = 0, a = 3, η = ¼, μ = 2: w₂ = ηa + ηa(1 − η) − η² μ a = 0.75 + 0.5625 − 0.375."""
    end, _ = stepped(Proximal(lr=0.25, mu=2.0), np.zeros(1, np.float32), {}, 3.0, 2)
    assert end.tolist() == [0.9375]


@pytest.mark.hand("feddyn")
def test_feddyn_client() -> None:
    """α = 1, η = ½, one step from 2 towards 0. First visit: 2 → 1, q = −1.

    Second visit from 2: slope 2 + α(w − received) + α q = 2 + 0 − 1, end 1.5, q = −1 − ½.
    """
    part, start = Dynamic(lr=0.5, alpha=1.0), np.full(1, 2.0, np.float32)
    end, done = stepped(part, start, {}, 0.0, 1)
    assert end.tolist() == [1.0] and done.memory["drift"].tolist() == [-1.0]
    end, done = stepped(part, start, done.memory, 0.0, 1)
    assert end.tolist() == [1.5] and done.memory["drift"].tolist() == [-1.5]


def forward_of(named: Mapping[str | None, torch.Tensor]) -> Any:
    return lambda inputs, name=None: (named[name], named[name])


@pytest.mark.hand("moon")
def test_moons_contrast() -> None:
    """cos = 1 and 0 at τ = ½: log(1 + e^−2) = 0.126928."""
    (phase,) = Contrastive(mu=1.0, tau=0.5).phases
    z, turned = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    batch = Batch(z, torch.tensor([0]))
    found = phase.loss(forward_of({None: z, "received": 5 * z, "previous": turned}), batch, {})
    assert float(found) == pytest.approx(math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(-2.0)), abs=1e-6)


@pytest.mark.hand("fedntd")
def test_not_true_distillation() -> None:
    """Others (0, 0) against received (ln 3, 0): ¾ ln 1.5 + ¼ ln ½ = 0.130812; the true logit counts in neither."""
    (phase,) = NotTrue(beta=1.0, temperature=1.0).phases
    labels = torch.tensor([1, 0])
    ours = torch.tensor([[0.0, 7.0, 0.0], [3.0, 0.0, 0.0]])
    told = torch.tensor([[math.log(3.0), -5.0, 0.0], [9.0, 0.0, math.log(3.0)]])
    found = phase.loss(forward_of({None: ours, "received": told}), Batch(ours, labels), {})
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    plain = torch.nn.functional.cross_entropy(ours, labels)
    assert float(found - plain) == pytest.approx(expected, abs=1e-6)


def test_two_classes_have_no_other_to_keep() -> None:
    (phase,) = NotTrue(beta=9.0).phases
    logits = torch.tensor([[0.3, -1.0], [2.0, 0.1]])
    labels = torch.tensor([1, 0])
    named = forward_of({None: logits, "received": -logits})
    plain = torch.nn.functional.cross_entropy(logits, labels)
    assert float(phase.loss(named, Batch(logits, labels), {})) == pytest.approx(float(plain), abs=1e-7)


@pytest.mark.hand("fednova")
def test_effective_steps() -> None:
    """The sum of what each gradient moves: with momentum ρ the first of two is used 1 + ρ times."""
    assert effective(2, 0.9) == pytest.approx(1 + 1.9)
    assert effective(3, 0.5) == pytest.approx((1 + 0.5 + 0.25) + (1 + 0.5) + 1)


# -- the server's parts by hand -------------------------------------------------------------------------


def merged(part: Any, ends: Mapping[int, np.ndarray], memory: Any = None, start: np.ndarray | None = None, **door: Any):
    start = np.zeros(D, np.float32) if start is None else start
    at = world((17, 902), D)
    groups = Groups.one(at.census.ids)
    asked = orders((17, 902), start)
    view = View(0, groups, start[None], start, None)
    came = answer(asked, ends, at.layout, weights=part.weights, **door)
    memory = part.init(at, start, groups) if memory is None else memory
    return part.merge(at, memory, view, groups, asked, came, common=True)


@pytest.mark.hand("fednova")
def test_fednova_by_hand() -> None:
    """p = ½, τ = (1, 3), Δ = (−1, −6): d = (−1, −2), τ_eff = 2, step −3 (FedAvg: −3.5)."""
    part, ends, lengths = Normalised(), {}, {}
    for client, steps, moved in ((17, 1, -1.0), (902, 3, -6.0)):
        asked = order(np.zeros(D, np.float32))
        done = part.finish({"model": np.full(D, moved, np.float32)}, steps, part.context(asked, {}), asked)
        ends[client], lengths[client] = done.end, done.extras[LENGTH]
    out = merged(Rescaled(), ends, extras={LENGTH: lengths})
    np.testing.assert_allclose(out.average, -3.0, rtol=1e-6)


@pytest.mark.hand("feddyn")
def test_feddyns_server() -> None:
    """Both answer, first round: what is sent next is start + 2 · mean Δ, what is scored start + mean Δ."""
    start = np.full(D, 1.0, np.float32)
    out = merged(DriftCorrected(), {17: vec(*[2.0] * D), 902: vec(*[4.0] * D)}, start=start)
    assert out.average.tolist() == [3.0] * D and out.models.tolist() == [[5.0] * D]
    # only one of the two answers: its Δ = 2 moves q̄ by 2 / 2, from 2 to 3
    out = merged(DriftCorrected(), {17: vec(*[3.0] * D)}, memory=out.memory, start=start)
    assert out.average.tolist() == [3.0] * D and out.models.tolist() == [[6.0] * D]


def test_feddyn_serves_its_average_and_sends_another() -> None:
    found = run("feddyn", local={"alpha": 0.5}, rounds=2)
    state, setup = found.state, found.setup
    served = setup.method.serve(setup.world, state, np.sort(setup.ids))
    assert all(np.array_equal(served.models[row], state.average) for row in served.receives)
    assert not np.array_equal(state.models[0], state.average)
    asked = setup.method.ask(setup.world, state, np.sort(setup.ids))
    assert np.array_equal(asked.starts[0], state.models[0])


@pytest.mark.hand("fedadam", "fedyogi")
@pytest.mark.parametrize(("rule", "second"), [("adam", 0.99 * 1e-6 + 0.01), ("yogi", 1e-6 + 0.01)])
def test_adaptive_servers_by_hand(rule: str, second: float) -> None:
    """Δ = 1 from v₀ = τ² = 1e-6: m = 0.1, and no correction of the bias."""
    out = merged(Adaptive(rule, server_lr=0.5), {17: vec(*[1.0] * D), 902: vec(*[1.0] * D)})
    np.testing.assert_allclose(out.memory.second, second, rtol=1e-6)
    np.testing.assert_allclose(out.average, 0.5 * 0.1 / (math.sqrt(second) + 1e-3), rtol=1e-5)
    still = merged(Adaptive(rule), {17: vec(*[0.0] * D), 902: vec(*[0.0] * D)})
    assert still.average.tolist() == [0.0] * D


def test_adaptive_with_a_large_tau_is_fedavg() -> None:
    """β₁ = 0, η = τ → ∞: η Δ / (√v + τ) → Δ, as v₀ = τ² halves it unless β₂ forgets it."""
    ends = {17: vec(*[1.0] * D), 902: vec(*[3.0] * D)}
    out = merged(Adaptive("adam", server_lr=1e6, beta1=0.0, beta2=0.0, tau=1e6), ends)
    np.testing.assert_allclose(out.average, 2.0, rtol=1e-3)


@pytest.mark.parametrize("given", [{"rule": "sgd"}, {"server_lr": 0.0}, {"beta1": 1.0}, {"beta2": -0.1}, {"tau": 0.0}])
def test_adaptive_ranges(given: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        Adaptive(**given)
    assert next(iter(given)) in caught.value.key
