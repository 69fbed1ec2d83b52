"""The keys of a study file beyond those of a spec, each with its meaning."""

from __future__ import annotations

from disue.runs.keys import Known

STUDY = {
    "seeds": Known("seeds", tuple[int, ...], (0, 1, 2), "seeds of the final runs"),
    "tune": Known("tune", dict, {}, "what is chosen on validation data, see below"),
    "setting": Known("setting", list, (), "tables that override the common ones"),
    "method": Known("method", list, (), "the rows of the tables"),
    "comparison": Known("comparison", list, (), "the few pairs of rows that are tested, see below"),
    "chosen": Known("chosen", dict, {}, "setting → row → dotted key → what tuning chose; written by `disue tune`"),
    "scale": Known("scale", dict, {}, "name → a smaller or larger form of the study, see below"),
}
TUNE = {
    "grid": Known("grid", dict, {}, "dotted key → the values that every row tries in every setting"),
    "seed": Known("seed", int, 100, "seed of the tuning runs, not among the seeds of final runs", {"low": 0}),
    "share": Known("share", float, 0.5, "share of the rounds that tuning runs take", {"above": 0, "high": 1}),
    "metric": Known("metric", str, "served_global", "what is maximised, as mean of the last ten rounds"),
    "equal": Known("equal", bool, True, "refuse rows that try different numbers of values; false: the tables say so"),
}
ROW = {
    "label": Known("label", str, "", "the row's name"),
    "seeds": Known("seeds", tuple[int, ...], (), "instead of the study's"),
    "settings": Known("settings", tuple[str, ...], (), "only in these settings"),
    "against": Known("against", tuple[str, ...], (), "rows to which paired differences are given"),
    "host": Known("host", str, "", "the row that is this one without its expert; found by its parts unless given"),
    "metric": Known("metric", str, "", "what its tuning maximises, instead of the study's"),
    "set": Known("set", dict, {}, "further keys of the spec for this row: tables of dotted keys"),
    "tuned_as": Known("tuned_as", str, "", "takes over the value chosen for another row, without tuning of its own"),
    "grid": Known(
        "grid", dict, {}, "values for this row: other ones for keys of the study's grid, and at most one further key"
    ),
}
COMPARISON = {
    "a": Known("a", str, "", "a row"),
    "b": Known("b", str, "", "the row that it is compared with"),
    "metric": Known("metric", str, "served_global", "whose paired differences a − b are tested"),
    "settings": Known("settings", tuple[str, ...], (), "only in these settings"),
}
SCALE = {
    "seeds": Known("seeds", tuple[int, ...], (), "of every row"),
    "settings": Known("settings", tuple[str, ...], (), "only these"),
    "methods": Known("methods", tuple[str, ...], (), "only the rows of these labels"),
}
