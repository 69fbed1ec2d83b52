"""What a user calls: checks of a method as a list, all at once with a report, or all at once with an error."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from disue.core.errors import UserError
from disue.methods import table
from disue.methods.composed import Composed
from disue.parts.local import KINDS
from disue.testing.checks import Check, bound
from disue.testing.named import GROUPS, named, pace
from disue.testing.play import BACKENDS
from disue.testing.report import Report, carried_out
from disue.testing.scenario import Scenario
from disue.testing.subject import AnyMethod, Subject, small

Given: TypeAlias = str | AnyMethod | Callable[..., AnyMethod] | Subject


def checks(
    method: Given,
    *,
    backends: Iterable[str] = BACKENDS,
    only: Iterable[str] = (),
    without: Iterable[str] = (),
    **more: Any,
) -> list[Check]:
    """The checks that apply to a method, each to be called: it returns nothing, or raises `AssertionError`.

    method    a constructor as those of `disue.methods` are (its first argument is the local part, the others keys of
              [method]); a `Composed` value; a name of `disue list methods`; or a `Subject`
    backends  "loop", "lean", "stacked", "native"
    only, without   names of checks, see `CHECKS`
    more      fields of `Subject`: scenario, regroups, splits, moves, identities, name
    """
    return bound(subject_of(method, **more), tuple(backends), only, without)


def run(
    method: Given,
    *,
    backends: Iterable[str] = BACKENDS,
    only: Iterable[str] = (),
    without: Iterable[str] = (),
    **more: Any,
) -> Report:
    """All checks of a method; arguments as for `checks`. `print(run(method))` shows a table."""
    subject = subject_of(method, **more)
    return carried_out(subject.name, bound(subject, tuple(backends), only, without))


def conforms(method: Given, **given: Any) -> None:
    """Raises `AssertionError` with a sentence for each check that failed; arguments as for `checks`."""
    report = run(method, **given)
    if not report.passed:
        raise AssertionError("\n".join(report.failures))


def subject_of(method: Given, **more: Any) -> Subject:
    """A method in whatever form as a `Subject`; fields in `more` are put over it."""
    if isinstance(method, str):
        method = named(method)
    if isinstance(method, Subject):
        return replace(method, **more)
    scenario: Scenario = more.get("scenario", Scenario())
    if isinstance(method, Composed):
        return Subject(**{"name": "method", **more, "method": small(method, scenario)})
    if callable(method):
        return _constructed(method, scenario, more)
    raise UserError(f"disue.testing takes a method, its constructor or its name, got {method!r}", key="method")


def _constructed(build: Callable[..., AnyMethod], scenario: Scenario, more: dict[str, Any]) -> Subject:
    """A constructor: a spec can say it, as if the table listed it, where the local part has a kind."""
    name = str(more.get("name") or getattr(build, "__name__", "method")).replace("_", "-")
    takes = inspect.signature(build).parameters
    groups = {"k": GROUPS} if "k" in takes else {}
    method = build(**groups)
    if not isinstance(method, Composed):
        raise UserError(f"{name}: the constructor made {method!r}, expected a Composed method", key="method")
    kind = next((one for one, made in KINDS.items() if made is type(method.local)), None)
    made = {"method": small(method, scenario), **more, "name": name}
    if kind is None or "local" not in takes:
        return Subject(**made)
    tables = {"method": {"name": name, **groups}, "local": pace(scenario)}
    listed = table.Listed(build, "", "", local=kind)

    @contextmanager
    def listing() -> Iterator[None]:
        before = table.TABLE.get(name)
        table.TABLE[name] = listed
        try:
            yield
        finally:
            if before is None:
                del table.TABLE[name]
            else:
                table.TABLE[name] = before

    return Subject(**{"tables": tables, "listing": listing, **made})
