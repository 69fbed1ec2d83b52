"""Draws the curves that docs/results.md shows: accuracy over rounds, the mean over seeds with its 95 % interval.

    python docs/curves.py STUDY.toml FOLDER PICTURE.svg [--rows A,B] [--metric served_global] [--columns 4]

FOLDER is what `disue compare STUDY.toml --out FOLDER` made.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy import stats

from disue.study.plan import slug
from disue.study.reading import read

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "disue"  # the same bytes from the same figures
mpl.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot  # noqa: E402

COLOURS = ("#1f6fb2", "#c8553d", "#3c8d5a", "#7a5195", "#8a6d3b", "#444444")


def series(folder: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """(rounds, (seeds, rounds) values) of the finished seeds in a row's folder; rounds that all of them evaluated."""
    runs = []
    for path in sorted(folder.glob("*/rounds.csv")):
        if path.parent.name.isdigit():
            with path.open(newline="") as file:
                runs.append({int(r["round"]): float(r[metric]) for r in csv.DictReader(file) if r.get(metric)})
    rounds = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    return np.array(rounds), np.array([[run[r] for r in rounds] for run in runs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--rows", default="")
    parser.add_argument("--metric", default="served_global")
    parser.add_argument("--columns", type=int, default=4)
    given = parser.parse_args()
    study = read(given.study)
    labels = given.rows.split(",") if given.rows else [row.label for row in study.rows]
    names = list(study.settings)
    down = -(-len(names) // given.columns)
    size = (3.1 * given.columns, 2.5 * down + 0.5)
    figure, axes = pyplot.subplots(down, given.columns, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        for colour, label in zip(COLOURS, labels, strict=False):
            rounds, values = series(given.folder / slug(name) / slug(label), given.metric)
            if not len(values):
                continue
            mean, n = values.mean(axis=0), len(values)
            axis.plot(rounds, mean, color=colour, linewidth=1.5, label=label)
            if n > 1:
                half = stats.t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
                axis.fill_between(rounds, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        axis.set_title(name, fontsize=9)
        axis.grid(color="#e3e3e3", linewidth=0.6)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy, %", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("round", fontsize=8)
    handles, shown = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, shown, loc="lower center", ncol=min(len(shown), 4), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    given.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
