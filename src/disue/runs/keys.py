"""Reading tables: every key's type, range, default and meaning stand in one place, beside the field.

A fixed table is a frozen dataclass whose fields are made by `key`. An open table (a part's or method's
arguments) is a constructor whose signature gives the keys. Both are checked by the functions here, before
torch is imported.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from disue.core.errors import UserError, nearest

Table = Mapping[str, Any]


def key(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A field of a fixed table: `low` ≤ value ≤ `high`, value > `above`, value in `choices`."""
    metadata = {"doc": doc, "low": low, "above": above, "high": high, "choices": choices}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of a key: for validation, `disue list` and the reference page."""

    name: str
    type: Any
    default: Any
    doc: str = ""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    def allowed(self) -> str:
        """What the key takes, in words."""
        words = describe(self.type)
        choices = self.metadata.get("choices")
        if choices:
            listed = " | ".join(f'"{c}"' for c in choices)
            return f"list of {listed}" if words.startswith("list") else listed
        signs = (("above", ">"), ("low", "≥"), ("high", "≤"))
        bounds = [f"{sign} {self.metadata[name]:g}" for name, sign in signs if self.metadata.get(name) is not None]
        return f"{words} {' and '.join(bounds)}".rstrip()


def describe(kind: Any) -> str:
    """A type in the words of a spec: integer, number, true | false, text, list of …"""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " | ".join(f'"{a}"' if isinstance(a, str) else str(a) for a in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(a) for a in arguments if a is not type(None))
    if kind in (tuple, list):
        return "list"
    if origin in (tuple, list):
        return f"list of {describe(arguments[0])}" if arguments else "list"
    if origin in (dict, Mapping) or kind is dict:
        return "table"
    return {int: "integer", float: "number", bool: "true | false", str: "text"}.get(kind, str(kind))


def fields_of(table: type) -> dict[str, Known]:
    """The keys of a fixed table."""
    hints = typing.get_type_hints(table)
    out = {}
    for f in dataclasses.fields(table):
        default = inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        out[f.name] = Known(f.name, hints[f.name], default, f.metadata.get("doc", ""), f.metadata)
    return out


def signature_of(constructor: Callable[..., Any], without: Iterable[str] = ()) -> dict[str, Known]:
    """The keys of an open table; their meanings are read off the docstring, see `meanings`."""
    hints = typing.get_type_hints(constructor)
    texts = meanings(constructor)
    out = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name in without or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        out[name] = Known(name, hints.get(name, Any), parameter.default, texts.get(name, ""))
    return out


def meanings(constructor: Callable[..., Any]) -> dict[str, str]:
    """argument → meaning, from the docstring; a class inherits those of its bases. Two forms are read:

    a, b   a line with two spaces or more after the names; further lines are indented by six or more.
           `labels (a, tau)` names three arguments, `weights_…` all that begin so.

    And in running text: `a: meaning. b, for some cases: meaning.`
    """
    known = list(inspect.signature(constructor).parameters)
    out: dict[str, str] = {}
    for source in reversed(inspect.getmro(constructor)) if inspect.isclass(constructor) else [constructor]:
        text = inspect.cleandoc(source.__doc__ or "")
        out |= _in_prose(text, known)
        out |= _in_lines(text, known)
    return out


def _in_lines(text: str, known: Iterable[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    last: list[str] = []
    for line in text.splitlines():
        found = re.match(r"^ {0,4}([a-z][a-z0-9_, …()]*?) {2,}(\S.*)$", line)
        if found:
            words = re.findall(r"[a-z0-9_]+…?", found[1])
            last = [n for w in words for n in known if n == w or (w.endswith("…") and n.startswith(w[:-1]))]
            out |= dict.fromkeys(last, found[2].strip())
        elif re.match(r"^ {6,}\S", line):
            out |= {name: f"{out[name]} {line.strip()}" for name in last}
        else:
            last = []
    return out


def _in_prose(text: str, known: Iterable[str]) -> dict[str, str]:
    _, _, body = text.partition("\n\n")
    paragraphs = [" ".join(part.split()) for part in body.split("\n\n")]
    names = "|".join(known)
    marks = re.compile(rf"(?:^|(?<=[.;] ))({names})(?:, ([^:.]*))?: ") if names else None
    out: dict[str, str] = {}
    for paragraph in paragraphs if marks else ():
        found = list(marks.finditer(paragraph)) if marks else []
        for at, match in enumerate(found):
            end = found[at + 1].start() if at + 1 < len(found) else len(paragraph)
            meaning = paragraph[match.end() : end].strip().rstrip(".;")
            out[match[1]] = f"{match[2]}: {meaning}" if match[2] else meaning
    return out


def bind(where: str, known: Mapping[str, Known], given: Table) -> dict[str, Any]:
    """`given` with every key known and of its type; lists become tuples. Missing keys are not filled in."""
    out = {}
    for name, value in given.items():
        if name not in known:
            guess = nearest(name, known)
            hint = f' Did you mean "{guess}"?' if guess else ""
            raise UserError(
                f"{where}.{name}: unknown key. Known keys: {', '.join(sorted(known)) or 'none'}.{hint}".lstrip("."),
                key=f"{where}.{name}".lstrip("."),
                found=value,
            )
        out[name] = convert(f"{where}.{name}".lstrip("."), known[name], value)
    for name, spec in known.items():
        if spec.required and name not in given:
            raise UserError(f"{where}.{name} is missing: {spec.doc or spec.allowed()}", key=f"{where}.{name}")
    return out


def convert(path: str, known: Known, value: Any) -> Any:
    """`value` in the key's type and range, else one sentence."""
    out = _typed(known.type, value)
    if out is _WRONG:
        raise UserError(f"{path} must be {known.allowed()}, got {value!r}", key=path, found=value)
    meta = known.metadata
    choices = meta.get("choices") or ()
    for word in (out if isinstance(out, tuple) else (out,)) if choices else ():
        if word is not None and word not in choices:
            guess = nearest(str(word), choices)
            hint = f' Did you mean "{guess}"?' if guess else ""
            raise UserError(f'{path} must be {known.allowed()}, got "{word}".{hint}', key=path, found=value)
    for item in out if isinstance(out, tuple) else (out,):
        if isinstance(item, bool) or not isinstance(item, int | float):
            continue
        low, above, high = meta.get("low"), meta.get("above"), meta.get("high")
        bad = (low is not None and item < low) or (above is not None and item <= above)
        if bad or (high is not None and item > high) or item != item:
            raise UserError(f"{path} must be {known.allowed()}, got {value!r}", key=path, found=value)
    return out


_WRONG = object()


def _typed(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is typing.Literal:
        return value if value in arguments and type(value) in {type(a) for a in arguments} else _WRONG
    if origin in (typing.Union, types.UnionType):
        for argument in arguments:
            out = _typed(argument, value)
            if out is not _WRONG:
                return out
        return _WRONG
    if kind is type(None):
        return None if value is None else _WRONG
    if kind is bool:
        return value if isinstance(value, bool) else _WRONG
    if kind is int:
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else _WRONG
    if kind is float:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _WRONG
    if kind is str:
        return str(value) if isinstance(value, str) else _WRONG
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            return _WRONG
        items = tuple(_typed(arguments[0] if arguments else Any, item) for item in value)
        return _WRONG if any(item is _WRONG for item in items) else items
    if origin in (dict, Mapping) or (inspect.isclass(kind) and issubclass(kind, Mapping)):
        return dict(value) if isinstance(value, Mapping) else _WRONG
    return value if inspect.isclass(kind) and isinstance(value, kind) else _WRONG
