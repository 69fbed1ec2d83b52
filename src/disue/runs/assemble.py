"""From checked tables to a method: names to constructors, a slot's table to its part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from disue import data, methods, models
from disue.core.clients import Local
from disue.core.errors import UserError, unknown
from disue.data.kinds import keys as data_keys
from disue.methods.composed import Composed
from disue.methods.plugin import with_expert
from disue.parts import aggregate, expert, grouping, local, start
from disue.parts.grouping.floor import Floor
from disue.parts.start import FromGroup
from disue.runs.keys import Known, bind, signature_of
from disue.runs.words import PARTITION, WORDS, worded

AnyMethod: TypeAlias = Composed[Any, Any, Any]
Table: TypeAlias = Mapping[str, Any]

SLOTS: dict[str, Mapping[str, Callable[..., Any]]] = {
    "start": start.KINDS,
    "local": local.KINDS,
    "grouping": grouping.KINDS,
    "aggregate": aggregate.KINDS,
    "expert": expert.KINDS,
}
FLOOR = "floor"  # [method.floor], of any method
MODEL_KEYS = ("name", "additive", "weights", "freeze", "seed")
SHARE = Known("share", float, 1.0, WORDS["share"], {"low": 0, "high": 1})


# -- partition and model ---------------------------------------------------------------------------------


def partition_keys(kind: str) -> dict[str, Known]:
    """The keys of [partition] for one kind."""
    if kind not in data.KINDS:
        raise unknown("partition.kind", kind, data.KINDS)
    own = {k: v for k, v in signature_of(data.KINDS[kind]).items() if k in data_keys(kind)}
    fixed = {
        "kind": Known("kind", str, "dirichlet", "how the data is dealt out", {"choices": tuple(data.KINDS)}),
        "seed": Known("seed", int, None, "of the partition alone; the run's seed unless given", {"low": 0}),
        "file": Known("file", str, "", "a saved partition.npz instead of a drawn one"),
    }
    return {**fixed, **worded(own, PARTITION)}


def check_partition(given: Table) -> dict[str, Any]:
    kind = given.get("kind", "dirichlet")
    if not isinstance(kind, str):
        raise UserError(f"partition.kind must be text, got {kind!r}", key="partition.kind", found=kind)
    known = partition_keys(kind)
    if given.get("file"):
        for name in known:
            if name in given and name != "file":
                raise UserError(
                    f"partition.{name} has no effect with partition.file; leave it out",
                    key=f"partition.{name}",
                    found=given[name],
                )
        return bind("partition", {k: dataclasses.replace(v, default=None) for k, v in known.items()}, given)
    bound = bind("partition", known, given)
    return {**{k: v.default for k, v in known.items() if v.default not in (None, "")}, "kind": kind, **bound}


def model_keys(name: str) -> dict[str, Known]:
    """The keys of [model] for one model; a model by import path takes any."""
    fixed = {
        "name": Known("name", str, "", "a name of `disue list models`, or your nn.Module as package.module:Class"),
        "additive": Known(
            "additive",
            bool,
            None,
            "the sum of two such models, tensors shared.* and own.*; false unless the method needs it (CAM)",
        ),
        "weights": Known("weights", str, "", "a .safetensors file to start from"),
        "freeze": Known("freeze", tuple[str, ...], (), "tensors that stay as they are, as names or globs"),
        "seed": Known("seed", int, None, "of the initial weights alone; the run's seed unless given", {"low": 0}),
    }
    if name == "" or ":" in name:
        return fixed
    if name not in models.NAMES:
        raise unknown("model.name", name, models.NAMES)
    own = {
        k: Known(
            k,
            tuple[int, ...] if isinstance(v.default, tuple) else type(v.default),
            v.default,
            v.about,
            {"choices": v.choices or None, "low": None if isinstance(v.default, str) else v.least},
        )
        for k, v in models.table.row(name).settings.items()
    }
    return {**fixed, **own}


def check_model(given: Table) -> dict[str, Any]:
    name = given.get("name", "")
    if not isinstance(name, str):
        raise UserError(f"model.name must be text, got {name!r}", key="model.name", found=name)
    known = model_keys(name)
    if ":" in name:
        known = {**known, **{k: Known(k, Any, None) for k in given if k not in known}}
    bound = bind("model", known, given)
    if name and ":" not in name:
        models.settings(name, {k: v for k, v in bound.items() if k not in MODEL_KEYS})
    return bound


# -- method ----------------------------------------------------------------------------------------------


def method_keys(name: str) -> dict[str, Known]:
    """The keys of [method] for one method, without its slots' tables."""
    if name not in methods.TABLE:
        raise unknown("method.name", name, methods.TABLE)
    return {
        "name": Known("name", str, "fedavg", "a name of `disue list methods`"),
        **worded(signature_of(methods.TABLE[name].build, without=("local",))),
    }


def slot_keys(slot: str, kind: str, given: Table) -> dict[str, Known]:
    """The keys of a slot's table when it holds the part `kind`."""
    kinds = SLOTS[slot]
    if kind not in kinds:
        raise unknown(f"method.{slot}.kind", kind, kinds)
    own = signature_of(kinds[kind])
    if slot == "expert":
        if kind == "distil":
            own = {
                "family": Known("family", str, "moments", "moments (of the features) or generator (of inputs)"),
                **signature_of(expert.family(str(given.get("family", "moments")))),
            }
        own["share"] = SHARE
    return {"kind": Known("kind", str, kind, "replaces the part"), **worded(own)}


def check_method(given: Table, settings: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """[method] and [local], bound, with defaults of the method's own arguments filled in."""
    name = given.get("name", "fedavg")
    if not isinstance(name, str):
        raise UserError(f"method.name must be text, got {name!r}", key="method.name", found=name)
    known = method_keys(name)
    for slot in (*SLOTS, FLOOR):
        if slot in given and not isinstance(given[slot], Mapping):
            raise UserError(f"method.{slot} must be a table, got {given[slot]!r}", key=f"method.{slot}")
    flat = {k: v for k, v in given.items() if k not in (*SLOTS, FLOOR)}
    _refuse_lost(known, given)
    bound = bind("method", {**known, **{s: Known(s, dict, {}) for s in SLOTS}}, flat)
    method = {k: v.default for k, v in known.items() if v.default is not None} | bound | {"name": name}
    kind = str(given.get("local", {}).get("kind", methods.TABLE[name].local))
    for slot in SLOTS:
        if slot not in given:
            continue
        table = given[slot]
        if slot == "local" or "kind" in table:
            keys = slot_keys(slot, kind if slot == "local" else str(table["kind"]), table)
        else:
            keys = override_keys(slot, method, table)
        method[slot] = bind(f"method.{slot}", keys, table)
    if FLOOR in given:
        method[FLOOR] = bind(f"method.{FLOOR}", floor_keys(), given[FLOOR])
    keys = {k: v for k, v in slot_keys("local", kind, {}).items() if k != "kind"}
    own = {k: v for k, v in method.get("local", {}).items() if k != "kind"}
    given_twice = [k for k, v in bind("local", keys, settings).items() if own.get(k, v) != v]
    if given_twice:
        name = given_twice[0]
        raise UserError(
            f"local.{name} and method.local.{name} were both given; give one of them",
            key=f"local.{name}",
            found=settings[name],
        )
    local_table = {k: v.default for k, v in keys.items()} | bind("local", keys, settings) | own
    if "local" in method:
        method["local"] = {"kind": kind}
    return method, local_table


def floor_keys() -> dict[str, Known]:
    """The keys of [method.floor]."""
    return signature_of(Floor)


def _refuse_lost(known: Mapping[str, Known], given: Table) -> None:
    """Raises where an argument of the method was for a part that a slot's table replaces.

    A resolved spec names every argument, so one that stands at its default is no mistake.
    """
    for name, slot in (*((key, "grouping") for key in ("k", "beta", "distance", "after")), ("share", "start")):
        if name in known and name in given and "kind" in given.get(slot, {}) and given[name] != known[name].default:
            raise UserError(
                f"method.{name} has no effect, since method.{slot}.kind replaces the part that takes it; "
                f"give the part's own keys in [method.{slot}]",
                key=f"method.{name}",
                found=given[name],
            )


def override_keys(slot: str, method: Table, table: Table) -> dict[str, Known]:
    """The keys that override arguments of the part that the method has in this slot."""
    part = getattr(plain(method, {}), slot)
    if slot == "expert":
        family = _family_of(part)
        shown = "distil" if family or "family" in table else _kind_of(slot, part)
        named = {"family": family or "moments", **table}
        keys = slot_keys(slot, shown, named)
    else:
        keys = worded(signature_of(type(part)))
    return {k: v for k, v in keys.items() if k != "kind"}


def _family_of(part: object) -> str | None:
    """The family of a distilled expert, None for any other part."""
    return next((name for name in expert.FAMILIES if type(part) is expert.family(name)), None)


def _kind_of(slot: str, part: object) -> str:
    for kind, constructor in SLOTS[slot].items():
        if constructor is type(part):
            return kind
    return type(part).__name__


def parts_of(name: str) -> dict[str, str]:
    """slot → the kind that a method has there; a distilled expert with its family."""
    built = plain({"name": name}, {})
    out = {slot: _kind_of(slot, getattr(built, slot)) for slot in SLOTS}
    family = _family_of(built.expert)
    return out if family is None else {**out, "expert": f"distil, {family}"}


def plain(method: Table, settings: Table) -> AnyMethod:
    """The method as its own file makes it, without the slots' tables."""
    listed = methods.TABLE[str(method["name"])]
    kind = str(method.get("local", {}).get("kind", listed.local))
    arguments = {k: v for k, v in method.items() if k not in (*SLOTS, FLOOR) and k != "name"}
    with _named("local", settings):
        part: Local = local.KINDS[kind](**settings)
    with _named("method", arguments):
        built: AnyMethod = listed.build(local=part, **arguments)
    return built


def build_method(method: Table, settings: Table) -> AnyMethod:
    """The method with its slots' tables applied."""
    out = plain(method, settings)
    if FLOOR in method:
        with _named(f"method.{FLOOR}", method[FLOOR]):
            out = dataclasses.replace(out, floor=Floor(**method[FLOOR]))
    for slot in ("start", "grouping", "aggregate", "expert"):
        if slot not in method:
            continue
        table = dict(method[slot])
        kind = table.pop("kind", None)
        with _named(f"method.{slot}", method[slot]):
            if slot == "expert":
                out = _with_expert_table(out, kind, table.pop("share", None), table, kept="start" in method)
            elif kind is not None:
                out = dataclasses.replace(out, **{slot: SLOTS[slot][kind](**table)})
            else:
                out = dataclasses.replace(out, **{slot: dataclasses.replace(getattr(out, slot), **table)})
    return out


def mark_of(method: AnyMethod) -> str:
    """What a method is allowed that others are not, in the words of `disue list methods`; mostly ""."""
    marks = [str(getattr(part, "mark", "")) for part in (method.expert, method.grouping)]
    return ", ".join(filter(None, marks))


@contextmanager
def _named(where: str, given: Table) -> Iterator[None]:
    """A part's own refusal, said of the spec's key: `linkage.k must …` becomes `method.k must …`."""
    try:
        yield
    except UserError as error:
        key = error.key or ""
        name = key.rpartition(".")[2]
        path = f"{where}.{name}" if name in given else where
        text = str(error)
        text = path + text[len(key) :] if name in given and text.startswith(key) else f"{where}: {text}"
        raise UserError(text, key=path, found=error.found) from None


def _with_expert_table(
    host: AnyMethod, kind: str | None, share: float | None, table: dict[str, Any], *, kept: bool
) -> AnyMethod:
    """[method.expert]: with `kind` it replaces the part and the start; without, it overrides arguments.

    kept  [method.start] is given: that start stays, and `share` is for one that takes it
    """
    part: Any = host.expert
    if kind == "none":
        if share is not None:
            raise UserError("share has no effect without an expert", key="expert.share", found=share)
        return dataclasses.replace(host, expert=expert.KINDS["none"](), start=host.start if kept else FromGroup())
    if kind is not None:
        part = expert.KINDS[kind](**table)
    elif "family" in table and table["family"] != _family_of(part):
        part = expert.KINDS["distil"](**table)
    else:
        table.pop("family", None)
        part = dataclasses.replace(part, **table)
    if kept and not hasattr(host.start, "share"):
        if share is not None:
            raise UserError("share has no effect on the start of [method.start]", key="expert.share", found=share)
        return dataclasses.replace(host, expert=part)
    if getattr(part, "for_use", False):
        if share is not None:
            raise UserError(
                "share has no effect, since nothing starts from this expert", key="expert.share", found=share
            )
        return dataclasses.replace(host, expert=part)
    if share is None:
        share = getattr(host.start, "share", 1.0) if host.expert.serves else 1.0
    return with_expert(host, part, share)
