"""How do the members' updates become the group's model?"""

from disue.parts.aggregate.mean import Mean, Momentum

KINDS: dict[str, type] = {"mean": Mean}

__all__ = ["KINDS", "Mean", "Momentum"]
