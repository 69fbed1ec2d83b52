"""What the entries of a flat vector are: names, shapes and kinds of a model's tensors, and its head."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from disue.core.checks import Array, Mask, Vector, frozen, vector
from disue.core.errors import UserError


@dataclass(frozen=True)
class Part:
    """A named piece of the vector: `WHOLE` (all weights), `HEAD`, or glob patterns over tensor names.

    Statistics (BatchNorm's running mean …) belong to no part but `EVERYTHING`: they are averaged, never
    compared or trained.
    """

    patterns: tuple[str, ...] = ("*",)
    kind: str = "weight"

    @staticmethod
    def of(text: str) -> Part:
        """`whole`, `head`, or comma-separated globs such as `conv*,fc1.weight`."""
        named = {"whole": WHOLE, "head": HEAD, "body": BODY, "everything": EVERYTHING}
        return named.get(text, Part(tuple(word.strip() for word in text.split(","))))


WHOLE = Part()
HEAD = Part(("@head",))
BODY = Part(("@body",))
EVERYTHING = Part(kind="any")
SHARED, OWN = Part(("shared.*",)), Part(("own.*",))  # the branches of an additive model


@dataclass(frozen=True)
class Entry:
    """One tensor of the model. `kind`: "weight" (trained) or "statistic" (tracked)."""

    name: str
    shape: tuple[int, ...]
    kind: str = "weight"
    module: str = ""  # the type of the module that owns it, as FedBN must ask by type and not by name

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """Tensors of a model in the order of its state, flattened one after the other (C order).

    `head_weight` (classes, features) and `head_bias` (classes,) name the last linear layer; its input
    are the *features*. `positive` says that features are ≥ 0 (they come out of a ReLU).
    """

    entries: tuple[Entry, ...]
    head_weight: str
    head_bias: str
    positive: bool = True
    model: str = ""

    @cached_property
    def d(self) -> int:
        return sum(entry.size for entry in self.entries)

    @cached_property
    def slices(self) -> dict[str, slice]:
        out, at = {}, 0
        for entry in self.entries:
            out[entry.name] = slice(at, at + entry.size)
            at += entry.size
        return out

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {entry.name: entry.shape for entry in self.entries}

    @property
    def classes(self) -> int:
        return self.shapes[self.head_weight][0]

    @property
    def features(self) -> int:
        return self.shapes[self.head_weight][1]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, shapes and kinds: two models with the same fingerprint share vectors."""
        words = json.dumps([[e.name, list(e.shape), e.kind] for e in self.entries] + [self.head_weight])
        return hashlib.sha256(words.encode()).hexdigest()

    def mask(self, part: Part) -> Mask:
        """Which entries of the vector belong to `part`, (d,) of bool; a pattern that meets no tensor fails."""
        out = np.zeros(self.d, bool)
        for pattern in part.patterns:
            met = False
            for entry in self.entries:
                head = entry.name in (self.head_weight, self.head_bias)
                if pattern == "@head":
                    meets = head
                elif pattern == "@body":
                    meets = not head
                elif pattern.startswith("@type:"):
                    meets = fnmatch.fnmatch(entry.module, pattern[6:])
                else:
                    meets = fnmatch.fnmatch(entry.name, pattern)
                met = met or meets
                if meets and part.kind in ("any", entry.kind):
                    out[self.slices[entry.name]] = True
            if not met:
                names = ", ".join(entry.name for entry in self.entries)
                raise UserError(
                    f'part "{pattern}" meets no tensor of {self.model or "the model"}. Its tensors: {names}',
                    key="part",
                )
        return frozen(out)

    def tensor(self, value: Vector, name: str) -> Array:
        """The tensor `name` inside a vector, as a view of its shape."""
        return value[self.slices[name]].reshape(self.shapes[name])

    def head(self, value: Vector) -> tuple[Array, Array]:
        """The head inside a vector: weight (classes, features) and bias (classes,), as views."""
        return self.tensor(value, self.head_weight), self.tensor(value, self.head_bias)

    def with_head(self, value: Vector, weight: Array, bias: Array) -> Vector:
        """A copy of `value` with another head."""
        out = vector("with_head", value, self.d).copy()
        self.tensor(out, self.head_weight)[...] = weight
        self.tensor(out, self.head_bias)[...] = bias
        return out
