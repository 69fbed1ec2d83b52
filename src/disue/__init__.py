"""Clustered federated learning with a distilled universal expert.

    import disue
    summary = disue.run("experiments/cifar10_dir01.toml", out="runs/first")
    expert = disue.load("runs/first").expert()

A method is five parts; the expert is one of them:

    from disue import Composed, Distil, clustered, with_expert
    method = with_expert(clustered(k=4), Distil())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from disue._version import __version__

if TYPE_CHECKING:
    from disue.api import Stopped, export, load, resume, run
    from disue.core.errors import UserError
    from disue.methods import Composed, clustered, with_expert
    from disue.methods.fedavg import fedavg
    from disue.parts.expert import Distil
    from disue.reports import report
    from disue.runs.spec import Spec

_HOME = {
    "Composed": "disue.methods",
    "Distil": "disue.parts.expert",
    "Spec": "disue.runs.spec",
    "Stopped": "disue.api",
    "UserError": "disue.core.errors",
    "clustered": "disue.methods",
    "export": "disue.api",
    "fedavg": "disue.methods",
    "load": "disue.api",
    "report": "disue.reports",
    "resume": "disue.api",
    "run": "disue.api",
    "with_expert": "disue.methods",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'disue' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


__all__ = [
    "Composed",
    "Distil",
    "Spec",
    "Stopped",
    "UserError",
    "__version__",
    "clustered",
    "export",
    "fedavg",
    "load",
    "report",
    "resume",
    "run",
    "with_expert",
]
