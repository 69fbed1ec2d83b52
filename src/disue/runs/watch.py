"""What a run says by itself when its expert does not help: sentences without figures, each said once in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

EVALUATIONS = 5  # over which a mean is taken, row 0 (before any training) left out
BELOW = 0.5  # points of global accuracy under the average
BEHIND = 5.0  # points of local accuracy behind the groups' own models, both with the client's label prior

HARMS = (
    f"over the last {EVALUATIONS} evaluations the expert was on average more than {BELOW} points below the average "
    "that it is made from (expert_effect): with [method.expert] share = 0 clients start from their group's model, and "
    "the expert is only served"
)
CONTRADICTS = (
    f"over the last {EVALUATIONS} evaluations the groups' own models were more than {BEHIND:g} points ahead of the "
    "expert on their members' data, label shares aside: the same label may mean different things in different groups, "
    "which no one model can serve; serve the group models, and see [method.expert] share"
)


def remarks(rows: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """What is to be said of the rounds so far (rows of rounds.csv, oldest first)."""
    evaluated = [row for row in rows if "expert_effect" in row and row["round"] > 0][-EVALUATIONS:]
    if len(evaluated) < EVALUATIONS:
        return ()
    out = []
    if sum(row["expert_effect"] for row in evaluated) / EVALUATIONS < -BELOW:
        out.append(HARMS)
    pair = ("group_prior_local", "expert_prior_local")
    if all(name in row for row in evaluated for name in pair):
        ahead = sum(row[pair[0]] - row[pair[1]] for row in evaluated) / EVALUATIONS
        if ahead > BEHIND:
            out.append(CONTRADICTS)
    return tuple(out)
