"""CCVR (Luo, Chen, Hu, Zhang, Liang, Feng, NeurIPS 2021, arXiv 2106.05001), Algorithm 1, on FedAvg.

    train a model with any federated method ............... FedAvg: FromGroup(), Erm(), OneGroup(), Mean()
    clients: N_{c,k}, μ_{c,k}, Σ_{c,k} of the features ..... the door's moments by class, from all clients
    μ_c, Σ_c of all clients, equations (3) and (4) ......... expert = Calibrated: moments of the union, from sums
    draw M_c features from N(μ_c, Σ_c) ..................... Calibrated(features=M_c)
    retrain the classifier on them ......................... Calibrated(steps, lr); the body is not touched

Post-hoc: every round starts from FedAvg's average, and the calibrated model is what clients use. The paper calibrates
once, after training (last = 1); here also after each of the last ten rounds, so that figures over them are of the
calibrated model, and the bytes of each are counted. Features are used as they are, without the paper's optional
transform of powers, which the served model would have to apply as well.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import Calibrated
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def ccvr(
    local: Local = Erm(), features: int = 200, steps: int = 300, lr: float = 0.05, last: int = 10
) -> Composed[Any, Any, Any]:
    """FedAvg, whose classifier is calibrated on virtual features after training.

    features  virtual features of each class
    steps     steps of SGD on the classifier; 0 is FedAvg, bit for bit
    lr        learning rate of that SGD
    last      calibrated after each of the last so many rounds; 1: once, after training, as in the paper
    """
    part = Calibrated(features=features, steps=steps, lr=lr, last=last)
    return Composed(FromGroup(), local, OneGroup(), Mean(), part)
