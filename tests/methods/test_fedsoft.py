"""FedSoft: shares, means and draws by hand, the pull to every centre, what holds for how long, bytes, identities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from methods_bed import BASE, metrics, run

from disue.core.errors import UserError
from disue.core.groups import Groups
from disue.core.method import View
from disue.core.orders import Report, Sight
from disue.engine.fitting import shares as of_losses
from disue.methods import fedsoft, with_expert
from disue.parts.aggregate import SoftMean
from disue.parts.expert import Distil
from disue.parts.grouping import ByShares
from disue.parts.grouping.by_shares import Shares
from disue.parts.local import Erm, SoftProximal
from disue.parts.shares import floored
from disue.parts.start import EveryGroup
from disue.runs.personal import personal_models
from engine.engine_bed import IDS, bed
from fakes import answer, orders, vec, world

ORDER = sorted(IDS)
SHARES = Report(sight=frozenset({Sight.CHOICE, Sight.SUMS}), choice="shares")
ONE_STEP: dict[str, Any] = {"steps": 1, "batch": 1000, "lr": 0.2}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# -- shares --------------------------------------------------------------------------------------------


@pytest.mark.hand("fedsoft")
def test_two_of_three_samples() -> None:
    """Least losses 0, 0, 1: shares ⅔ and ⅓; a centre that fits none is given σ, and the sum is one again."""
    losses = np.array([[1.0, 1.0, 3.0], [2.0, 2.0, 1.0], [9.0, 9.0, 9.0]])
    found = of_losses(losses)
    np.testing.assert_allclose(found, [2 / 3, 1 / 3, 0.0])
    np.testing.assert_allclose(floored(found, 0.25), [8 / 15, 4 / 15, 3 / 15])
    assert floored(np.array([[1.0], [1.0]]), 1e-4).tolist() == [[1.0], [1.0]]


def assigned(part: ByShares, memory: Shares, round: int, rows: dict[int, tuple[float, ...]], groups: Groups) -> Any:
    at = world((4001, 17, 902), 6)
    asked = orders(tuple(rows), np.zeros(6, np.float32), round=round)
    came = answer(asked, {i: vec(*[0.0] * 6) for i in rows}, at.layout, chosen=rows)
    return part.assign(at, groups, memory, asked, came, survey=False)


@pytest.mark.hand("fedsoft")
def test_shares_hold_for_some_rounds() -> None:
    """4001 finds its shares in round 0 and 17 in round 1; with every = 2 they hold until rounds 1 and 2."""
    part, ids = ByShares(2, every=2), np.array([902, 17, 4001])
    first = assigned(part, part.init(world()).memory, 0, {4001: (0.25, 0.75)}, Groups.empty(2))
    assert first.groups.as_dict() == {4001: 1} and first.info.values["shares.found"] == 1
    then = assigned(part, first.memory, 1, {17: (0.5, 0.5), 4001: (0.25, 0.75)}, first.groups)
    assert then.groups.as_dict() == {17: 0, 4001: 1} and then.info.values["shares.found"] == 1
    assert then.memory.ids.tolist() == [17, 4001] and then.memory.since.tolist() == [1, 0]
    nan = [np.nan, np.nan]
    np.testing.assert_equal(part.known(then.memory, 2, ids), [nan, [0.5, 0.5], nan])
    np.testing.assert_equal(part.known(then.memory, 1, ids), [nan, [0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_equal(part.known(then.memory, 3, ids), [nan, nan, nan])


def test_who_is_told_its_shares_does_not_find_them() -> None:
    b = bed("linear")
    starts, which = centres(b), np.array([[0, 1]] * 3)
    told = np.array([[0.1, 0.9], [np.nan, np.nan], [0.7, 0.3]])
    given: dict[str, Any] = {"starts": starts, "which": which, "report": SHARES, "origin": None}
    free = b.train(Erm(**ONE_STEP), **given)
    came = b.train(Erm(**ONE_STEP), ids=ORDER, shares=told, **given)
    assert came.choice()[[0, 2]].tolist() == [[0.1, 0.9], [0.7, 0.3]]
    assert came.choice()[1].tolist() == free.choice()[1].tolist()
    assert came.bytes_up - free.bytes_up == -2 * 8 and came.bytes_down - free.bytes_down == 2 * 8
    turned = [ORDER.index(i) for i in IDS]  # asked in another order, and 17 does not answer
    asked = b.orders(Erm(**ONE_STEP), ids=IDS, shares=told[turned], **given)
    some = b.engine().answer(b.world(), asked, np.array([4001, 902]))
    assert dict(zip(some.ids.tolist(), some.choice().tolist(), strict=True)) == {
        902: free_row(free, 902),
        4001: [0.7, 0.3],
    }
    with pytest.raises(UserError, match=r"orders\.shares"):
        b.train(Erm(**ONE_STEP), ids=ORDER, shares=told[:2], **given)


def free_row(uploads: Any, client: int) -> Any:
    return uploads.choice()[uploads.ids.tolist().index(client)].tolist()


# -- the client ----------------------------------------------------------------------------------------


def centres(b: Any, count: int = 2) -> np.ndarray:
    rng = np.random.default_rng(3)
    out: np.ndarray = (b.start + 0.5 * rng.standard_normal((count, b.layout.d))).astype(np.float32)
    return out


@pytest.mark.hand("fedsoft")
def test_the_pull_is_to_every_centre_from_its_own_last_model() -> None:
    """One step of size 0.2 from w: w − 0.2 · (∇F(w) + λ Σ_s u_s (w − c_s))."""
    b = bed("linear")
    starts, which, engine = centres(b), np.array([[0, 1]] * 3), b.engine(double=True)
    given: dict[str, Any] = {"starts": starts, "which": which, "own": True, "report": SHARES}
    first = engine.answer(b.world(), b.orders(SoftProximal(**ONE_STEP), round=0, **given))
    last, shares = {i: first.ends[i].copy() for i in IDS}, first.choice()
    assert (shares.sum(1) == 1).all() and ((shares > 0) & (shares < 1)).any()
    second = engine.answer(b.world(), b.orders(SoftProximal(mu=0.5, **ONE_STEP), round=1, **given))
    for row, client in enumerate(ORDER):
        start = last[client]
        pull = 0.5 * sum(u * (start - c.astype(float)) for u, c in zip(floored(shares[row], 1e-4), starts, strict=True))
        free = b.train(Erm(**ONE_STEP), ids=[client], starts=start[None].astype(np.float32), double=True)
        np.testing.assert_allclose(second.ends[client], free.ends[client] - 0.2 * pull, atol=1e-6)


def test_its_own_model_is_where_it_stopped() -> None:
    at = run(rounds=2, method={"name": "fedsoft"}, cohort={"share": 0.5})
    made = personal_models(at.side.trainer, at.setup, at.state, at.setup.ids)
    trained = [i for i in at.setup.ids.tolist() if "end" in at.side.trainer.memory.get(i)]
    assert 4 <= len(trained) < 8
    for client in trained:
        assert np.array_equal(made[client], at.side.trainer.memory.get(client)["end"])
    fresh = next(i for i in at.setup.ids.tolist() if i not in trained)
    assert any(np.array_equal(made[fresh], model) for model in at.state.models)


# -- the server ----------------------------------------------------------------------------------------


def merged(part: SoftMean, rows: dict[int, tuple[float, ...]], round: int = 0) -> Any:
    """Ends 1, 3 and 8 of clients with 1, 1 and 2 samples, in shares; everybody started from its own."""
    sizes = {4001: 1, 17: 1, 902: 2}
    at = world((4001, 17, 902), 6, sizes=sizes)
    asked = replace(orders((4001, 17, 902), np.zeros(6, np.float32), round=round), origin=None)
    ends = {i: vec(*[value] * 6) for i, value in ((4001, 1.0), (17, 3.0), (902, 8.0))}
    came = answer(asked, ends, at.layout, sizes=sizes, chosen=rows, weights=part.weights)
    groups, zero = Groups.empty(2), np.zeros(6, np.float32)
    before = View(round, groups, np.full((2, 6), 9.0, np.float32), zero, None)
    return part.merge(at, part.init(at, zero, groups), before, groups, asked, came, common=False)


@pytest.mark.hand("fedsoft")
def test_centres_are_means_in_shares() -> None:
    """u n = ½, ½, 2 and ½, ½, 0: centres (½ + 1½ + 16) / 3 = 6 and (½ + 1½) / 1 = 2; all: (1 + 3 + 16) / 4 = 5."""
    out = merged(SoftMean(sigma=1e-9), {4001: (0.5, 0.5), 17: (0.5, 0.5), 902: (1.0, 0.0)})
    np.testing.assert_allclose(out.models[:, 0], [6.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(out.average, 5.0, rtol=1e-6)


@pytest.mark.hand("fedsoft")
def test_of_draws_the_mean_is_plain() -> None:
    rows = {4001: (1.0, 0.0), 17: (1.0, 0.0), 902: (0.0, 1.0)}
    everybody = merged(SoftMean(draws=3), rows)
    np.testing.assert_allclose(everybody.models[:, 0], [4.0, 4.0])
    two = merged(SoftMean(draws=2, sigma=1e-12), rows)
    np.testing.assert_allclose(two.models[0, 0], 2.0)  # of 4001 and 17, whatever is drawn


def test_draws_follow_shares_and_samples() -> None:
    """One draw with chances ∝ u n = ½, ¼, 1: of 700 rounds about 200, 100 and 400, with a spread of 12 at most."""
    rows = {4001: (0.5, 0.5), 17: (0.25, 0.75), 902: (0.5, 0.5)}
    found = [float(merged(SoftMean(draws=1), rows, round).models[0, 0]) for round in range(700)]
    counts = [found.count(value) for value in (1.0, 3.0, 8.0)]
    assert sum(counts) == 700 and all(abs(a - b) < 45 for a, b in zip(counts, (200, 100, 400), strict=True))


def test_sums_in_shares_are_their_definition() -> None:
    b = bed("linear")
    uploads = b.train(Erm(**ONE_STEP), report=Report(sight=frozenset({Sight.SUMS})))
    groups, shares = Groups.empty(2), np.array([[0.25, 0.75], [0.0, 0.0], [1.0, 1.0]])
    moved = np.stack([uploads.ends[i].astype(float) - b.start for i in ORDER])
    n = np.array([b.held.size(i) for i in ORDER], float)[:, None]
    found = uploads.sums(groups, shares=shares)
    np.testing.assert_allclose(found.totals, (n * shares).T @ moved, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.whole, (n * shares).sum(1) @ moved, rtol=1e-12, atol=1e-12)
    assert found.weights.tolist() == (n * shares).sum(0).tolist() and found.counts.tolist() == [2, 2]
    member = Groups.make({ORDER[0]: 1, ORDER[1]: 0, ORDER[2]: 1}, numbers=[0, 1])
    hard, soft = uploads.sums(member), uploads.sums(member, shares=np.array([[0, 1], [1, 0], [0, 1]], float))
    assert np.array_equal(hard.totals, soft.totals) and np.array_equal(hard.whole, soft.whole)
    with pytest.raises(UserError, match="shares must be"):
        uploads.sums(groups, shares=shares[:2])


# -- the whole -----------------------------------------------------------------------------------------


def test_one_group_without_pull_and_warm_start_is_fedavg() -> None:
    local, half = {**BASE["local"], "mu": 0.0}, {"cohort": {"share": 0.5}}
    theirs = run(method={"name": "fedavg"}, **half).state
    ours = run(method={"name": "fedsoft", "k": 1, "start": {"own": False}}, local=local, **half).state
    assert np.array_equal(ours.average, theirs.average) and np.array_equal(ours.models[0], theirs.models[0])
    warm = run(method={"name": "fedsoft", "k": 1}, local=local, **half).state
    assert not np.array_equal(warm.average, theirs.average)


def test_without_pull_clients_never_see_the_centres() -> None:
    """All in the cohort, λ = 0, warm: each trains by itself from its first start on, whoever shares its groups."""
    local = {**BASE["local"], "mu": 0.0}
    ours = run(method={"name": "fedsoft", "k": 1}, local=local)
    alone = run(method={"name": "local"})
    for client in ours.setup.ids.tolist():
        own = alone.state.models[alone.state.groups.rows(alone.state.groups.at(np.array([client])))[0]]
        np.testing.assert_allclose(ours.side.trainer.memory.get(client)["end"], own, atol=1e-6)


def test_what_is_sent() -> None:
    """All find their shares in rounds 0 and 2 and are told them in round 1; two models go down, one goes up."""
    at = run(method={"name": "fedsoft", "k": 2})
    d, sent = at.setup.world.layout.d, [(row["bytes_down"], row["bytes_up"]) for row in at.rows[1:]]
    found, told = (8 * 4 * 2 * d, 8 * (4 * d + 4 * 2)), (8 * (4 * 2 * d + 4 * 2), 8 * 4 * d)
    assert sent == [found, told, found]


def test_planted_groups_are_found() -> None:
    found = metrics(
        rounds=15,
        partition={"kind": "permuted-labels", "clients": 8, "groups": 2},
        method={"name": "fedsoft", "k": 2},
        evaluate={"every": 15},
    )
    assert found["ari"] == 1.0 and found["group_local"] > 75 and found["personal_local"] > 75


def test_refusals() -> None:
    for make, words in (
        (lambda: with_expert(fedsoft(), Distil()), "share must be 0"),
        (lambda: EveryGroup(own=True, share=0.5), r"start\.share must be 0 with own"),
        (lambda: ByShares(every=0), r"shares\.every must be ≥ 1"),
        (lambda: SoftMean(draws=-1), r"soft\.draws must be ≥ 0"),
        (lambda: SoftMean(sigma=0.0), r"soft\.sigma must lie in"),
        (lambda: SoftProximal(sigma=1.0), r"local\.sigma must lie in"),
    ):
        with pytest.raises(UserError, match=words):
            make()
    assert with_expert(fedsoft(), Distil(), share=0.0).start == fedsoft().start
