"""How do the members' updates become the group's model?"""

from disue.parts.aggregate.adaptive import Adaptive
from disue.parts.aggregate.mean import Mean, Momentum

KINDS: dict[str, type] = {"mean": Mean, "adaptive": Adaptive}

__all__ = ["KINDS", "Adaptive", "Mean", "Momentum"]
