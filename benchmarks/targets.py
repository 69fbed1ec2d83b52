"""What was aimed at, beside what was measured: the table of targets as rows of (what, workload, target, found, met).

Ratios are medians of paired turns, or quotients of two programs' figures where each is a process of its own. A figure
that was not measured is None and says so on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import timing

Found = Mapping[str, Any]  # a part's name → its JSON
PARTS = ("clients", "pool", "against", "dphase", "evaluation")
TORCH = ("lean", "lean-plain", "stacked")
TITLES = {"w1b18": "W1", "w1b10": "W1, batch 10", "w2": "W2", "w3": "W3", "r8": "ResNet-8"}


@dataclass(frozen=True)
class Target:
    """`found`: (value, how it came about), or why it is not there. `least`: what it must reach; `most`: not exceed."""

    what: str
    work: str
    least: float | None
    found: float | None
    how: str
    most: float | None = None
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found >= self.least if self.least is not None else self.found <= (self.most or 0.0)

    def wanted(self) -> str:
        return f"≥ {number(self.least, self.unit)}" if self.least is not None else f"≤ {number(self.most, self.unit)}"


def number(value: float | None, unit: str) -> str:
    """In a table.

    >>> number(1.234, "×"), number(0.97, "%"), number(None, "×")
    ('1.23×', '97 %', 'not measured')
    """
    if value is None:
        return "not measured"
    if unit == "%":
        return f"{100 * value:.1f} %" if 100 * value < 10 and 100 * value % 1 > 0.05 else f"{100 * value:.0f} %"
    return f"{value:.3g}{unit}"


def _seconds(found: Found, work: str) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = found["clients"]["works"][work]["seconds"]
    return seconds


def _one_core(found: Found, work: str, base: tuple[str, ...], names: tuple[str, ...]) -> tuple[float, str]:
    """The best of `names` against the fastest of `base`."""
    seconds = _seconds(found, work)
    against = min((seconds[name] for name in base), key=median)
    ratios = {name: timing.ratio(against, seconds[name]) for name in names if name in seconds}
    if not ratios:
        raise KeyError(found["clients"]["works"][work]["left_out"].get(names[0], names[0]))
    best = max(ratios, key=lambda name: ratios[name]["median"])
    return ratios[best]["median"], f"{best} [{ratios[best]['q25']:.2f}, {ratios[best]['q75']:.2f}]"


def _workers(found: Found, work: str, backend: str) -> tuple[float, str]:
    row = next(row for row in found["pool"] if (row["name"], row["backend"]) == (work, backend))
    if "left_out" in row:
        raise KeyError(row["left_out"])
    got = timing.ratio(*row["seconds"].values())
    return got["median"], f"{backend} [{got['q25']:.2f}, {got['q75']:.2f}]"


def _peer(found: Found, work: str, name: str, setting: str, figure: str, us: str) -> tuple[float, str]:
    """Their figure over ours."""
    pick = {(r["work"], r["name"], r["setting"]): r for r in found["against"]["rows"]}
    for who, how in ((name, setting), ("disue", us)):
        row = pick.get((work, who, how), {"left_out": "no figures"})
        if "left_out" in row:
            raise KeyError(f"{who}, {how}: {row['left_out']}")
    theirs, ours = pick[work, name, setting], pick[work, "disue", us]
    unit = "MiB" if figure == "pss_MiB" else "s"
    digits = 0 if unit == "MiB" else 2
    how = f"{theirs[figure]:,.{digits}f} against {ours[figure]:,.{digits}f} {unit}, {us}"
    return theirs[figure] / ours[figure], how


def table(found: Found) -> list[Target]:
    """Every target, met or not, measured or not."""
    out: list[Target] = []

    def add(
        what: str, work: str, least: float | None, get: Callable[[], tuple[float, str]], unit: str = "×", **more: Any
    ) -> None:
        try:
            value, how = get()
            out.append(Target(what, TITLES[work], least, value, how, unit=unit, **more))
        except (KeyError, StopIteration) as missing:
            why = str(missing.args[0]) if missing.args else "no figures"
            why = f"benchmarks/{why}.py left no figures" if why in PARTS else why
            out.append(Target(what, TITLES[work], least, None, why, unit=unit, **more))

    naive, same, both = ("naive",), ("central last",), ("central lean", "central last")
    for work, least in (("w1b18", 8.0), ("w2", 1.1), ("w3", 1.2), ("r8", 1.05)):
        add("torch backends against the naive loop, one core", work, least, _bind(_one_core, found, work, naive, TORCH))
    for work, least in (("w2", 2.5), ("w3", 1.3)):
        got = _bind(_one_core, found, work, naive, ("native",))
        add("native against the naive loop, one core", work, least, got)
    for work, least in (("w1b18", 4.0), ("w2", 0.97), ("w3", 0.97), ("r8", 0.97)):
        what = "torch backends against the centralised loop in the same layout"
        add(what, work, least, _bind(_one_core, found, work, same, TORCH), "%")
    got = _bind(_one_core, found, "w2", both, ("native",))
    add("native against the faster centralised loop", "w2", 2.0, got, "%")
    for work, backend, least in (
        ("w1b18", "stacked", 1.3),
        ("w2", "lean", 1.7),
        ("w3", "lean", 1.7),
        ("r8", "lean", 1.7),
    ):
        add("two workers against one", work, least, _bind(_workers, found, work, backend))
    two, default = "two actors (1 CPU a client)", "default (2 CPUs a client)"
    plain, fast = "stacked, 2 workers", "native, 2 workers"
    for setting, work, us, least in (
        (two, "w1b18", plain, 12.0),
        (default, "w1b18", plain, 20.0),
        (two, "w2", "stacked, 2 workers", 1.4),
        (default, "w2", "stacked, 2 workers", 2.0),
        (two, "w2", fast, 3.0),
        (default, "w2", fast, 5.0),
    ):
        got = _bind(_peer, found, work, "Flower", setting, "steady", us)
        add(f"steady round against Flower, {setting}", work, least, got)
    for work, us, least in (("w1b18", plain, 4.0), ("w2", "stacked, 2 workers", 3.0), ("w2", fast, 3.0)):
        got = _bind(_peer, found, work, "Flower", two, "first", us)
        add("start to end of round one against Flower, two actors", work, least, got)
    for work, us, most in (("w1b18", plain, 1 / 3), ("w2", "stacked, 2 workers", 1 / 2)):
        add(
            "peak memory of all processes against Flower, two actors",
            work,
            None,
            _bind(_share, found, work, two, us),
            "%",
            most=most,
        )
    for peer in ("pfl-research", "fluke"):
        for work, us, least in (("w1b18", "stacked", 6.0), ("w2", "stacked", 1.1), ("w2", "native", 2.5)):
            got = _bind(_peer, found, work, peer, "one process, one thread", "cpu", f"{us}, 1 worker")
            add(f"steady round against {peer}, CPU seconds", work, least, got)
    server(found, add)
    return out


def server(found: Found, add: Callable[..., None]) -> None:
    """The server's phases and evaluation."""

    def generator() -> tuple[float, str]:
        steps = {(row["generator"], row["k"]): row["g_step"] for row in found["dphase"]["steps"]}
        return steps["ours", 4] / steps["up64", 4], f"{steps['ours', 4]:.0f} against {steps['up64', 4]:.0f} ms"

    def phase(name: str) -> tuple[float, str]:
        row = found["dphase"]["round"][name]
        return row["phase"] / row["clients"], f"{row['phase'] / 1000:.2f} of {row['clients'] / 1000:.2f} s"

    def sums() -> tuple[float, str]:
        row = found["dphase"]["round"]["disue"]
        return row["sums_and_solve"] / row["clients"], f"{row['sums_and_solve']:.1f} ms"

    def evaluation() -> tuple[float, str]:
        run = found["evaluation"]["run"]
        return run["share"], f"{run['evaluations']} evaluations of {run['evaluation']:.2f} s"

    add("generator's step with four teachers, of a 64-channel one's", "w2", None, generator, "%", most=1 / 6)
    add("D-phase of a LeNet round, moments", "w2", None, _bind(phase, "disue"), "%", most=0.5)
    add("D-phase of a LeNet round, generator", "w2", None, _bind(phase, "disue-generator"), "%", most=0.5)
    add("sums and solve of the moments, of a round", "w2", None, sums, "%", most=0.01)
    add("evaluation, of a run of 200 rounds", "w2", None, evaluation, "%", most=0.10)


def _share(found: Found, work: str, setting: str, us: str) -> tuple[float, str]:
    value, how = _peer(found, work, "Flower", setting, "pss_MiB", us)
    return 1 / value, how


def _bind(call: Callable[..., tuple[float, str]], *given: Any) -> Callable[[], tuple[float, str]]:
    return lambda: call(*given)
