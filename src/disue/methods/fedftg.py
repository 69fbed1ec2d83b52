"""FedFTG (Zhang, Shen, Ding, Tao, Duan, CVPR 2022, arXiv 2203.09249), Algorithm 1.

    w ← Σ_k p_k w_k ........................................ grouping = OneGroup(), aggregate = Mean()
    y ~ p(y) ∝ Σ_k n_{k,y} ("customized label sampling") ... expert: labels = "prior"
    α_{k,y} = n_{k,y} / Σ_j n_{j,y} ("class-level") ........ expert: weights = "count", the cohort's clients teach
    generator: maximise the disagreement of student and
    clients, keep the label, keep apart (hard samples) ..... L_fid − β_t KL(clients ‖ student) + β_d L_div
    student: minimise the disagreement ..................... KL(Σ_k α_{k,y} p_k ‖ student)
    the result starts the next round ....................... start = FromExpert()

For the student Σ_k α_k KL(p_k ‖ q) and KL(Σ_k α_k p_k ‖ q) have one gradient; for the generator the second is taken,
the disagreement with the clients' mixture. `faithful` takes the losses of the authors' code in place of the formulas:
the mean absolute difference of logits, one generator step for each client in turn, class weights that are averaged over
a batch, a student's loss that is a mean over classes (see HardSamples). The counts there are of the whole partition;
here they are what the cohort reports. Normalisation statistics of the student do not move.
"""

from __future__ import annotations

from typing import Any

from disue.core.clients import Local
from disue.methods.composed import Composed
from disue.parts.aggregate import Mean
from disue.parts.expert import Distil, HardSamples
from disue.parts.grouping import OneGroup
from disue.parts.local import Erm
from disue.parts.start import FromExpert

# The paper has no warm-up, no mask of unseen classes, no rule that skips a D-phase. Its rate of 0.1 for
# a mean over ten classes is 0.01 for the usual sum.
FORMULAS = {"warmup": 0, "ramp": 0, "mask": "none", "disagree": "none", "void": 1.0, "batch": 50, "student_lr": 0.01}


def fedftg(local: Local = Erm(), iterations: int = 10, faithful: bool = False) -> Composed[Any, Any, Any]:
    """One model for everybody, fine-tuned on the server by data-free distillation of the clients.

    iterations  of a round's distillation; 0 is FedAvg, bit for bit
    faithful    the losses of the authors' code in place of the paper's formulas
    """
    part: Any = HardSamples(iterations) if faithful else _formulas(iterations)
    return Composed(FromExpert(), local, OneGroup(), Mean(), part)


def _formulas(iterations: int) -> Any:
    return Distil("generator", iterations=iterations, teachers="clients", **FORMULAS)
