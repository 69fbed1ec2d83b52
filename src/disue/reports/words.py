"""Numbers and names as people read them, and the sentences at the top of a report."""

from __future__ import annotations

from collections.abc import Sequence

from disue.reports.folder import RunRecord

NAMES = {
    "group": "Group model",
    "expert": "Expert",
    "average": "Average",
    "own": "Own end model",
    "personal": "Personal model",
    "served": "Served model",
    "majority": "Majority class",
}
COLORS = {
    "group": "--group",
    "expert": "--expert",
    "average": "--average",
    "own": "--own",
    "personal": "--personal",
    "served": "--served",
    "majority": "--majority",
}


def percent(value: float | None, digits: int = 1) -> str:
    """An accuracy, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A difference with its sign, a real minus."""
    return "–" if value is None else f"{value:+.1f}".replace("-", "−")


def size(value: float | None) -> str:
    """Bytes in the unit that leaves one to three digits.

    >>> size(296188800.0), size(512.0), size(None)
    ('296 MB', '512 B', '–')
    """
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def duration(seconds: float | None) -> str:
    """Seconds in words.

    >>> duration(504.2), duration(9.26), duration(0.04), duration(7265)
    ('8 min 24 s', '9.3 s', '0.04 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock(seconds: float) -> tuple[str, str]:
    """A duration as a number and its unit.

    >>> clock(504.2), clock(9.26), clock(7265)
    (('8:24', 'min'), ('9.3', 's'), ('2:01', 'h'))
    """
    if seconds < 59.95:
        return f"{seconds:.1f}", "s"
    whole = round(seconds) if seconds < 3600 else round(seconds / 60)
    return f"{whole // 60}:{whole % 60:02d}", "min" if seconds < 3600 else "h"


def fact(value: object) -> str:
    """Any value of a table of facts: lists joined, floats short, tables as key value pairs."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {fact(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(item) for item in value)
    return str(value)


def rounds_of(run: RunRecord) -> str:
    """How far the run went: "60 rounds"."""
    found = run.rounds.get("round")
    last = int(max(found.tolist(), default=0)) if found is not None else 0
    return f"{last} round{'' if last == 1 else 's'}"


def headline(run: RunRecord) -> str:
    """What came out, in one sentence a stranger understands."""
    rounds = rounds_of(run)
    served = run.last10("served_global")
    if served is None:
        return f"{run.method} after {rounds}."
    who = "the model that clients receive gets"
    if run.last10("personal_local") is not None and run.last10("group_local") is None:
        who = "the models that clients use get, in the mean,"  # what they receive is none by itself
    return f"After {rounds} of {run.method}, {who} {served:.1f} % of the test set right."


def below(run: RunRecord) -> list[str]:
    """What else must be known to read that number."""
    out = []
    effect = run.last10("expert_effect")
    if effect is not None:
        if abs(effect) < 0.05:
            out.append("Distilling the expert changed nothing compared with the average that it starts from.")
        else:
            how = "more" if effect > 0 else "less"
            out.append(
                f"The universal expert gets {abs(effect):.1f} points {how} than the average of the group models "
                "that it starts from: that difference is what distilling it is worth."
            )
    known = {"personal": "the model of its own", "expert": "the expert", "group": "its group's model"}
    who = next((name for name in known if run.last10(f"{name}_local") is not None), "group")
    model = known[who]
    plain, prior = run.last10(f"{who}_local"), run.last10(f"{who}_prior_local")
    base = run.last10("majority_local")
    if plain is not None:
        words = f"On data like its own, a client gets {plain:.1f} % with {model}"
        if prior is not None:
            words += f", {prior:.1f} % once it adds its own label prior"
        if base is not None:
            words += f"; always naming its most frequent class would give {base:.1f} %"
        out.append(words + ".")
    if not run.complete:
        out.append("This run was stopped before its last round.")
    if run.mark:
        out.append(f"Note on the method: {run.mark}")
    return out


def titles(runs: Sequence[RunRecord]) -> list[str]:
    """A short name for each run: its method, with the seed or the folder where that is not enough."""
    names = [run.method for run in runs]
    if len(set(names)) == len(names):
        return names
    names = [f"{run.method}, seed {run.seed}" if run.seed else run.method for run in runs]
    if len(set(names)) == len(names):
        return names
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [f"{at}. {run.method}" for at, run in enumerate(runs, start=1)]
