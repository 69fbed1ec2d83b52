"""FedPFT (Beitollahi, Bie, Hemati, Brunswic, Li, Chen, Zhang, 2024, arXiv 2402.01862), centralised, one shot.

    a fixed feature extractor f ........................ the average after `warmup` rounds of FedAvg; then nobody trains
    client: for each class a Gaussian mixture of f(x) ... expert = FeatureTransfer(components=K, covariance)
    server: draw as many features as the client has ..... FeatureTransfer.drawn
    server: train a classifier on them .................. FeatureTransfer(steps, lr), from zero; the body stays

The paper's extractor is a pretrained foundation model: [model] weights and warmup = 0 are that case. Without such
weights the body must come from somewhere, hence the rounds of FedAvg. All clients send their mixtures, once; rounds
after that cost nothing. A class of one sample is not sent, as its mixture would be the sample's features; classes that
a client does not send are counted as bytes all the same. The authors' classifier takes Adam, ours SGD with momentum.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import FeatureTransfer
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromGroup


def fedpft(
    local: Local = Erm(),
    components: int = 1,
    covariance: str = "full",
    steps: int = 300,
    lr: float = 0.05,
    warmup: int = 10,
) -> Composed[Any, Any, Any]:
    """One model for everybody: a body that stays, and a classifier from the clients' mixtures of its features.

    components  Gaussians to a class, at each client
    covariance  of a component: "full", "diag" or "spherical"
    steps       steps of SGD on the classifier; 0: FedAvg of `warmup` rounds
    lr          learning rate of that SGD
    warmup      rounds of FedAvg that make the body; 0: the body that the run begins with
    """
    part = FeatureTransfer(components, covariance, steps, lr, warmup)
    return Composed(FromGroup(), local, OneGroup(), Mean(), part)
