"""What every method of the table must be the same as: the switch that turns its new part off, and what is then left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from disue.runs.spec import Spec
from disue.testing.scenario import SIZES, Scenario
from disue.testing.subject import AnyMethod, Identity

Tables = Mapping[str, Any]
UNIFORM = {"aggregate": {"weights": "uniform"}}
PLAIN = {"momentum": 0.0, "balance": 0.0}


@dataclass(frozen=True)
class Same:
    """NAME with `ours` is the method `theirs` with `yours`: tables of [method]; `local` and `their_local` of [local].

    under  fields of `Scenario`    within, of, apart   see `Identity`
    """

    name: str
    theirs: str
    ours: Tables = field(default_factory=dict)
    yours: Tables = field(default_factory=dict)
    local: Tables = field(default_factory=dict)
    their_local: Tables = field(default_factory=dict)
    under: Tables = field(default_factory=dict)
    within: float = 0.0
    of: str = "served"
    apart: bool = True

    def identity(self, host: str, scenario: Scenario) -> Identity:
        under = replace(scenario, **self.under)
        ours = built({"name": host, **self.ours}, self.local)
        theirs = built({"name": self.theirs, **self.yours}, self.their_local)
        return Identity(self.name, theirs, ours, self.within, self.of, under, self.apart)


def built(method: Tables, local: Tables) -> AnyMethod:
    return Spec.of({"method": method, "local": local}).build()


ONE_STEP = {"epochs": 1, "batch": 100}
ALL = {"share": 1.0}
TWO = {"classes": 2}
EQUAL = {"sizes": (8,) * len(SIZES)}
OFF = {"enabled": False}
ADDITIVE = {"model": {"name": "mlp", "hidden": [8], "additive": True}}


MOMENTS = ("oracle", "random", "alone", "no-transport", "received", "prior", "purity")
GENERATOR = ("no-gls", "no-gwf", "neither", "real")


def _idle(name: str, **expert: Any) -> Same:
    """The generator family with an expert that does nothing."""
    return Same(name, "fedavg", {"k": 3, "expert": expert}, of="average")


def _off(name: str) -> Same:
    """The moments family without an expert, without momentum and balance."""
    return Same(name, "fedavg", {"aggregate": PLAIN, "expert": OFF}, of="average")


TABLE: Mapping[str, tuple[Same, ...]] = {
    "fedavg": (
        Same("an expert that is the average", "fedavg", {"expert": {"kind": "average"}}, of="average", apart=False),
    ),
    "fedprox": (
        Same("mu = 0 is fedavg", "fedavg", local={"mu": 0.0}),
        # compiled, mu · weights − mu · start is rounded once, and so not quite zero
        Same(
            "one step is fedavg whatever mu is", "fedavg", local={"mu": 5.0}, under=ONE_STEP, within=1e-6, apart=False
        ),
    ),
    "scaffold": (Same("the first round is fedavg with equal weights", "fedavg", yours=UNIFORM, under={"rounds": 1}),),
    "fednova": (Same("clients that take equal steps: fedavg", "fedavg", under=EQUAL, within=2e-6),),
    "feddyn": (Same("alpha = 0 is fedavg with equal weights", "fedavg", yours=UNIFORM, local={"alpha": 0.0}),),
    "moon": (
        Same("mu = 0 is fedavg", "fedavg", local={"mu": 0.0}),
        Same("a first visit is fedavg whatever mu is", "fedavg", local={"mu": 5.0}, under={"rounds": 1}, within=1e-6),
    ),
    "fedntd": (
        Same("beta = 0 is fedavg", "fedavg", local={"beta": 0.0}),
        Same(
            "with two classes: fedavg whatever beta is",
            "fedavg",
            local={"beta": 9.0},
            under={"classes": 2},
            within=1e-6,
        ),
    ),
    "fedavgm": (Same("momentum = 0 is fedavg", "fedavg", {"momentum": 0.0}),),
    # m = Δ and √v = |Δ|, which a large tau drowns: the step is Δ · server_lr / tau
    "fedadam": (
        Same(
            "without moments, under a large tau: fedavg",
            "fedavg",
            {"beta1": 0.0, "beta2": 0.0, "tau": 1e4, "server_lr": 1e4},
            within=1e-4,
        ),
    ),
    # √v = tau, so half of that
    "fedyogi": (
        Same(
            "without moments, under a large tau: fedavg",
            "fedavg",
            {"beta1": 0.0, "beta2": 0.0, "tau": 1e4, "server_lr": 2e4},
            within=1e-4,
        ),
    ),
    "ifca": (Same("one group is fedavg", "fedavg", {"k": 1}),),
    "cfl": (Same("without a split it is fedavg", "fedavg", {"grouping": {"eps1": 0.0}}),),
    "fesem": (Same("one group is fedavg with equal weights", "fedavg", {"k": 1}, UNIFORM),),
    "wecfl": (
        Same("one group is fedavg", "fedavg", {"k": 1}),
        Same("with clients of one size it is fesem", "fesem", {"k": 3}, {"k": 3}, under=EQUAL),
    ),
    "fedsoft": (
        Same(
            "one group, no pull, no start of one's own: fedavg",
            "fedavg",
            {"k": 1, "start": {"own": False}},
            local={"mu": 0.0},
        ),
    ),
    "ifca-cam": (
        Same(
            "one group, branches together: fedavg on the additive model",
            "fedavg",
            {"k": 1},
            local={"order": "together"},
            under=ADDITIVE,
        ),
    ),
    "fesem-cam": (
        Same(
            "one group, branches together: fedavg on the additive model, with equal weights",
            "fedavg",
            {"k": 1},
            UNIFORM,
            local={"order": "together"},
            under=ADDITIVE,
        ),
    ),
    "fedgroup": (Same("one group is fedavg", "fedavg", {"k": 1}),),
    "pacfl": (
        Same("one group is fedavg", "fedavg", {"k": 1}),
        Same("no angle too large: fedavg", "fedavg", {"k": 0, "beta": 90.0}),
        Same(
            "every angle too large: groups of one",
            "clustered",
            {"k": 0, "beta": -1.0},
            {"grouping": {"kind": "alone"}},
            of="models",
        ),
    ),
    "fedclust": (
        Same("one group is fedavg", "fedavg", {"k": 1}),
        Same("no distance too large: fedavg", "fedavg", {"k": 0, "distance": 1e9}),
        Same(
            "every distance too large: groups of one",
            "clustered",
            {"k": 0, "distance": 1e-30},
            {"grouping": {"kind": "alone"}},
            of="models",
        ),
        Same(
            "by cosines, average linkage and a pass it is the clustered method",
            "clustered",
            {"k": 3, "grouping": {"metric": "cosine", "epochs": 1, "linkage": "average"}},
            {"k": 3},
            of="models",
        ),
    ),
    "flhc": (
        Same("one group is fedavg", "fedavg", {"k": 1, "after": 1}),
        Same("as long as it has not grouped it is fedavg", "fedavg", {"k": 3, "after": 100}),
    ),
    "clustered": (
        Same("k = 1 is fedavg", "fedavg", {"k": 1}),
        Same("with the grouping one it is fedavg", "fedavg", {"grouping": {"kind": "one"}}),
        Same("alone it is local training", "local", {"grouping": {"kind": "alone"}}, of="models"),
    ),
    "local": (Same("groups of one", "clustered", yours={"grouping": {"kind": "alone"}}, of="models", apart=False),),
    "fedavg-ft": (
        Same("what is federated is fedavg", "fedavg", apart=False),
        Same("without fine-tuning each uses what it receives", "fedavg", local={"tuning": 0}, of="used"),
    ),
    "fedper": (
        Same("nothing private is fedavg", "fedavg", local={"kept": ""}, of="used"),
        Same("all private is local training", "local", local={"kept": "whole"}, of="used", under=ALL),
    ),
    "ditto": (
        Same("what is federated is fedavg", "fedavg", apart=False),
        Same("without a tether own models are local training", "local", local={"tether": 0.0}, of="used", under=ALL),
    ),
    "apfl": (Same("what is federated is fedavg", "fedavg", within=1e-6, apart=False),),
    "feddf": (Same("without a step it is fedavg", "fedavg", {"steps": 0}, of="average"),),
    "ccvr": (
        Same("what is trained is fedavg", "fedavg", of="average", apart=False),
        Same("of no steps it is fedavg", "fedavg", {"steps": 0}, of="used"),
    ),
    "fedftg": (
        Same("without an iteration it is fedavg", "fedavg", {"iterations": 0}, of="average"),
        Same(
            "without an iteration it is fedavg, faithful too",
            "fedavg",
            {"iterations": 0, "faithful": True},
            of="average",
        ),
    ),
    "dense": (
        Same("without an epoch, after a round: fedavg", "fedavg", {"epochs": 0}, under={"rounds": 1}, of="average"),
    ),
    "dfrd": (Same("without an iteration it is fedavg", "fedavg", {"iterations": 0}, of="average"),),
    "fedgen": (
        Same("without both weights it is fedavg", "fedavg", local={"a": 0.0, "b": 0.0}),
        Same("the first round is fedavg", "fedavg", under={"rounds": 1}),
    ),
    "fedpft": (
        Same("of no steps, warmed up to the end, it is fedavg", "fedavg", {"steps": 0, "warmup": 9}, of="used"),
        Same("its body is fedavg's", "fedavg", {"warmup": 9}, of="average"),
    ),
    "disue": (
        Same("without a D-phase, plain: fedavg", "fedavg", {"k": 3, "aggregate": PLAIN, "expert": OFF}, of="average"),
        Same(
            "with a blend of 0, plain: fedavg",
            "fedavg",
            {"k": 3, "aggregate": PLAIN, "expert": {"blend": 0.0}},
            of="average",
        ),
        Same(
            "switched off, the expert is the average",
            "disue",
            {"k": 3, "expert": OFF},
            {"k": 3, "expert": {"kind": "average"}},
            of="average",
        ),
        Same(
            "share = 0 is the clustered method",
            "clustered",
            {"k": 3, "share": 0.0, "aggregate": PLAIN},
            {"k": 3},
            of="models",
        ),
    ),
    "disue-one": (
        Same("without a D-phase, plain: fedavg", "fedavg", {"aggregate": PLAIN, "expert": OFF}, of="average"),
        Same(
            "without a D-phase: fedavg with momentum",
            "fedavg",
            {"aggregate": {"momentum": 0.7, "balance": 0.0}, "expert": OFF},
            {"aggregate": {"momentum": 0.7}},
            of="average",
        ),
        Same(
            "the moments expert does not depend on the groups",
            "disue",
            {"aggregate": {"balance": 0.0}},
            {"k": 4, "aggregate": {"balance": 0.0}},
            of="expert",
            apart=False,
        ),
    ),
    **{f"disue-{name}": (_off("without a D-phase, plain: fedavg"),) for name in MOMENTS},
    **{f"disue-generator-{name}": (_idle("of no iterations: fedavg", iterations=0),) for name in GENERATOR},
    "disue-generator": (
        _idle("without a D-phase it is fedavg", enabled=False),
        _idle("of no iterations: fedavg", iterations=0),
        _idle("of no student steps: fedavg", student_steps=0),
        _idle("of a student at rate 0: fedavg", student_lr=0.0, iterations=1),
        Same("one teacher: fedavg", "fedavg", {"k": 1}, of="average"),
        Same(
            "share = 0 is the method that groups each cohort",
            "clustered",
            {"k": 3, "share": 0.0},
            {"k": 3, "grouping": {"when": "cohort"}},
            of="models",
        ),
    ),
}


def of_host(host: str, scenario: Scenario) -> tuple[Identity, ...]:
    """The identities of a method of the table."""
    return tuple(same.identity(host, scenario) for same in TABLE.get(host, ()))


def of_expert(host: Tables, method: AnyMethod, scenario: Scenario) -> tuple[Identity, ...]:
    """Of a method with an expert: a share of 0 is the host, whose groups and models the expert then leaves alone."""
    plain = {name: value for name, value in host.items() if name != "expert"}
    expert = {**host["expert"], "share": 0.0}
    ours, theirs = (built(one, {}) for one in ({**plain, "expert": expert}, plain))
    apart = method.start != ours.start
    return (Identity("share = 0 is the host", theirs, ours, of="models", under=scenario, apart=apart),)


__all__ = ["TABLE", "Same", "of_expert", "of_host"]
