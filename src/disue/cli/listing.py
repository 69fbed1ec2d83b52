"""`disue list`: what there is, one line each; with --keys every key with its default."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from disue import data, methods, models
from disue.attacks import KINDS
from disue.cli.probe import allowed, written
from disue.cli.tables import shown
from disue.data.sources.facts import FACTS
from disue.parts import expert
from disue.runs import assemble, attack
from disue.runs.keys import Known
from disue.study import shelf


@dataclass(frozen=True)
class Entry:
    """A name of a list: its summary, its keys with what makes it from them, and what else stands in its row."""

    name: str
    summary: str
    keys: Mapping[str, Known]
    make: Callable[..., Any] | None = None
    more: str = ""


def summary_of(thing: Callable[..., Any]) -> str:
    """The first line of a docstring, without its full stop."""
    return (inspect.getdoc(thing) or "").split("\n", 1)[0].rstrip(".")


def of_methods() -> list[Entry]:
    out = []
    for name, listed in methods.TABLE.items():
        keys = {k: v for k, v in assemble.method_keys(name).items() if k != "name"}
        out.append(Entry(name, listed.summary, keys, listed.build, listed.mark))
    return out


def of_datasets() -> list[Entry]:
    out = [Entry("digits", "image, 10 classes, comes with scikit-learn", {})]
    for name in data.NAMES:
        if name in FACTS:
            fact = FACTS[name]
            out.append(Entry(name, f"{fact.kind}, {fact.classes} classes: {fact.citation}", {}))
    return [entry for entry in out if entry.name in data.NAMES]


def of_models() -> list[Entry]:
    return [
        Entry(
            row.name,
            row.about,
            {k: v for k, v in assemble.model_keys(row.name).items() if k in row.settings},
            more=", ".join(row.kinds),
        )
        for row in models.ROWS
    ]


def of_partitions() -> list[Entry]:
    common = ("kind", "seed", "file")
    return [
        Entry(
            name,
            summary_of(make),
            {k: v for k, v in assemble.partition_keys(name).items() if k not in common},
        )
        for name, make in data.KINDS.items()
    ]


def of_parts() -> list[Entry]:
    out = []
    for slot, kinds in assemble.SLOTS.items():
        for kind, make in kinds.items():
            if (slot, kind) != ("expert", "distil"):
                out.append(_part(slot, kind, make, {}))
        if slot == "expert":
            out += [_part(slot, "distil", expert.family(name), {"family": name}) for name in expert.FAMILIES]
    return out


def _part(slot: str, kind: str, make: Callable[..., Any], given: Mapping[str, str]) -> Entry:
    keys = {k: v for k, v in assemble.slot_keys(slot, kind, given).items() if k not in ("kind", "family")}
    name = " ".join((slot, kind, *given.values()))
    return Entry(name, summary_of(make), keys, make)


def of_attacks() -> list[Entry]:
    return [
        Entry(name, summary_of(make), {k: v for k, v in attack.keys(name).items() if k not in attack.COMMON}, make)
        for name, make in KINDS.items()
    ]


def of_tables() -> list[Entry]:
    return [Entry(name, shelf.summary(path), {}) for name, path in shelf.tables().items()]


LISTS: dict[str, tuple[Callable[[], list[Entry]], str]] = {
    "methods": (of_methods, "mark"),
    "datasets": (of_datasets, ""),
    "models": (of_models, "takes"),
    "partitions": (of_partitions, ""),
    "parts": (of_parts, ""),
    "attacks": (of_attacks, ""),
    "tables": (of_tables, ""),
}


@click.command("list")
@click.argument("what", type=click.Choice(list(LISTS)))
@click.option("--keys", is_flag=True, help="Also every key with its default, what it takes and what it means.")
def list_(what: str, keys: bool) -> None:
    """List the names that a spec can use."""
    make, more = LISTS[what]
    entries = make()
    if not keys:
        head = ("name", more, "what it is") if more else ("name", "what it is")
        shown([(e.name, e.more, e.summary) if more else (e.name, e.summary) for e in entries], head)
        return
    for at, entry in enumerate(entries):
        click.echo(("\n" if at else "") + f"{entry.name}: {entry.summary}")
        rows = [(f"  {k.name}", written(k), allowed(k, entry.make), k.doc) for k in entry.keys.values()]
        if rows:
            shown(rows, ("  key", "default", "takes", "meaning"))
