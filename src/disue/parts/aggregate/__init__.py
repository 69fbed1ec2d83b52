"""How do the members' updates become the group's model?"""

from disue.parts.aggregate.adaptive import Adaptive
from disue.parts.aggregate.mean import Mean, Momentum
from disue.parts.aggregate.shared import SharedMean

KINDS: dict[str, type] = {"mean": Mean, "adaptive": Adaptive, "shared": SharedMean}

__all__ = ["KINDS", "Adaptive", "Mean", "Momentum", "SharedMean"]
