"""Methods whose clients use models of their own: identities with what they become when their part is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from methods_bed import BASE, metrics, run

from disue.core.clients import Phase, Sgd, personal_of, private_of
from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.layout import HEAD, WHOLE
from disue.core.method import View
from disue.core.orders import Orders, Report, Sight
from disue.engine import Engine
from disue.engine.batches import Draws
from disue.engine.interface import Work
from disue.evaluation import hundred
from disue.methods.pfedme import Relaxed
from disue.parts.local import (
    Erm,
    FineTuned,
    HeadFirst,
    Meta,
    Mixed,
    Moreau,
    PrivateNorm,
    PrivatePart,
    Tethered,
)
from disue.parts.local.meta import MetaFit
from disue.parts.local.mixed import MixedFit
from disue.parts.local.moreau import MoreauFit
from disue.parts.local.proximal import ProximalFit
from disue.runs.newcomers import _epoch
from disue.runs.personal import personal_models
from engine.engine_bed import IDS, Bed, Held, bed
from fakes import answer, orders, vec, world

SUMS = Report(sight=frozenset({Sight.SUMS}))
SHORT: Mapping[str, Any] = {"epochs": 1, "batch": 5, "lr": 0.2}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def rounds(b: Bed, local: Any, count: int = 2, backend: str = "lean", **given: Any) -> tuple[list[np.ndarray], Engine]:
    """FedAvg's server by hand: (models after each round, engine)."""
    engine, models, start = b.engine(backend), [], b.start
    for r in range(count):
        orders = b.orders(local, starts=start[None], round=r, report=SUMS, **given)
        uploads = engine.answer(b.world(), orders)
        start = (start + uploads.sums(Groups.one(uploads.ids)).whole_mean()).astype(np.float32)
        models.append(start)
    return models, engine


def own(b: Bed, engine: Engine, local: Any, start: np.ndarray, ids: Any = IDS) -> dict[int, np.ndarray]:
    """What clients make themselves of a received vector."""
    orders = b.orders(personal_of(local), ids, starts=start[None], stream="personal", report=Report())
    return engine.answer(b.world(), orders).ends


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, c) for a, c in zip(one, other, strict=True))


def average(name: str, **tables: Any) -> np.ndarray:
    return np.asarray(run(method={"name": name}, **tables).state.average)


@pytest.fixture(scope="module")
def fedavg() -> np.ndarray:
    return average("fedavg", cohort={"share": 0.5})


# -- the federation beside the personal models ---------------------------------------------------------


@pytest.mark.parametrize("name", ["fedavg-ft", "ditto"])
def test_what_is_federated_is_fedavg_bit_for_bit(name: str, fedavg: np.ndarray) -> None:
    every = {"cohort": {"share": 0.5}, "evaluate": {"every": 1}}  # evaluations between rounds touch no stream
    assert np.array_equal(average(name, **every), fedavg)


def test_private_nothing_is_fedavg_bit_for_bit(fedavg: np.ndarray) -> None:
    half = {"cohort": {"share": 0.5}}
    assert np.array_equal(average("fedper", local={**BASE["local"], "kept": ""}, **half), fedavg)
    assert not np.array_equal(average("fedper", **half), fedavg)


def test_an_evaluation_costs_no_federation() -> None:
    for name in ("fedavg-ft", "ditto"):
        rows = run(method={"name": name}, evaluate={"every": 1}).rows
        plain = run(method={"name": "fedavg"}).rows
        for key in ("bytes_up", "bytes_down"):
            assert [row[key] for row in rows] == [row[key] for row in plain]
        assert all("personal_local" in row for row in rows)


# -- fedavg-ft -----------------------------------------------------------------------------------------


def test_fine_tuning_is_local_training_from_what_was_received() -> None:
    b = bed("tiny")
    engine = b.engine()
    local = FineTuned(**{**SHORT, "epochs": 3}, lr_decay=0.5, tuning=2).at(1)
    found = own(b, engine, local, b.start)
    alone = b.train(Erm(**{**SHORT, "epochs": 2, "lr": 0.1}), stream="personal").ends
    assert all(np.array_equal(found[i], alone[i]) for i in IDS)
    assert not engine.memory.ids
    received = own(b, engine, replace(local, tuning=0), b.start)
    assert all(np.array_equal(received[i], b.start) for i in IDS)


def test_no_fine_tuning_scores_as_fedavg() -> None:
    everything = {"local": {**BASE["local"], "tuning": 0}, "evaluate": {"every": 100, "local": "split"}}
    found = metrics(method={"name": "fedavg-ft"}, **everything)
    assert found["personal_local"] == pytest.approx(found["group_local"])
    assert "personal_clients" not in found  # all eight of them


def test_above_a_hundred_clients_a_hundred_are_looked_at() -> None:
    many = {"partition": {"kind": "iid", "clients": 120}, "cohort": {"share": 0.1}, "rounds": 1}
    federate = run(method={"name": "ditto"}, **many)
    some = hundred(federate.setup.ids, federate.setup.world.streams)
    assert federate.rows[-1]["personal_clients"] == 100.0
    found = personal_models(federate.side.trainer, federate.setup, federate.state, some)
    assert sorted(found) == some.tolist()
    trained = set(federate.side.trainer.memory.ids)
    for client, model in found.items():  # who never took part uses what it receives
        assert np.array_equal(model, federate.state.average) == (client not in trained)


# -- entries that stay at the client -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fedper", "fedrep"])
def test_nothing_of_the_head_travels(name: str) -> None:
    federate = run(method={"name": name}, local={**BASE["local"], "epochs": 2})
    layout, start = federate.setup.world.layout, federate.setup.start
    head = layout.mask(HEAD)
    assert np.array_equal(federate.state.average[head], start[head])
    assert (federate.state.average[~head] != start[~head]).any()
    sent = 4 * int((~head).sum()) * 8
    assert all(row["bytes_up"] == row["bytes_down"] == sent for row in federate.rows[1:])
    models = personal_models(federate.side.trainer, federate.setup, federate.state, federate.setup.ids)
    for client, model in models.items():
        assert np.array_equal(model[~head], federate.state.average[~head])
        assert np.array_equal(model[head], federate.side.trainer.memory.get(client)["own"])
    assert len({model.tobytes() for model in models.values()}) == 8


def test_what_is_received_is_not_scored_where_it_is_no_model() -> None:
    row = run(method={"name": "fedper"}, cohort={"share": 0.5, "newcomers": 0.25}).rows[-1]
    scored = {name for name in row if name.endswith(("_local", "_global")) and not name.startswith("seconds")}
    assert scored == {"served_global", "personal_local", "majority_local"} and "own_clients" not in row


def test_newcomers_train_a_model_of_their_own_for_an_epoch() -> None:
    """Head and body together, from the body as received and the initial head; the trained head is theirs to use."""
    federate = run(method={"name": "fedper"}, cohort={"newcomers": 0.25})
    found = _epoch(federate.side.trainer, federate.setup, federate.round, federate.state.average, federate.setup.late)
    plain = run(method={"name": "fedavg"}, cohort={"newcomers": 0.25})
    assert np.array_equal(plain.setup.late, federate.setup.late)
    alone = _epoch(plain.side.trainer, plain.setup, plain.round, federate.state.average, federate.setup.late)
    assert len(found) == 2 and same(list(found.values()), list(alone.values()))
    assert not set(federate.side.trainer.memory.ids) & set(found)


def test_newcomers_of_a_fine_tuned_method_are_fine_tuned() -> None:
    tables = {"cohort": {"newcomers": 0.25}, "local": {**BASE["local"], "tuning": 3}}
    federate = run(method={"name": "fedavg-ft"}, **tables)
    late = federate.setup.late
    found = _epoch(federate.side.trainer, federate.setup, federate.round, federate.state.average, late)
    longer = Orders(
        round=federate.round,
        ids=late,
        starts=federate.state.average[None],
        which=np.zeros((2, 1), np.int64),
        local=Erm(**{**BASE["local"], "epochs": 3}),
        stream="personal",
    )
    alone = federate.side.trainer.answer(federate.setup.world, longer).ends
    assert same([found[i] for i in late], [alone[i] for i in late])


def test_private_all_is_local_training() -> None:
    b = bed("normed")
    local = PrivatePart(**SHORT, kept="whole")
    models, engine = rounds(b, local)
    assert same(models, [b.start, b.start])
    alone = rounds(b, Erm(**SHORT), own=True)[1]
    found = own(b, engine, local, b.start)
    for client in IDS:
        assert np.array_equal(found[client], alone.memory.get(client)["end"])


def test_private_tensors_are_named_and_take_their_statistics_with_them() -> None:
    b = bed("normed")
    mine = private_of(PrivatePart(kept="norm*,head.bias"), b.layout)
    assert mine.sum() == 4 * 3 + 4
    with pytest.raises(UserError, match="nothing"):
        PrivatePart(kept="nothing").check(b.layout)
    assert not private_of(PrivatePart(kept=""), b.layout).any() and not private_of(Erm(), b.layout).any()


@pytest.mark.parametrize(
    ("name", "why"), [("disue", "no expert"), ("ifca", "cannot choose"), ("clustered", "none but those")]
)
def test_private_entries_are_refused_where_the_server_would_need_them(name: str, why: str) -> None:
    method = {"name": name, "k": 2, "local": {"kind": "private-part"}}
    with pytest.raises(UserError, match=why):
        run(method=method)
    run(method=method, local={**BASE["local"], "kept": ""}, rounds=1)


def test_updates_hold_nothing_of_private_entries() -> None:
    b = bed("normed")
    local = PrivatePart(**SHORT)
    models, engine = rounds(b, local, 1)
    uploads = engine.answer(b.world(), b.orders(local, starts=models[0][None], round=1))
    head = b.layout.mask(HEAD)
    assert not uploads.vectors()[:, head].any() and uploads.vectors()[:, ~head].any(axis=1).all()
    assert (uploads.gram(HEAD).values == 0).all()


def test_fedbn_without_batch_norm_is_fedavg() -> None:
    b = bed("tiny")
    assert same(rounds(b, PrivateNorm(**SHORT))[0], rounds(b, Erm(**SHORT))[0])


def test_fedbn_keeps_batch_norm_at_home() -> None:
    b = bed("normed")
    local = PrivateNorm(**SHORT)
    models, engine = rounds(b, local, 1)
    mine = local.private(b.layout)
    assert mine.sum() == 4 * 3  # weight, bias, running mean and variance of three channels
    assert np.array_equal(models[0][mine], b.start[mine]) and (models[0][~mine] != b.start[~mine]).any()
    kept = {i: engine.memory.get(i)["own"] for i in IDS}
    assert not np.array_equal(kept[17], kept[902])
    for client in IDS:  # the next round starts from the server's body and the client's own batch norm
        start = models[0].copy()
        start[mine] = kept[client]
        assert np.array_equal(own(b, engine, local, models[0], [client])[client], start)
        alone = b.train(Erm(**SHORT), ids=[client], starts=start[None], round=1).ends[client]
        uploads = engine.answer(b.world(), b.orders(local, starts=models[0][None], round=1, ids=[client]))
        assert np.array_equal(uploads.ends[client][~mine], alone[~mine])
        assert np.array_equal(engine.memory.get(client)["own"], alone[mine])


def test_fedbn_finds_every_batch_norm_of_a_residual_network() -> None:
    b = bed("residual")
    names = [e.name for e in b.layout.entries if PrivateNorm().private(b.layout)[b.layout.slices[e.name].start]]
    assert names == [e.name for e in b.layout.entries if "BatchNorm" in e.module] and len(names) > 12
    PrivateNorm().check(b.layout)


def test_fedbn_is_refused_on_a_model_without_batch_norm() -> None:
    with pytest.raises(UserError, match="no batch normalisation") as found:
        run(method={"name": "fedbn"})
    assert found.value.key == "model"


def test_fedrep_trains_the_head_and_then_the_body() -> None:
    b = bed("normed")
    head = b.layout.mask(HEAD)
    both = b.engine()
    uploads = both.answer(b.world(), b.orders(HeadFirst(epochs=3, batch=5, lr=0.2)))
    alone = b.engine()
    still = alone.answer(b.world(), b.orders(HeadFirst(epochs=2, batch=5, lr=0.2, body_epochs=0)))
    for client in IDS:
        assert np.array_equal(still.ends[client], b.start)  # statistics stand still too
        mine = both.memory.get(client)["own"]
        assert np.array_equal(mine, alone.memory.get(client)["own"]) and not np.array_equal(mine, b.start[head])
        assert (uploads.ends[client][~head] != b.start[~head]).any()


def test_fedrep_with_a_fixed_body_is_local_training_of_heads() -> None:
    b = bed("tiny")
    local = HeadFirst(**{**SHORT, "epochs": 2}, body_epochs=0)
    models, engine = rounds(b, local)
    assert same(models, [b.start, b.start])
    start = b.start.copy()
    head = b.layout.mask(HEAD)
    for r in (0, 1):
        orders = b.orders(_HeadAlone(**{**SHORT, "epochs": 2}), ids=[17], starts=start[None], round=r)
        start = b.engine().answer(b.world(), orders).ends[17].copy()
    assert np.array_equal(engine.memory.get(17)["own"], start[head])


@dataclass(frozen=True)
class _HeadAlone(Erm):
    @property
    def phases(self) -> tuple[Phase, ...]:
        return (replace(super().phases[0], trains=HEAD),)  # type: ignore[type-var]


def test_fedreps_head_is_never_left_untrained() -> None:
    assert [phase.sgd.epochs for phase in HeadFirst(epochs=5).phases] == [4, 1]
    assert [phase.sgd.epochs for phase in HeadFirst(epochs=1).phases] == [1, 1]
    assert [phase.sgd.epochs for phase in HeadFirst(epochs=5).brief(1).phases] == [1, 0]
    for wrong in ({"body_epochs": 6}, {"body_epochs": -1}, {"steps": 3}):
        with pytest.raises(UserError):
            HeadFirst(**wrong)


# -- ditto ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tether", [0.0, 0.7])
def test_dittos_global_branch_is_fedavg_and_without_pull_the_personal_one_is_local_training(tether: float) -> None:
    b = bed("tiny")
    local = Tethered(**SHORT, tether=tether)
    models, engine = rounds(b, local)
    assert same(models, rounds(b, Erm(**SHORT))[0])
    alone = rounds(b, Erm(**SHORT), own=True)[1]
    found = own(b, engine, local, models[-1])
    for client in IDS:
        assert np.array_equal(found[client], alone.memory.get(client)["end"]) == (tether == 0.0)


@dataclass(frozen=True)
class Square(ProximalFit):
    """½‖logits − 1‖² where inputs are zero: a quadratic in the bias alone."""

    def loss(self, forward: Any, batch: Any, context: Any) -> torch.Tensor:
        out: torch.Tensor = 0.5 * (forward(batch.inputs)[0] - 1).square().sum(1).mean()
        return out


def flat_bed(labels: int = 4) -> Bed:
    """A linear model on inputs that are zero: only its four biases, entries 20 to 24, have a gradient."""
    b = bed("linear")
    held = Held({i: (np.zeros((labels, 5), np.float32), np.zeros(labels, np.int64)) for i in IDS})
    return Bed(b.module, b.shape, held, "vector")


@pytest.mark.hand("ditto")
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_dittos_fixed_point_by_hand(steps: int) -> None:
    """F = ½(v − 1)², w = 0, v = 0, η = ½, λ = 1: v = ½, then ½ − ½(−½ + ½) = ½ = 1/(1 + λ)."""

    class Quadratic(Tethered):
        @property
        def phases(self) -> tuple[Phase, ...]:
            return (Square(Sgd(lr=0.5, steps=steps, batch=100), vector="personal", mu=self.tether),)

    b = flat_bed()
    engine = b.engine()
    engine.answer(b.world(), b.orders(Quadratic(), starts=np.zeros((1, 24), np.float32)))
    np.testing.assert_allclose(engine.memory.get(17)["personal"][20:], 0.5, atol=1e-6)


# -- apfl ----------------------------------------------------------------------------------------------


class Quadratic:
    """In place of the loss of a phase: ½‖logits − 1‖², which on inputs of zero is ½‖biases − 1‖²."""

    def loss(self, forward: Any, batch: Any, context: Any) -> torch.Tensor:
        out: torch.Tensor = 0.5 * (forward(batch.inputs)[0] - 1).square().sum(1).mean()
        return out


@dataclass(frozen=True)
class QuadraticMixture(Quadratic, MixedFit): ...


@dataclass(frozen=True)
class Mixture(Mixed):
    @property
    def phases(self) -> tuple[Phase, ...]:
        return (QuadraticMixture(self.sgd, adaptive=self.adaptive),)


@pytest.mark.hand("apfl")
@pytest.mark.parametrize(
    ("lr", "adaptive", "w", "v", "share"),
    [
        # w' = η = ½, v̄ = ½ · 0 + ½ · w' = ¼, slope −¾: v' = ½ · ¾; α' = ½ − ½ · 4 · (0 − ½)(−¾) < 0
        (0.5, False, 0.5, 0.375, 0.5),
        (0.5, True, 0.5, 0.375, 0.0),
        # w' = 0.1, v̄ = 0.05, slope −0.95: v' = 0.095; α' = ½ − 0.1 · 4 · (0 − 0.1)(−0.95)
        (0.1, True, 0.1, 0.095, 0.462),
    ],
)
def test_apfl_by_hand(lr: float, adaptive: bool, w: float, v: float, share: float) -> None:
    b = flat_bed()
    engine = b.engine()
    local = Mixture(steps=1, lr=lr, batch=100, adaptive=adaptive)
    uploads = engine.answer(b.world(), b.orders(local, starts=np.zeros((1, 24), np.float32)))
    kept = engine.memory.get(902)
    np.testing.assert_allclose(uploads.ends[902][20:], w, atol=1e-6)
    np.testing.assert_allclose(kept["own"][20:], v, atol=1e-6)
    np.testing.assert_allclose(kept["share"], [share], atol=1e-6)
    received = np.full(24, 2.0, np.float32)
    mixed = share * kept["own"] + (1 - share) * received
    np.testing.assert_allclose(own(b, engine, local, received)[902], mixed, atol=1e-6)


@pytest.mark.parametrize("name", ["tiny", "normed"])
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.5, "weight_decay": 0.1, "clip": 0.5}], ids=["plain", "rich"])
def test_apfls_ends_of_the_range(name: str, settings: dict[str, float]) -> None:
    """The global branch is FedAvg for every α; with α = 0 a client uses what it received, with 1 it trains alone."""
    b = bed(name)
    given = {**SHORT, **settings}
    plain, alone = rounds(b, Erm(**given), backend="loop")[0], rounds(b, Erm(**given), backend="loop", own=True)[1]
    for alpha in (0.0, 0.3, 1.0):
        local = Mixed(**given, alpha=alpha, adaptive=False)
        models, engine = rounds(b, local, backend="loop")
        assert same(models, plain)
        found = own(b, engine, local, models[-1])
        for client in IDS:
            assert np.array_equal(found[client], models[-1]) == (alpha == 0.0)
            assert np.array_equal(found[client], alone.memory.get(client)["end"]) == (alpha == 1.0)


def test_apfls_share_is_kept_from_round_to_round_and_stays_in_its_range() -> None:
    b = bed("tiny")
    engine = rounds(b, Mixed(**{**SHORT, "lr": 1.0}), 3)[1]
    shares = {i: float(engine.memory.get(i)["share"][0]) for i in IDS}
    assert all(0.0 <= share <= 1.0 for share in shares.values()) and len(set(shares.values())) > 1


# -- pfedme --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QuadraticEnvelope(Quadratic, MoreauFit): ...


@dataclass(frozen=True)
class Envelope(Moreau):
    @property
    def phases(self) -> tuple[Phase, ...]:
        return (QuadraticEnvelope(self.sgd, tether=self.tether, inner=self.inner, own_lr=self.own_lr),)


def envelope(lr: float, steps: int = 1, tether: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(w, θ) of a client that starts at 0."""
    b = flat_bed()
    engine = b.engine()
    local = Envelope(steps=steps, lr=lr, tether=tether, inner=60, own_lr=0.3, batch=100)
    uploads = engine.answer(b.world(), b.orders(local, starts=np.zeros((1, 24), np.float32)))
    return uploads.ends[902][20:], engine.memory.get(902)["theta"][20:]


@pytest.mark.hand("pfedme")
def test_pfedme_meets_its_prox_point() -> None:
    """F = ½(θ − 1)², λ = 1, w = 0: θ* = (1 + 0) / 2, and w moves by ηλ(θ* − w); then θ* = (1 + ⅛) / 2."""
    w, theta = envelope(0.25)
    np.testing.assert_allclose(theta, 0.5, atol=1e-6)
    np.testing.assert_allclose(w, 0.125, atol=1e-6)
    w, theta = envelope(0.25, steps=2)
    np.testing.assert_allclose(theta, 0.5625, atol=1e-6)
    np.testing.assert_allclose(w, 0.125 + 0.25 * (0.5625 - 0.125), atol=1e-6)


def test_pfedme_with_lr_times_tether_of_one_is_the_prox_point() -> None:
    w, theta = envelope(0.5, tether=2.0)
    np.testing.assert_allclose(theta, 1 / 3, atol=1e-6)
    np.testing.assert_allclose(w, theta, atol=1e-6)


def test_pfedme_without_a_tether_leaves_the_shared_model_alone() -> None:
    """θ is then plain training, `inner` steps on each batch."""
    b = bed("tiny")
    local = Moreau(epochs=1, batch=100, lr=0.1, tether=0.0, inner=3, own_lr=0.2)
    models, engine = rounds(b, local, 1)
    assert same(models, [b.start])
    alone = b.train(Erm(steps=3, batch=100, lr=0.2), round=0).ends  # a batch is all of a client's data
    for client in IDS:
        np.testing.assert_allclose(engine.memory.get(client)["theta"], alone[client], atol=1e-6)
    found = own(b, engine, local, np.zeros_like(b.start))
    assert all(np.array_equal(found[i], engine.memory.get(i)["theta"]) for i in IDS)


def test_pfedme_sends_the_statistics_that_its_own_model_has_seen() -> None:
    b = bed("normed")
    engine = b.engine()
    uploads = engine.answer(b.world(), b.orders(Moreau(epochs=1, batch=6)))
    still = ~b.layout.mask(WHOLE)
    assert still.sum() == 6 and not np.array_equal(uploads.ends[17][still], b.start[still])
    assert np.array_equal(uploads.ends[17][still], engine.memory.get(17)["theta"][still])


def test_pfedme_refuses_steps_beyond_its_own_model() -> None:
    with pytest.raises(UserError, match=r"at most 1 / local.tether, which is 0.06667"):
        Moreau(lr=0.07)
    Moreau(lr=0.07, tether=0.0)


def test_pfedmes_server_goes_beyond_the_mean() -> None:
    """β = 2 from 1 to a mean of 2: 1 + 2 · (2 − 1); tracked statistics become the mean."""
    at = world(statistics=1)
    start, asked = vec(1, 1, 1, 1, 1, 1), None
    asked = orders((4001, 17), start)
    ends = {4001: vec(1, 1, 1, 1, 1, 1), 17: vec(3, 3, 3, 3, 3, 3)}
    groups = Groups.one(np.array([4001, 17]))
    view = View(0, groups, start[None], start, None)
    for beta, there in ((2.0, 3.0), (0.5, 1.5)):
        part = Relaxed(beta)
        merged = part.merge(at, None, view, groups, asked, answer(asked, ends, at.layout), common=True)
        assert merged.average.tolist() == [there] * 5 + [2.0]
    short = {"local": {**BASE["local"], "inner": 2}, "rounds": 1}
    apart = [average("pfedme", **short) for _ in range(1)] + [
        np.asarray(run(method={"name": "pfedme", "beta": beta}, **short).state.average) for beta in (1.0, 2.0)
    ]
    assert np.array_equal(apart[0], apart[1]) and not np.array_equal(apart[0], apart[2])


# -- per-fedavg ----------------------------------------------------------------------------------------


class Square0:
    """In place of the loss of a phase: ½‖logits‖², which on inputs of zero is ½‖biases‖²."""

    def loss(self, forward: Any, batch: Any, context: Any) -> torch.Tensor:
        out: torch.Tensor = 0.5 * forward(batch.inputs)[0].square().sum(1).mean()
        return out


@dataclass(frozen=True)
class SquareMeta(Square0, MetaFit): ...


@pytest.mark.hand("per-fedavg")
@pytest.mark.parametrize(("order", "power"), [("first-order", 1), ("hessian-free", 2)])
def test_per_fedavg_by_hand(order: str, power: int) -> None:
    """F = ½w², so ∇F = w and the Hessian is 1: the way is (1 − α)w, and (1 − α)²w with the Hessian."""

    @dataclass(frozen=True)
    class Squared(Meta):
        @property
        def phases(self) -> tuple[Phase, ...]:
            return (SquareMeta(self.sgd, alpha=self.alpha, delta=self.delta if self.order != "first-order" else 0.0),)

    b = flat_bed()
    local = Squared(steps=1, lr=0.5, batch=100, alpha=0.25, order=order)
    end = b.train(local, starts=np.ones((1, 24), np.float32), double=True).ends[17][20:]
    np.testing.assert_allclose(end, 1 - 0.5 * 0.75**power, atol=1e-9)


def test_per_fedavg_without_adaptation_is_training_on_every_second_batch() -> None:
    b = bed("tiny")
    found = b.train(Meta(epochs=2, batch=5, lr=0.2, alpha=0.0)).ends
    for client in IDS:
        x, y = (torch.from_numpy(np.array(part)) for part in b.held.train(client))
        w = torch.from_numpy(np.array(b.start))
        draws = Draws(Work(b.network, b.world().streams, "batches", 3), client)
        for _, second in draws.steps("model", len(y), Sgd(epochs=2, batch=5), 1, 2):
            leaf = w.clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(b.network.forward(leaf, x[second], train=True)[0], y[second])
            w = w - 0.2 * torch.autograd.grad(loss, leaf)[0]
        np.testing.assert_allclose(found[client], w.numpy(), atol=1e-6)


def test_per_fedavgs_hessian_is_that_of_the_loss() -> None:
    """One step against second derivatives by autograd."""
    b = bed("mlp")
    client, alpha = 17, 0.3
    x, y = (torch.from_numpy(np.array(part)) for part in b.held.train(client))
    thirds = draws_of(b, client, 3)

    def loss(w: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(b.network.forward(w, x[rows].double())[0], y[rows])

    w = torch.from_numpy(b.start.astype(np.float64)).requires_grad_()
    (first,) = torch.autograd.grad(loss(w, thirds[0]), w)
    near = (w - alpha * first).detach().requires_grad_()
    (second,) = torch.autograd.grad(loss(near, thirds[1]), near)
    (slope,) = torch.autograd.grad(loss(w, thirds[2]), w, create_graph=True)
    (curve,) = torch.autograd.grad(slope @ second, w)
    local = Meta(steps=1, lr=0.5, batch=8, alpha=alpha, order="hessian-free")
    end = b.train(local, ids=[client], double=True).ends[client]
    np.testing.assert_allclose(end, (w - 0.5 * (second - alpha * curve)).detach().numpy(), atol=1e-7)
    without = b.train(replace(local, order="first-order"), ids=[client], double=True).ends[client]
    assert np.abs(without - end).max() > 1e-4


def draws_of(b: Bed, client: int, count: int) -> list[np.ndarray]:
    """The batches of a client's first step, of eight samples each."""
    draws = Draws(Work(b.network, b.world().streams, "batches", 3), client)
    return next(draws.steps("model", b.held.size(client), Sgd(steps=1, batch=8), 1, count))


def test_per_fedavgs_clients_adapt_in_a_step() -> None:
    b = bed("tiny")
    engine = b.engine()
    local = Meta(**SHORT, alpha=0.3, momentum=0.5, adaptation=2)
    found = own(b, engine, local, b.start)
    alone = b.train(Erm(steps=2, batch=5, lr=0.3), stream="personal").ends
    assert all(np.array_equal(found[i], alone[i]) for i in IDS)
    for idle in ({"adaptation": 0}, {"alpha": 0.0}):
        assert np.array_equal(own(b, engine, replace(local, **idle), b.start)[17], b.start)


def test_per_fedavg_weighs_clients_alike() -> None:
    sizes = {"kind": "class-dirichlet", "clients": 8, "alpha": 0.3}
    found = average("per-fedavg", partition=sizes)
    by_samples = run(method={"name": "per-fedavg", "aggregate": {"weights": "samples"}}, partition=sizes).state.average
    assert not np.array_equal(found, by_samples)


@pytest.mark.parametrize("wrong", [{"alpha": -0.1}, {"order": "second"}, {"delta": 0.0}, {"adaptation": -1}])
def test_per_fedavg_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Meta(**wrong)


# -- all of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fedavg-ft", "fedper", "fedrep", "ditto", "apfl", "pfedme", "per-fedavg"])
def test_clients_own_models_learn(name: str) -> None:
    settings = {"pfedme": {"own_lr": 0.1, "tether": 5.0, "inner": 3}, "per-fedavg": {"alpha": 0.1, "epochs": 5}}
    tables = {
        "partition": {"clients": 6, "alpha": 0.1},
        "rounds": 3,
        "evaluate": {"every": 100},
        "local": {**BASE["local"], "lr": 0.1, "epochs": 2, **settings.get(name, {})},
    }
    found = metrics(method={"name": name}, **tables)
    assert found["personal_local"] > found["majority_local"] + 10
