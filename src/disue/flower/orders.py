"""One client's share of the orders as JSON and arrays, and what it answers.

A vector is named by its digest and is sent once in an exchange, whatever it is used for. Where entries are common to
all starts (`Orders.tied`) they come with the first vector only. Local parts and probes travel as their settings: a node
makes them of its own library's classes, never of code that came.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from disue.core import tree
from disue.core.checks import Array, IntMatrix, IntVector, Mask, Vector, digest
from disue.core.clients import private_of
from disue.core.errors import UserError
from disue.core.layout import Layout, Part
from disue.core.orders import Orders, Report, Sight

ROOMS = ("disue.parts.", "disue.methods.", "disue.core.")  # whose dataclasses an order may be made of
VECTOR, EXTRA, LOCAL, PROBE = "vector:", "extra:", "local:", "probe:"


class Vectors:
    """Vectors by digest, as a node holds them during an exchange."""

    def __init__(self, held: Mapping[str, Vector] | None = None) -> None:
        self.held: dict[str, Vector] = dict(held or {})

    def take(self, arrays: Mapping[str, Array]) -> None:
        """Adds those that came with a message."""
        for name, value in arrays.items():
            if name.startswith(VECTOR):
                self.held[name.removeprefix(VECTOR)] = np.ascontiguousarray(value)

    def __getitem__(self, name: str) -> Vector:
        try:
            return self.held[name]
        except KeyError:
            raise Lacking(name) from None


class Lacking(LookupError):
    """A node does not hold a vector that the server took it to hold."""


class Classes(Mapping[str, type]):
    """The dataclasses that an order may be made of: those of a method, and those of this library's parts, by name."""

    def __init__(self, method: object) -> None:
        self._own = tree.classes_of(method)

    def __getitem__(self, name: str) -> type:
        if name in self._own:
            return self._own[name]
        module, _, word = name.rpartition(".")
        if not module.startswith(ROOMS):
            raise KeyError(name)
        try:
            found = getattr(importlib.import_module(module), word)
        except (ImportError, AttributeError):
            raise KeyError(name) from None
        if not (isinstance(found, type) and dataclasses.is_dataclass(found) and found.__module__ == module):
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


# -- down ----------------------------------------------------------------------------------------------


def down(
    orders: Orders, client: int, sent: set[str], common: Vector | None = None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """(JSON, arrays) of what one client is told.

    sent    digests of vectors that it holds already; those sent now are added
    common  what ends are counted from in the protocol, where the client must know it
    """
    one = orders.among(np.array([client], np.int64))
    which = one.which[0]
    into = which if one.into is None else one.into[0]
    blind = one.local is None and not getattr(one.probe, "model", True)
    rows = list(dict.fromkeys([*which.tolist(), *into.tolist()]))
    arrays: dict[str, Array] = {}
    names: list[str] = []
    for row in [] if blind else rows:
        name = digest(one.starts[row])
        if name not in sent:
            untied = names and one.tied is not None
            arrays[VECTOR + name] = one.starts[row][~one.tied] if untied else one.starts[row]  # type: ignore[operator]
            sent.add(name)
        names.append(name)
    about: dict[str, Any] = {
        "round": one.round,
        "stream": one.stream,
        "own": one.own,
        "starts": names,
        "which": [rows.index(row) for row in which.tolist()],
        "into": None if one.into is None else [rows.index(row) for row in into.tolist()],
        "report": _report_down(one.report),
    }
    if one.tied is not None and len(names) > 1:
        arrays["tied"] = np.packbits(one.tied)
    if one.shares is not None:
        arrays["shares"] = one.shares
    if common is not None:
        about["common"] = digest(common)
        if about["common"] not in sent:
            arrays[VECTOR + about["common"]] = common
            sent.add(about["common"])
    for word, prefix, part in (("local", LOCAL, one.local), ("probe", PROBE, one.probe)):
        about[word] = None
        if part is not None:
            found, about[word] = tree.take(part)
            arrays.update({prefix + path: value for path, value in found.items()})
    arrays.update({EXTRA + name: np.asarray(value) for name, value in one.extras.items()})
    return about, arrays


def made(
    about: Mapping[str, Any],
    arrays: Mapping[str, Array],
    client: int,
    layout: Layout,
    vectors: Vectors,
    classes: Mapping[str, type],
    initial: Vector,
) -> Orders:
    """The orders that `down` took apart, as the client's engine takes them; vectors that came are kept in `vectors`.

    initial  what stands for a start where none is sent, as the client looks at its data alone
    """
    names = list(about["starts"])
    if "tied" in arrays:
        tied = np.unpackbits(np.asarray(arrays["tied"], np.uint8), count=layout.d).astype(bool)
        arrays = _whole(arrays, names, tied, vectors)
    vectors.take(arrays)
    starts = np.stack([vectors[name] for name in names]) if names else initial[None, :]
    if starts.shape[1] != layout.d:
        raise UserError(f"a start of {starts.shape[1]:,} numbers came, the model has {layout.d:,}", key="starts")
    parts = {
        word: None
        if about[word] is None
        else tree.put(
            {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)},
            about[word],
            classes,
            f"the order's {word} part",
        )
        for word, prefix in (("local", LOCAL), ("probe", PROBE))
    }

    def rows(found: list[int]) -> IntMatrix:
        return np.array([found if names else [0] * len(found)], np.int64)

    return Orders(
        round=int(about["round"]),
        ids=np.array([client], np.int64),
        starts=np.ascontiguousarray(starts),
        which=rows(about["which"]),
        origin=vectors[about["common"]] if "common" in about else None,
        extras={name.removeprefix(EXTRA): value for name, value in arrays.items() if name.startswith(EXTRA)},
        local=parts["local"],
        report=report_up(about["report"]),
        into=None if about["into"] is None else rows(about["into"]),
        own=bool(about["own"]),
        probe=parts["probe"],
        stream=str(about["stream"]),
        shares=None if "shares" not in arrays else np.asarray(arrays["shares"], np.float64),
    )


def _whole(arrays: Mapping[str, Array], names: list[str], tied: Mask, vectors: Vectors) -> dict[str, Array]:
    """Vectors of which the untied entries came, with the others of the first."""
    out = dict(arrays)
    first = out.get(VECTOR + names[0])
    base = vectors[names[0]] if first is None else first
    for name in names[1:]:
        came = out.get(VECTOR + name)
        if came is not None and came.size < tied.size:
            whole = np.array(base)
            whole[~tied] = came
            out[VECTOR + name] = whole
    return out


def _report_down(report: Report) -> dict[str, Any]:
    parts = [[list(part.patterns), part.kind] for part in report.parts]
    return {**dataclasses.asdict(report), "sight": sorted(report.sight), "parts": parts}


def report_up(about: Mapping[str, Any]) -> Report:
    """The report that `down` took apart."""
    return Report(
        frozenset(Sight(word) for word in about["sight"]),
        tuple(Part(tuple(patterns), kind) for patterns, kind in about["parts"]),
        str(about["weights"]),
        str(about["choice"]),
        tuple(about["extras"]),
        str(about["about"]),
    )


# -- up ------------------------------------------------------------------------------------------------


def entries(orders: Orders, layout: Layout) -> IntVector:
    """The entries of a client's end that go up: what the report can be answered from, and never private ones."""
    if orders.local is None:
        return np.zeros(0, np.int64)
    shared = ~private_of(orders.local, layout)
    report = orders.report
    if report.sight & {Sight.SUMS, Sight.VECTORS}:
        return np.flatnonzero(shared)
    if not report.sight & {Sight.COSINE, Sight.GRAM}:
        return np.zeros(0, np.int64)
    masks = [layout.mask(part) for part in report.parts]
    asked = np.any(masks, axis=0) if masks else np.ones(layout.d, bool)
    return np.flatnonzero(asked & shared)


def needs_start(orders: Orders) -> bool:
    """Whether the server must be told what a client started from: it starts from its own, and updates are compared."""
    return orders.own and bool(orders.report.sight & {Sight.COSINE, Sight.GRAM, Sight.VECTORS})
