"""Run folder(s) → one HTML file that needs nothing else: no network, no script, no font of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from disue._version import __version__
from disue.core.errors import UserError
from disue.reports import compare, groups, local, protocol, sections
from disue.reports.axes import esc, joined
from disue.reports.folder import RunRecord, read
from disue.reports.html import document, stack
from disue.reports.words import below, headline, rounds_of, titles

UNFOLDED = 2  # so many runs are shown in full below a comparison; more are folded


def report(run_dirs: Sequence[Path], out: Path) -> Path:
    """Writes the report of one run, or a comparison of several with a section for each; gives back `out`.

    The same folders give the same bytes. Raises `UserError` where a folder is no run, or cannot be read.
    """
    if not run_dirs:
        raise UserError("report: expected at least one run folder, got none", key="run_dirs")
    runs = [read(Path(folder)) for folder in run_dirs]
    page = single(runs[0]) if len(runs) == 1 else several(runs)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}", key="out", found=str(out)) from None
    return out


def single(run: RunRecord) -> str:
    """The page of one run."""
    top = _top(_kicker(run), headline(run), below(run))
    return document(f"{run.method} · disue report", top + body(run, "") + _foot())


def several(runs: Sequence[RunRecord]) -> str:
    """The page of several runs: side by side, then one by one."""
    names = titles(runs)
    top = _top(f"<b>disue</b> · {len(runs)} runs compared", compare.sentence(runs, names), [])
    parts = [
        compare.wrapped(name, headline(run), body(run, f"r{at}-"), unfolded=len(runs) <= UNFOLDED)
        for at, (run, name) in enumerate(zip(runs, names, strict=True))
    ]
    return document("disue comparison", top + compare.overview(runs, names) + joined(parts) + _foot())


def body(run: RunRecord, slug: str) -> str:
    """All sections of a run; `slug` keeps names apart where several runs share a page."""
    cards = [
        sections.over_rounds(run, slug),
        stack(local.every_client(run, slug), local.newcomers(run)),
        stack(local.local(run), local.held_out(run)),
        groups.matrix(run, slug),
        groups.labels(run, slug),
        groups.listing(run),
        stack(sections.samples(run, slug), sections.time_and_traffic(run, slug)),
        protocol.costs(run),
        sections.settings(run),
        stack(sections.events(run), sections.cite(run)),
    ]
    return sections.numbers(run) + f'<div class="grid">{joined(cards)}</div>'


def _kicker(run: RunRecord) -> str:
    parts = [f"<b>{esc(run.method)}</b>"]
    if run.data.get("name"):
        parts.append(esc(run.data["name"]))
    if run.partition.get("kind"):
        parts.append(esc(run.partition["kind"]))
    parts.append(rounds_of(run))
    if run.seed:
        parts.append(f"seed {esc(run.seed)}")
    return " · ".join(parts)


def _top(kicker: str, title: str, more: Sequence[str]) -> str:
    lines = joined(f'<p class="lead-in">{esc(line)}</p>' for line in more)
    return f'<header><p class="kicker">{kicker}</p><h1>{esc(title)}</h1>{lines}</header>'


def _foot() -> str:
    return f"<footer>Report of disue {esc(__version__)}, made from the run folder alone.</footer>"
