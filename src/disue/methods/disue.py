"""DisUE (Leng, Zhang, Long, Xia, Yang, *Distilling A Universal Expert from Clustered Federated Learning*,
IJCAI 2025, arXiv 2506.20285). No code is public; what is reconstructed, and from where, is in docs/method.md.

    L-phase  clients train from the expert ............ start = FromExpert(share=1), local = Erm(...)
    C-phase  group by similarity of updates ........... grouping = Linkage(...)
             average per group ........................ aggregate = Mean(...)
    D-phase  distil the groups into one expert ........ expert = Distil(...), labels = GLS, weights = GWF
    the expert starts every client's next round

`disue_generator` is the paper's form as far as it is known: an input-space generator, groups re-made on the
cohort each round. `disue` takes the expert that our measurements support: class moments of the features,
under the fresh average, carried over rounds by drift transport, with server momentum and a half
group-balanced average. The other functions take away or replace one piece.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import Distil
from disue.parts.grouping import Alone, Linkage, OneGroup, Oracle, Random
from disue.parts.local import Erm
from disue.parts.start import FromExpert

Any_ = Composed[Any, Any, Any]


def disue(local: Local = Erm(), k: int = 10, share: float = 1.0) -> Any_:
    """DisUE with the moments family: the settings that docs/results.md supports.

    k      number of groups, formed once from one epoch of every client
    share  the client starts from share · expert + (1 − share) · its group's model
    """
    return Composed(
        FromExpert(share), local, Linkage(k=k, part="head"), Mean(momentum=0.7, balance=0.5), Distil("moments")
    )


def disue_generator(local: Local = Erm(), k: int | None = None, share: float = 1.0) -> Any_:
    """DisUE in the paper's form: a conditional generator, groups re-made on the cohort every round.

    k      number of groups; chosen by silhouette unless given
    share  the client starts from share · expert + (1 − share) · its group's model
    """
    groups = Linkage(k=k, part="head", when="cohort")
    return Composed(FromExpert(share), local, groups, Mean(), Distil("generator"))


def _expert(host: Any_, **changes: Any) -> Any_:
    part: Any = host.expert
    return dataclasses.replace(host, expert=dataclasses.replace(part, **changes))


def generator_variant(**changes: Any) -> Callable[..., Any_]:
    """`disue_generator` with some arguments of its expert replaced."""

    def build(local: Local = Erm(), k: int | None = None, share: float = 1.0) -> Any_:
        return _expert(disue_generator(local, k, share), **changes)

    return build


def moments_variant(**changes: Any) -> Callable[..., Any_]:
    """`disue` with some arguments of its expert replaced."""

    def build(local: Local = Erm(), k: int = 10, share: float = 1.0) -> Any_:
        return _expert(disue(local, k, share), **changes)

    return build


def disue_oracle(local: Local = Erm(), share: float = 1.0) -> Any_:
    """DisUE with the planted groups given (marked in tables: it knows the truth)."""
    return dataclasses.replace(disue(local, share=share), grouping=Oracle())


def disue_random(local: Local = Erm(), k: int = 10, share: float = 1.0) -> Any_:
    """DisUE with groups drawn at random."""
    return dataclasses.replace(disue(local, share=share), grouping=Random(k))


def disue_one(local: Local = Erm(), share: float = 1.0) -> Any_:
    """DisUE with one group: the moments family does not need groups."""
    return dataclasses.replace(disue(local, share=share), grouping=OneGroup())


def disue_alone(local: Local = Erm(), share: float = 1.0) -> Any_:
    """DisUE with every client its own group."""
    return dataclasses.replace(disue(local, share=share), grouping=Alone())
