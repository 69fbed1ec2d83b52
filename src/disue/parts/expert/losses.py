"""The terms of data-free distillation: what the generator and the student minimise.

Shapes: k teachers, B pseudo-inputs, C classes. `log_t`, `log_q` (B, C) are logarithms of the teachers'
mixture and of the student, both at the distillation temperature; `weights` (k, B) is α_{g, y_b}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FIDELITIES = ("each", "mixture", "average")
DISAGREEMENTS = ("none", "disagree", "disagree-correct")


def crossentropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(…, B) of logits (…, B, C) and labels (B,)."""
    import torch

    return -logits.log_softmax(-1)[..., torch.arange(labels.numel()), labels]


def divergence(log_t: Tensor, log_q: Tensor) -> Tensor:
    """(B,) KL(t ‖ q), summed over classes."""
    return (log_t.exp() * (log_t - log_q)).sum(-1)


def fidelity(kind: str, logits: Tensor, average: Tensor | None, labels: Tensor, weights: Tensor) -> Tensor:
    """L_fid: do the teachers see in a pseudo-input the class that was asked for?

    each      (1/B) Σ_b Σ_g α_{g,y_b} CE(f_g(x_b), y_b), weighted sample by sample
    mixture   (1/B) Σ_b CE(Σ_g α_{g,y_b} f_g(x_b), y_b)
    average   (1/B) Σ_b CE(f(x_b; average), y_b)
    """
    if kind == "average" and average is not None:
        return crossentropy(average, labels).mean()
    if kind == "mixture":
        return crossentropy((weights[:, :, None] * logits).sum(0), labels).mean()
    return (weights * crossentropy(logits, labels)).sum(0).mean()


def contested(kind: str, log_t: Tensor, log_q: Tensor, labels: Tensor) -> Tensor:
    """(B,) ε_b, 0 or 1: the pseudo-inputs on which teachers and student are set against each other.

    none               all
    disagree           where they name different classes
    disagree-correct   and the teachers name the class that was asked for: otherwise any input on which
                       the teachers are merely strange would be rewarded
    """
    teacher, student = log_t.argmax(-1), log_q.argmax(-1)
    out = (teacher != student) if kind != "none" else (teacher == teacher)
    if kind == "disagree-correct":
        out = out & (teacher == labels)
    return out.to(log_t.dtype)


def transferability(log_t: Tensor, log_q: Tensor, mask: Tensor) -> Tensor:
    """L_tran = −(1/B) Σ_b ε_b KL(t_b ‖ q_b); the gradient reaches the inputs through both sides."""
    return -(mask * divergence(log_t, log_q)).mean()


def diversity(x: Tensor, z: Tensor) -> Tensor:
    """L_div = exp(−(1/B²) Σ_{j,k} mean|x_j − x_k| · mean(z_j − z_k)²): in (0, 1], one is collapse."""
    import torch

    flat, b = x.flatten(1), len(x)
    apart = torch.pdist(flat, p=1) / flat.shape[1]  # of each pair j < k once: half the time of the whole matrix
    one, other = torch.triu_indices(b, b, 1, device=z.device)
    asked = (z[one] - z[other]).square().mean(-1)
    return torch.exp(-2 * (apart * asked).sum() / b**2)


def student(log_t: Tensor, log_q: Tensor, temperature: float) -> Tensor:
    """L_S = T² (1/B) Σ_b KL(t_b ‖ q_b)."""
    return temperature**2 * divergence(log_t, log_q).mean()
