"""All experiments by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from disue.core.errors import unknown
from disue.core.streams import Streams
from disue.secure.check.histograms import histograms
from disue.secure.check.labels import Learnt, labels
from disue.secure.check.linking import by_content, by_profile
from disue.secure.check.lone import lone_classes
from disue.secure.check.lying import equivocation, late_upload, two_models, two_passes
from disue.secure.check.moments import moments
from disue.secure.check.rebuilding import rebuilding
from disue.secure.check.regression import regression
from disue.secure.check.row import Row
from disue.secure.check.transcript import transcript
from disue.secure.check.two_sample import two_sample

Experiment = Callable[[Streams, bool], list[Row]]

EXPERIMENTS: dict[str, Experiment] = {
    "two-sample": two_sample,
    "linking": by_content,
    "profiles": by_profile,
    "rebuilding": rebuilding,
    "labels": lambda streams, quick: labels(Learnt.planted(streams), streams, quick),
    "histograms": histograms,
    "moments": moments,
    "lone-classes": lone_classes,
    "regression": regression,
    "two-passes": two_passes,
    "equivocation": equivocation,
    "two-models": two_models,
    "late-upload": late_upload,
    "transcript": transcript,
}


def run(
    names: Iterable[str] | None = None,
    quick: bool = False,
    seed: int = 0,
    learnt: Learnt | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """The rows of some experiments, or of all.

    quick   smaller sizes and fewer repeats, seconds instead of a minute
    learnt  what clients learnt, for the inference of labels; planted updates where there is none
    """
    streams = Streams(seed)
    rows: list[Row] = []
    for name in EXPERIMENTS if names is None else names:
        if name not in EXPERIMENTS:
            raise unknown("experiment", name, EXPERIMENTS)
        progress(name)
        if name == "labels" and learnt is not None:
            rows += labels(learnt, streams, quick)
        else:
            rows += EXPERIMENTS[name](streams, quick)
    return rows
