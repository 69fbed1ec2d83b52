"""One file per method, and the table name → constructor that `disue list methods` prints.

A constructor's first argument is the local part; its other arguments are the keys of [method].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from disue.methods.alone import local_only
from disue.methods.clustered import clustered
from disue.methods.composed import Composed
from disue.methods.disue import (
    disue,
    disue_alone,
    disue_generator,
    disue_one,
    disue_oracle,
    disue_random,
    generator_variant,
    moments_variant,
)
from disue.methods.fedavg import fedavg
from disue.methods.plugin import with_expert
from disue.methods.scaffold import scaffold

DISUE = "Z. Leng et al., Distilling A Universal Expert from Clustered Federated Learning, IJCAI 2025, arXiv 2506.20285"
FEDAVG = (
    "B. McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, "
    "AISTATS 2017, arXiv 1602.05629"
)
SCAFFOLD = (
    "S. P. Karimireddy et al., SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, "
    "ICML 2020, arXiv 1910.06378"
)


@dataclass(frozen=True)
class Listed:
    """A row of `disue list methods`. `mark` says in tables what a row is allowed that others are not."""

    build: Callable[..., Composed[Any, Any, Any]]
    summary: str
    cite: str
    local: str = "erm"  # the kind of the local part unless [method.local] says otherwise
    mark: str = ""


TABLE: dict[str, Listed] = {
    "fedavg": Listed(fedavg, "one model, the weighted mean of the cohort", FEDAVG),
    "scaffold": Listed(scaffold, "fedavg with control variates against client drift", SCAFFOLD, local="controlled"),
    "local": Listed(local_only, "every client trains by itself", ""),
    "clustered": Listed(clustered, "one model per group of similar updates", ""),
    "disue": Listed(disue, "clustered, with a universal expert from class moments", DISUE),
    "disue-generator": Listed(generator_variant(), "the paper's form: a generator", DISUE),
    "disue-generator-no-gls": Listed(generator_variant(labels="uniform"), "… labels drawn uniformly", DISUE),
    "disue-generator-no-gwf": Listed(generator_variant(weights="uniform-all"), "… all groups weigh alike", DISUE),
    "disue-generator-neither": Listed(
        generator_variant(labels="uniform", weights="uniform-all"), "… neither GLS nor GWF", DISUE
    ),
    "disue-generator-real": Listed(
        generator_variant(source="real"),
        "… distilled on real inputs: the D-phase's ceiling",
        DISUE,
        mark="real data",
    ),
    "disue-oracle": Listed(disue_oracle, "disue with the planted groups", DISUE, mark="knows the groups"),
    "disue-random": Listed(disue_random, "disue with random groups", DISUE),
    "disue-one": Listed(disue_one, "disue with one group", DISUE),
    "disue-alone": Listed(disue_alone, "disue with every client its own group", DISUE),
    "disue-no-transport": Listed(moments_variant(transport=False, decay=0.5), "disue without drift transport", DISUE),
    "disue-received": Listed(
        moments_variant(vector="received", transport=False, decay=0.5),
        "disue, moments under the received model",
        DISUE,
    ),
    "disue-prior": Listed(moments_variant(prior=1.0), "disue with the clients' label prior in its head", DISUE),
    "disue-purity": Listed(moments_variant(weights="purity"), "disue with GWF by purity", DISUE),
}

__all__ = [
    "TABLE",
    "Composed",
    "Listed",
    "clustered",
    "disue",
    "disue_generator",
    "fedavg",
    "local_only",
    "scaffold",
    "with_expert",
]
