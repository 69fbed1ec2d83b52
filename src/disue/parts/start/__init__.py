"""What does each client start from?"""

from disue.parts.start.each import FromExpert, FromGroup, FromSelf
from disue.parts.start.every import EveryGroup

KINDS: dict[str, type] = {"group": FromGroup, "expert": FromExpert, "self": FromSelf, "every": EveryGroup}

__all__ = ["KINDS", "EveryGroup", "FromExpert", "FromGroup", "FromSelf"]
