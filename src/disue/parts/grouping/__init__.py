"""Who belongs together?"""

from disue.parts.grouping.given import Alone, Fixed, Nothing, OneGroup, Oracle, Random
from disue.parts.grouping.linkage import Linkage, Seen

KINDS: dict[str, type] = {
    "one": OneGroup,
    "alone": Alone,
    "fixed": Fixed,
    "oracle": Oracle,
    "random": Random,
    "linkage": Linkage,
}

__all__ = ["KINDS", "Alone", "Fixed", "Linkage", "Nothing", "OneGroup", "Oracle", "Random", "Seen"]
