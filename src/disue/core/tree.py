"""Frozen dataclasses of arrays, bytes and scalars, to and from named arrays plus JSON: no pickle.

A state is saved by `take` and restored by `put`, which checks class, field names, dtypes and shapes. Only
dataclasses that the caller names are ever made: a file cannot choose a class.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from disue.core.checks import Array
from disue.core.errors import UserError

Json = Any


def take(value: object) -> tuple[dict[str, Array], Json]:
    """(arrays by path, JSON skeleton)."""
    arrays: dict[str, Array] = {}

    def walk(node: object, path: str) -> Json:
        if isinstance(node, np.ndarray):
            arrays[path] = np.ascontiguousarray(node).reshape(node.shape)
            return {"array": path, "dtype": node.dtype.str, "shape": list(node.shape)}
        if isinstance(node, np.generic):
            return walk(node.item(), path)
        if node is None or isinstance(node, bool | int | str):
            return {"value": node}
        if isinstance(node, float):
            return {"float": node.hex()}
        if isinstance(node, bytes):
            return {"bytes": node.hex()}
        if isinstance(node, tuple):
            return {"tuple": [walk(item, f"{path}.{i}") for i, item in enumerate(node)]}
        if isinstance(node, Mapping):
            return {"map": [[walk(k, f"{path}.{i}#"), walk(v, f"{path}.{i}")] for i, (k, v) in enumerate(node.items())]}
        if dataclasses.is_dataclass(node) and not isinstance(node, type):
            fields = {
                f.name: walk(getattr(node, f.name), f"{path}.{f.name}") for f in dataclasses.fields(node) if f.init
            }
            return {"class": named(type(node)), "fields": fields}
        raise TypeError(
            f"{path}: a state is made of dataclasses, arrays, bytes and scalars; found {type(node).__name__}"
        )

    return arrays, walk(value, "state")


def named(kind: type) -> str:
    """The name of a class in a file, with its module: many parts call their memory `Memory`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def classes_of(value: object, more: Iterable[type] = ()) -> dict[str, type]:
    """Every dataclass that occurs in `value` or in the annotations of such a class, by name."""
    out: dict[str, type] = {}

    def note(kind: object) -> None:
        for argument in typing.get_args(kind):
            note(argument)
        kind = typing.get_origin(kind) or kind
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and named(kind) not in out:
            out[named(kind)] = kind
            try:
                hints = typing.get_type_hints(kind)
            except (NameError, TypeError):
                hints = {}
            for hint in hints.values():
                note(hint)

    def walk(node: object) -> None:
        if dataclasses.is_dataclass(node) and not isinstance(node, type):
            note(type(node))
            for f in dataclasses.fields(node):
                walk(getattr(node, f.name))
        elif isinstance(node, tuple):
            for item in node:
                walk(item)
        elif isinstance(node, Mapping):
            for item in node.values():
                walk(item)

    walk(value)
    for kind in more:
        note(kind)
    return out


def put(arrays: Mapping[str, Array], skeleton: Json, classes: Mapping[str, type], where: str = "state") -> Any:
    """The value that `take` took apart. `classes` are the dataclasses that may be made."""

    def fail(why: str) -> UserError:
        return UserError(f"{where}: {why}", key=where)

    def walk(node: Json) -> Any:
        if not isinstance(node, dict):
            raise fail("is damaged: a node of its description is no table")
        if "array" in node:
            found = arrays.get(node["array"])
            if found is None or found.dtype.str != node["dtype"] or list(found.shape) != node["shape"]:
                got = "nothing" if found is None else f"{found.dtype} {found.shape}"
                raise fail(f"array {node['array']} should be {node['dtype']} {tuple(node['shape'])}, found {got}")
            return found
        if "value" in node:
            return node["value"]
        if "float" in node:
            return float.fromhex(node["float"])
        if "bytes" in node:
            return bytes.fromhex(node["bytes"])
        if "tuple" in node:
            return tuple(walk(item) for item in node["tuple"])
        if "map" in node:
            return {walk(key): walk(item) for key, item in node["map"]}
        if "class" in node:
            kind = classes.get(node["class"])
            if kind is None:
                raise fail(f"holds a {node['class']}, which this method's state has not: it belongs to another method")
            names = {f.name for f in dataclasses.fields(kind) if f.init}
            if names != set(node["fields"]):
                raise fail(f"{node['class']} has fields {sorted(node['fields'])}, expected {sorted(names)}")
            return kind(**{name: walk(item) for name, item in node["fields"].items()})
        raise fail("is damaged: a node of its description has no kind")

    try:
        return walk(skeleton)
    except UserError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise fail(f"is damaged: its description does not make a state ({type(error).__name__})") from error
