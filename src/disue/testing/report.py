"""All checks of a method at once, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from disue.testing.checks import Check


@dataclass(frozen=True)
class Verdict:
    """A check, and why it failed; "" where it held."""

    check: Check
    why: str = ""


@dataclass(frozen=True)
class Report:
    """What came of the checks of a method. `str(report)` is a table with the sentences below it."""

    name: str
    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence for each check that failed."""
        return tuple(one.why for one in self.verdicts if one.why)

    @property
    def passed(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        backends = list(dict.fromkeys(one.check.backend for one in self.verdicts))
        names = list(dict.fromkeys(one.check.name for one in self.verdicts))
        about = {one.check.name: one.check.about for one in self.verdicts}
        marks = {(v.check.name, v.check.backend): "FAILED" if v.why else "ok" for v in self.verdicts}
        wide = max([len(name) for name in names], default=0)
        lines = [f"{self.name}: {self._said()}", "", f"{'':{wide}}  " + "  ".join(f"{one:7}" for one in backends)]
        for name in names:
            row = "  ".join(f"{marks.get((name, one), '–'):7}" for one in backends)
            lines.append(f"{name:{wide}}  {row}  {about[name]}")
        return "\n".join([*lines, *(["", *self.failures] if self.failures else [])])

    def _said(self) -> str:
        failed, all_ = len(self.failures), len(self.verdicts)
        return f"conforms ({all_} checks)" if not failed else f"does not conform ({failed} of {all_} checks failed)"


def carried_out(name: str, checks: Iterable[Check]) -> Report:
    """Runs the checks one after the other; one that fails does not end the others."""
    verdicts = []
    for check in checks:
        try:
            check()
        except AssertionError as error:
            verdicts.append(Verdict(check, str(error)))
        else:
            verdicts.append(Verdict(check))
    return Report(name, tuple(verdicts))
