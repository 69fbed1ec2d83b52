"""Writes docs/performance.md from the figures of a run: python benchmarks/page.py [FOLDER] [--to PATH].

Only what stands between the marks is written anew; the sentences around it, such as why a target was missed, stay. The
plots go into pictures/ beside the page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pictures
import sections
import targets
import timing
from tables import Table

HERE = Path(__file__).parents[1]
BEGIN, END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->"
PARTS = ("floor", "overhead", "clients", "pool", "evaluation", "dphase", "similarity", "store", "growth")
PARTS += ("scaffold10k", "against")
FRESH = f"""# Performance

How fast disue trains and what its server costs, on the machine named below; `make bench` measures all of it again and
writes the part between the marks, `make bench-quick` looks at most of it in three minutes. Figures of different
machines cannot be compared, ratios of one sitting can.

{BEGIN}{END}
"""


def read(folder: Path) -> dict[str, Any]:
    """A part's name → what it found, of those that are there; `machine` as well."""
    paths = {name: folder / f"{name}.json" for name in (*PARTS, "machine")}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def about(found: dict[str, Any]) -> str:
    row = found.get("machine", {})
    words = [f"{name} {row[name]}" for name in ("Python", "torch", "numpy", "scipy") if name in row]
    peak = f"; sgemm {found['floor']['peak']:.0f} GFLOP/s on one core" if "floor" in found else ""
    return (
        f"Measured on {row.get('date', 'an unknown day')} on {row.get('cores', '?')} cores of "
        f"{row.get('processor', 'an unknown processor')} ({row.get('vectors', '')}){peak}. {row.get('system', '')}, "
        f"{', '.join(words)}. Load average when it began: {row.get('load', '?')}.\n"
    )


def goals(found: dict[str, Any]) -> str:
    """The table of targets, and those that were missed."""
    rows = targets.table(found)
    out = Table("target", "workload", "wanted", "measured", "met", "of")
    words = {True: "yes", False: "**no**", None: "–"}
    for one in rows:
        out.add(one.what, one.work, one.wanted(), targets.number(one.found, one.unit), words[one.met], one.how)
    met, missed = (sum(one.met is state for one in rows) for state in (True, False))
    none = len(rows) - met - missed
    text = (
        f"{met} of {len(rows)} targets met, {missed} missed, {none} not measured. Ratios are medians of paired turns,"
    )
    return f"{text} quartiles in brackets.\n\n{out}"


def clients(found: dict[str, Any]) -> str:
    """Training on one core."""
    part, blocks = found["clients"], []
    for name, row in part["works"].items():
        out, seconds = Table("", "ms", "samples/s", "of sgemm", "× naive", "× centralised, same layout"), row["seconds"]
        for variant, times in seconds.items():
            rate = row["passes"] / median(times)
            share = f"{rate * row['operations'] / 1e9 / part['peak']:.1%}"
            beside = (timing.shown(timing.ratio(seconds[base], times)) for base in ("naive", "central last"))
            out.add(variant, f"{1000 * median(times):.1f}", f"{rate:,.0f}", share, *beside)
        left = "".join(f"\n`{backend}` left out: {why}.\n" for backend, why in row["left_out"].items())
        blocks.append(f"**{targets.TITLES[name]}**: {row['work']}\n\n{out}{left}")
    head = (
        "CPU time of one thread, all variants in turn in one process. *naive*: a copy of the model, DataLoader and "
        "torch.optim.SGD a client. *central*: one model on the same samples at the same batch; *lean* without "
        "DataLoader and optimiser, *last* with the channels innermost as well. *of sgemm*: the layers' arithmetic "
        f"as a share of {part['peak']:.0f} GFLOP/s, what this core reaches in a matrix product.\n"
    )
    return "\n".join([head, *blocks])


def workers(found: dict[str, Any]) -> str:
    out = Table("workload", "backend", "1 worker, s", "2 workers, s", "gain", "start, s", "same bits with 1, 2, 3")
    for row in found["pool"]:
        if "left_out" in row:
            out.add(targets.TITLES[row["name"]], row["backend"], f"left out: {row['left_out']}", "", "", "", "")
            continue
        one, two = row["seconds"].values()
        same = "yes" if row["same"] else "**no**"
        gain = timing.shown(timing.ratio(one, two))
        middles = (f"{median(times):.3f}" for times in (one, two))
        out.add(targets.TITLES[row["name"]], row["backend"], *middles, gain, f"{row['start']:.1f}", same)
    return f"Wall seconds of a whole round.\n\n{out}"


def peers(found: dict[str, Any]) -> str:
    part = found["against"]
    out = Table("workload", "framework", "setting", "first round, s", "steady round, s", "its CPU s", "peak MiB")
    for row in part["rows"]:
        took = [f"left out: {row.get('left_out')}", "", "", ""]
        if "left_out" not in row:
            cpu = f"{row['cpu']:.3f}" if row["processes"] == 1 else ""
            took = [f"{row['first']:.1f}", f"{row['steady']:.3f}", cpu, f"{row['pss_MiB']:.0f}"]
        out.add(targets.TITLES[row["work"]], row["name"], row["setting"], *took)
    versions = "; ".join(
        f"{name}: {', '.join(f'{package} {version}' for package, version in row.items()) or 'not installed'}"
        for name, row in part["versions"].items()
    )
    return (
        "The same FedAvg rounds over all clients, no evaluation, each framework as a program of its own. *first*: from "
        "the start of the process to the end of round one; *peak*: the proportional set size of all its processes; CPU "
        "seconds where all is one process. Medians of five turns. CFLA's client steps with Adam, the "
        f"others with SGD. {versions}.\n\n{out}"
    )


SECTIONS: tuple[tuple[str, str, Callable[[dict[str, Any]], str]], ...] = (
    ("clients", "Training on one core", clients),
    ("pool", "Workers", workers),
    ("against", "Other frameworks", peers),
    ("growth", "Growth", lambda found: sections.growth(found["growth"])),
    ("dphase", "The D-phase", lambda found: sections.dphase(found["dphase"])),
    ("evaluation", "Evaluation", lambda found: sections.evaluation(found["evaluation"])),
    ("similarity", "Similarity and grouping", lambda found: sections.similarity(found["similarity"])),
    ("store", "The clients' memories", lambda found: sections.store(found["store"])),
    ("scaffold10k", "Ten thousand memories on disk", lambda found: sections.scaffold(found["scaffold10k"])),
    ("overhead", "What the naive loop spends", lambda found: sections.overhead(found["overhead"])),
)


def figures(found: dict[str, Any], drawn: Sequence[tuple[str, str, str]]) -> str:
    """All that stands between the marks. drawn: (part, title, file) of each plot."""
    blocks = [about(found), "## Targets\n", goals(found)]
    for part, title, write in SECTIONS:
        blocks.append(f"## {title}\n")
        if part not in found:
            blocks.append(f"Not measured: `benchmarks/{part}.py` left no figures.\n")
            continue
        blocks.append(write(found))
        shown = [f"![{name}](pictures/{file})" for of, name, file in drawn if of == part]
        blocks += ["\n".join(shown) + "\n"] if shown else []
    return "\n".join(blocks)


def page(old: str, made: str) -> str:
    """The page with the figures put between its marks."""
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit("performance.md: the marks of the figures are missing")
    return before + begin + made + end + after


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("folder", type=Path, nargs="?", default=HERE / "out" / "bench", help="the figures")
    ask.add_argument("--to", type=Path, default=HERE / "docs" / "performance.md", help="the page")
    given = ask.parse_args()
    found = read(given.folder)
    if not found:
        raise SystemExit(f"{given.folder}: holds no figures; make them with `make bench`")
    drawn = []
    (given.to.parent / "pictures").mkdir(parents=True, exist_ok=True)
    for part, title, file, svg in pictures.all_of(found):
        (given.to.parent / "pictures" / file).write_text(svg)
        drawn.append((part, title, file))
    old = given.to.read_text() if given.to.exists() else FRESH
    given.to.write_text(page(old, figures(found, drawn)))
    print(f"written: {given.to}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
