"""Whether a new head is worse than the one before, by what the server can see without data.

Both heads are put to virtual features of the *earlier* rounds' moments, μ_c + Σ^½ ε, every class alike: those that this
round's answers had no part in. A head that was fitted to lies about the features loses there, whatever it gains on
moments that were lied about; and the head before is at its best there, so a new one may lose a little.

The alternative, agreement of the two heads on such features, cannot tell a better head from a worse one.
"""

from __future__ import annotations

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.parts.expert import heads
from disue.parts.expert.fit import Fitted
from disue.parts.expert.heads import Head
from disue.parts.expert.labels import draw
from disue.parts.expert.store import MomentStore

DRAWS = 4000


def objection(
    slack: float,
    before: tuple[MomentStore, Fitted | str],
    after: tuple[MomentStore, Fitted | str],
    rng: np.random.Generator,
    *,
    positive: bool,
) -> str:
    """Why the head after this round's moments is not to be had, or "". Each head with the store it was fitted to."""
    (earlier, old), (later, new) = before, after
    if isinstance(old, str):  # there was none to compare with
        return ""
    if isinstance(new, str):
        return new
    heads_of = (old.head, np.flatnonzero(earlier.seen)), (new.head, np.flatnonzero(later.seen))
    rights = accuracies(earlier, old.gamma, *heads_of, rng, positive=positive)
    if rights is None or rights[1] >= rights[0] - slack:
        return ""
    return f"of what earlier moments describe the new head names {rights[1]:.3f}, the one before {rights[0]:.3f}"


def accuracies(
    before: MomentStore,
    gamma: float,
    old: tuple[Head, IntVector],
    new: tuple[Head, IntVector],
    rng: np.random.Generator,
    *,
    positive: bool,
) -> tuple[float, float] | None:
    """Expected shares of right answers of the two heads, each with the classes (k,) of its rows; None without scatter.

    before  the store without this round's moments      gamma  shrinkage of its covariance
    """
    seen = np.flatnonzero(before.seen)
    sigma = heads.covariance(before.scatter, before.freedom, gamma)
    root = None if sigma is None else heads.cholesky(sigma)
    if root is None:
        return None
    labels = draw(np.full(seen.size, 1.0 / seen.size), DRAWS, rng)
    features = heads.virtual(before.means[seen], [root], labels, rng, positive=positive)
    truth = seen[labels]
    return _right(old, features, truth), _right(new, features, truth)


def _right(head: tuple[Head, IntVector], features: Float64, truth: IntVector) -> float:
    made, classes = head
    return float((classes[made.logits(features).argmax(axis=1)] == truth).mean())
