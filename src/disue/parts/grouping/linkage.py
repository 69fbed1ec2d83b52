"""Groups by agglomerative merging on the distances of updates.

Cosines compare clients whose updates begin at one vector; where groups start apart (share < 1) they compare
directions of training about different points, which is what clustered methods that regroup do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from disue.core.checks import Float64, IntVector
from disue.core.errors import UserError
from disue.core.groups import UNKNOWN, Groups
from disue.core.layout import Part
from disue.core.method import Assigned, Info
from disue.core.orders import Orders, Sight
from disue.core.uploads import Uploads
from disue.core.world import World
from disue.parts.grouping.merging import LINKAGES, WARD, Merges
from disue.parts.grouping.metrics import SIGHTS, compared
from disue.parts.grouping.number import ROUNDS, choose, scores_from, silhouette_from
from disue.parts.grouping.placing import Directions, place
from disue.parts.grouping.points import Points

SURVEYED = 1000  # a federation up to this size is surveyed as a whole


@dataclass(frozen=True, eq=False)
class Seen:
    """What the grouping remembers.

    formed      whether groups have been made
    k           the last number of groups chosen by a rule, 0 before that
    scores      (r, k_max − 1) the rule's scores of the last rounds
    directions  of the groups, while there are clients still to be placed
    """

    formed: bool = False
    k: int = 0
    scores: Float64 = field(default_factory=lambda: np.zeros((0, 0)))
    directions: Directions = field(default_factory=Directions.none)


def _need(ok: bool, key: str, rule: str, found: object) -> None:
    if not ok:
        shown = f'"{found}"' if isinstance(found, str) else found
        raise UserError(f"linkage.{key} must be {rule}, got {shown}", key=f"linkage.{key}", found=found)


@dataclass(frozen=True)
class Linkage:
    """Groups of clients with similar updates: merging by `linkage`, cut into `k` or at `distance` or by a rule.

    k, distance  the cut: so many groups, or a distance, above which nothing is merged (in (0, 2] for 1 − cosine);
                 without both the rule `choose`
    choose       "silhouette" or "gap", among 2 … k_max groups and one
    linkage      "average", "weighted", "complete", "single", or "ward" (Euclidean only)
    metric       "cosine" (1 − cosine), "euclidean" or "l1" length of the difference; "l1" must see single updates
    part         of the update: "head", "whole", or globs over tensor names such as "conv*,fc1.*"
    floor        groups with fewer members are merged into the nearest, smallest first
    when         "survey": once, from one epoch of all clients (above 1,000: from the first cohort, the others
                 when first seen); "cohort": anew every round, matched to the standing groups
    after        rounds in one group before the survey
    place        where a client goes that a survey missed: "direction", the group whose mean update is nearest;
                 "members", the group whose members in the same cohort are, which no sum of updates is needed for
    epochs       passes over the data in the survey; 0: the training of a round
    regroup      > 0: the survey is repeated every so many rounds
    exact        the whole tree also above 5,000 clients at once, where else some 500 centres are merged (at 10,000:
                 about 1 GiB); up to 1,000 the tree is exact in any case
    """

    k: int | None = None
    distance: float | None = None
    choose: str = "silhouette"
    k_max: int = 20
    linkage: str = "average"
    part: str = "head"
    floor: int = 1
    when: str = "survey"
    regroup: int = 0
    exact: bool = False
    metric: str = "cosine"
    after: int = 0
    epochs: int = 1
    place: str = "direction"

    def __post_init__(self) -> None:
        _need(self.k is None or self.k >= 1, "k", "≥ 1", self.k)
        _need(self.metric in SIGHTS, "metric", '"cosine", "euclidean" or "l1"', self.metric)
        most = 2.0 if self.metric == "cosine" else np.inf
        _need(
            self.distance is None or 0 < self.distance <= most,
            "distance",
            "in (0, 2]" if most == 2.0 else "> 0",
            self.distance,
        )
        _need(self.k is None or self.distance is None, "distance", "absent where k is given", self.distance)
        _need(self.choose in ("silhouette", "gap"), "choose", '"silhouette" or "gap"', self.choose)
        _need(self.k_max >= 2, "k_max", "≥ 2", self.k_max)
        ward = self.metric == "euclidean"
        named = '"average", "weighted", "complete", "single" or, of Euclidean distances, "ward"'
        _need(self.linkage in LINKAGES or (ward and self.linkage == WARD), "linkage", named, self.linkage)
        _need(bool(self.part.strip()), "part", '"head", "whole" or globs over tensor names', self.part)
        _need(self.floor >= 1, "floor", "≥ 1", self.floor)
        _need(self.when in ("survey", "cohort"), "when", '"survey" or "cohort"', self.when)
        _need(self.regroup >= 0, "regroup", "≥ 0", self.regroup)
        _need(isinstance(self.exact, bool), "exact", "true or false", self.exact)
        _need(self.place in ("direction", "members"), "place", '"direction" or "members"', self.place)
        _need(self.epochs >= 0, "epochs", "≥ 0", self.epochs)
        _need(self.after >= 0, "after", "≥ 0", self.after)
        _need(self.when == "survey" or not self.after, "after", '0 where when = "cohort"', self.after)
        _need(
            self.when == "survey" or not self.regroup,
            "regroup",
            '0 where when = "cohort", which regroups every round',
            self.regroup,
        )

    @property
    def sight(self) -> frozenset[Sight]:
        """Placing a client that a survey missed takes the groups' mean updates."""
        sums = {Sight.SUMS} if self.when == "survey" and self.place == "direction" else set()
        return frozenset({SIGHTS[self.metric]} | sums)

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part.of(self.part),)

    def protected(self) -> dict[str, object]:
        """Keys under which only cosines need be seen."""
        return {"place": "members"} if self.when == "survey" else {}

    def idle(self, groups: Groups, memory: Seen, round: int, ids: IntVector) -> bool:
        """Whether nothing is asked about a cohort: all have their group, and it stands."""
        standing = memory.formed and self.when == "survey" and self.place == "members" and not self._again(round)
        return standing and not (groups.at(ids) == UNKNOWN).any()

    def init(self, world: World) -> Assigned[Seen]:
        """All together until there is something to see; nobody placed where each cohort is grouped anew."""
        world.layout.mask(self.parts[0])  # a pattern that meets nothing is said now
        if self.when == "survey":
            return Assigned(Groups.one(world.census.ids), Seen())
        return Assigned(Groups.empty(0), Seen())

    def survey(self, world: World, round: int) -> IntVector | None:
        """All clients before round `after`, and again every `regroup` rounds."""
        due = round == self.after or self._again(round)
        if self.when != "survey" or not due or world.census.ids.size > SURVEYED:
            return None
        return np.sort(world.census.ids)

    def assign(
        self, world: World, groups: Groups, memory: Seen, orders: Orders, uploads: Uploads, *, survey: bool
    ) -> Assigned[Seen]:
        large = world.census.ids.size > SURVEYED  # no survey: a cohort stands for it
        due = large and self._again(orders.round)
        if not memory.formed and not survey and orders.round < self.after:
            return Assigned(groups, memory)
        if self.when == "cohort" or survey or due or not memory.formed:
            found, memory, info = self._found(world, memory, uploads)
            if self.when == "cohort" or memory.formed:
                groups = groups.match(found).inhabited()
            else:  # the first: numbered by their smallest ids; who was not seen is not placed
                groups = Groups.make({int(i): g for g, part in enumerate(found) for i in part})
            memory = replace(memory, formed=True)
        else:
            groups, info = self._place(world, groups, memory, uploads)
        if self.when == "survey" and self.place == "direction":
            memory = replace(memory, directions=self._directions(world, groups, memory, orders, uploads))
        return Assigned(groups, memory, info)

    def _again(self, round: int) -> bool:
        return self.regroup > 0 and round > self.after and (round - self.after) % self.regroup == 0

    # -- groups made anew ----------------------------------------------------------------------------

    def _found(self, world: World, memory: Seen, uploads: Uploads) -> tuple[list[IntVector], Seen, Info]:
        """The groups of those who answered, by their ids, the smallest ids first."""
        part = self.parts[0]
        points = compared(self.metric, part, world.layout.mask(part), uploads, world.streams, self.exact)
        ids = points.ids
        merges = points.merges(self.linkage, self.k or self.k_max)
        k, memory, notes = self._cut(merges, points, memory)
        labels = points.raised(merges.labels(k), self.floor)
        if labels.max(initial=0) + 1 < k:
            notes += (f"linkage: {k} groups, {labels.max() + 1} with at least {self.floor} members each",)
        zero = points.strangers()
        if zero.size:
            notes += (f"linkage: no update in {self.part} from clients {zero.tolist()}: similar to nobody",)
        at, shown = points.shown()
        info = Info(said(points, labels), notes, {"similarity": shown, "similarity_ids": ids[at]})
        return [ids[labels == g] for g in range(int(labels.max()) + 1)], memory, info

    def _cut(self, merges: Merges, points: Points, memory: Seen) -> tuple[int, Seen, tuple[str, ...]]:
        """(number of groups, memory, notes)."""
        m = points.ids.size
        if self.k is not None:
            note = f"linkage: {self.k} groups asked for, {m} made: {m} clients answered"
            return min(self.k, m), memory, (note,) if self.k > m else ()
        if self.distance is not None:
            return merges.below(self.distance), memory, ()
        now = scores_from(self.choose, merges, points.sums, self.k_max)[None, :]
        if self.when == "survey":  # all clients were asked: nothing to average over
            return choose(self.choose, now, m), memory, ()
        rounds = np.concatenate([memory.scores.reshape(-1, self.k_max - 1), now])[-ROUNDS:]
        k = choose(self.choose, rounds, m, memory.k)
        return k, replace(memory, k=k, scores=rounds), ()

    # -- clients that were not there -----------------------------------------------------------------

    def _place(self, world: World, groups: Groups, memory: Seen, uploads: Uploads) -> tuple[Groups, Info]:
        new = uploads.ids[groups.at(uploads.ids) == UNKNOWN]
        if not new.size:
            return groups, Info()
        part = self.parts[0]
        homes = place(new, groups, memory.directions, part, world.layout.mask(part), uploads, self.metric)
        left = new.size - len(homes)
        note = f"linkage: {left} new clients could be compared with no group and stay without one"
        return groups.assign(homes), Info({"placed": float(len(homes))}, (note,) if left else ())

    def _directions(self, world: World, groups: Groups, memory: Seen, orders: Orders, uploads: Uploads) -> Directions:
        """Kept only while somebody is still to be placed."""
        if not (groups.at(world.census.ids) == UNKNOWN).any():
            return Directions.none()
        mask = world.layout.mask(self.parts[0])
        return memory.directions.renewed(mask, groups, orders, uploads)


def said(points: Points, labels: IntVector) -> dict[str, float]:
    """For the round's record: number of groups, silhouette, and cosines within and between groups."""
    out = {"groups_found": float(labels.max(initial=0) + 1)}
    within, between = points.cosines(labels)
    if between is not None:
        out["silhouette"] = silhouette_from(points.sums, labels)
        out["cosine_between"] = between
    if within is not None:
        out["cosine_within"] = within
    if within is not None and between is not None:
        out["cosine_gap"] = within - between
    return out
