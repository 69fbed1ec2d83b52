"""How do the members' updates become the group's model?"""

from disue.parts.aggregate import robust
from disue.parts.aggregate.adaptive import Adaptive
from disue.parts.aggregate.mean import Mean, Momentum
from disue.parts.aggregate.shared import SharedMean
from disue.parts.aggregate.soft import SoftMean

KINDS: dict[str, type] = {
    "mean": Mean,
    "adaptive": Adaptive,
    "shared": SharedMean,
    "soft": SoftMean,
    **robust.KINDS,
}

__all__ = ["KINDS", "Adaptive", "Mean", "Momentum", "SharedMean", "SoftMean", "robust"]
