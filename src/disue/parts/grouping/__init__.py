"""Who belongs together?"""

from disue.parts.grouping.angles import PrincipalAngles
from disue.parts.grouping.bipartition import Bipartition
from disue.parts.grouping.by_choice import ByChoice
from disue.parts.grouping.by_shares import ByShares
from disue.parts.grouping.cold_start import ColdStart
from disue.parts.grouping.given import Alone, Fixed, Nothing, OneGroup, Oracle, Random
from disue.parts.grouping.linkage import Linkage, Seen
from disue.parts.grouping.nearest import Nearest

KINDS: dict[str, type] = {
    "one": OneGroup,
    "alone": Alone,
    "fixed": Fixed,
    "oracle": Oracle,
    "random": Random,
    "linkage": Linkage,
    "choice": ByChoice,
    "shares": ByShares,
    "nearest": Nearest,
    "bipartition": Bipartition,
    "cold-start": ColdStart,
    "principal-angles": PrincipalAngles,
}

__all__ = [
    "KINDS",
    "Alone",
    "Bipartition",
    "ByChoice",
    "ByShares",
    "ColdStart",
    "Fixed",
    "Linkage",
    "Nearest",
    "Nothing",
    "OneGroup",
    "Oracle",
    "PrincipalAngles",
    "Random",
    "Seen",
]
