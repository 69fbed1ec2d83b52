"""Who belongs together?"""

from disue.parts.grouping.given import Alone, Fixed, Nothing, OneGroup, Oracle, Random

KINDS: dict[str, type] = {
    "one": OneGroup,
    "alone": Alone,
    "fixed": Fixed,
    "oracle": Oracle,
    "random": Random,
}

__all__ = ["KINDS", "Alone", "Fixed", "Nothing", "OneGroup", "Oracle", "Random"]
