"""DENSE (Zhang, Chen, Li, Lyu, Wu, Ding, Shen, Wu, NeurIPS 2022, arXiv 2112.12371), Algorithm 1, models of one shape.

    clients train to convergence, once ................. the first round; then nobody is asked any more
    ensemble D(x) = mean of the clients' logits ........ expert = Synthesis: the mean of logits
    generator: L_CE + λ₁ L_BN − λ₂ L_div ............... Synthesis(asked, normal, apart), anew for every batch
    student: KL of ensemble and student on the batches . Synthesis(student_lr, temperature), from new weights

One shot: the clients of the first cohort train ([cohort] share = 1 is the paper's setting, and [local] epochs some
hundred), the server distils, and all further rounds serve what was made and cost nothing. With dropout, the first round
that somebody answers counts. L_div is the disagreement of ensemble and student where they name different classes, as in
the authors' code; inputs are not cropped or flipped, nor stored as 8-bit images, and the last student is kept, not the
best on the test set.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import Synthesis
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromExpert


def dense(local: Local = Erm(), epochs: int = 20, generator_steps: int = 10) -> Composed[Any, Any, Any]:
    """One model for everybody, distilled once from the clients of the first round on synthetic inputs.

    epochs           batches that are made, each with a generator of its own; 0: FedAvg of one round
    generator_steps  steps for each of them
    """
    return Composed(FromExpert(), local, OneGroup(), Mean(), Synthesis(epochs, generator_steps))
