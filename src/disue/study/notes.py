"""What must be read with a table: data, partition, protocol, conditions, the cost of tuning."""

from __future__ import annotations

from disue.runs.spec import Spec
from disue.study.plan import Study
from disue.study.results import Results
from disue.study.tune import budget

TESTS = {
    "proportional": "each client's test is the test set re-weighted to its training labels",
    "split": "each client's test is a quarter of its own data, held out",
    "both": "each client is tested twice: on the test set re-weighted to its training labels, and on a quarter of its "
    "own data, held out",
    "natural": "each client is tested on its own part of the test set",
    "global": "every client is tested on the whole test set",
}


def notes(results: Results, setting: str) -> tuple[str, ...]:
    """The sentences under a setting's tables."""
    plan = results.plan
    found = [
        _data(results, setting),
        _partition(results, setting),
        protocol(first_spec(plan, setting)),
        results.shared(setting),
        budget(plan, setting, results.chosen),
        _choices(results, setting),
        _missing(results, setting),
    ]
    return tuple(filter(None, found))


def first_spec(plan: Study, setting: str) -> Spec | None:
    """The spec of a setting's first row: evaluation is the same for all."""
    rows = [row for row in plan.rows if setting in plan.of(row)]
    return plan.spec(setting, rows[0], {}) if rows else None


def local_test(spec: Spec | None) -> str:
    named = spec.evaluate.local if spec else "proportional"
    return {"split": "split test", "natural": "natural test", "global": "global test"}.get(named, "proportional test")


def _data(results: Results, setting: str) -> str:
    runs = results.of(setting)
    if not runs:
        return ""
    about = runs[0].summary["data"]
    note = f" {about['note'][0].upper()}{about['note'][1:]}." if about.get("note") else ""
    return (
        f"Data: {about['name']} ({about['variant']}, {about['sizes'][0]:,} training and {about['sizes'][1]:,} test "
        f"samples{_hash(about['hash'], ', SHA-256 ')}).{note}"
    )


def _hash(value: object, before: str = "") -> str:
    return f"{before}{str(value)[:12]}" if value else ""


def _partition(results: Results, setting: str) -> str:
    runs = results.of(setting)
    if not runs:
        return ""
    hashes = results.partitions(setting)
    kind = runs[0].summary["partition"]["kind"]
    listed = ", ".join(f"seed {seed}: {_hash(value)}" for seed, value in hashes.items())
    return f"Partition: {kind}; hash {listed}."


def protocol(spec: Spec | None) -> str:
    if spec is None:
        return ""
    on = "test data" if spec.evaluate.on == "test" else "VALIDATION data (a tenth of the training data)"
    every = "in every round" if spec.evaluate.every == 1 else f"every {spec.evaluate.every} rounds"
    return (
        f"Protocol: {spec.rounds} rounds, evaluated on {on} {every} and in each of the last ten; every figure is the "
        f"mean of those; {TESTS[spec.evaluate.local]}. ± is the half-width of the 95 % t-interval over "
        f"seeds; of two seeds both values stand in brackets."
    )


def _choices(results: Results, setting: str) -> str:
    picked = {label: point for (where, label), point in results.chosen.items() if where == setting and point}
    if not picked:
        return ""
    listed = [f"{label}: " + ", ".join(f"{k} = {v}" for k, v in point) for label, point in picked.items()]
    return "Chosen on validation data: " + "; ".join(listed) + "."


def _missing(results: Results, setting: str) -> str:
    plan = results.plan
    planned = sum(len(row.seeds) for row in plan.rows if setting in plan.of(row))
    there = len(results.of(setting))
    return f"INCOMPLETE: {there} of {planned} runs." if there < planned else ""
