"""`python -m disue.testing NAME …`: the verdict on methods, by name or as package.module:constructor."""

from __future__ import annotations

import importlib
import sys

from disue.core.errors import UserError
from disue.testing.front import run

USAGE = """usage: python -m disue.testing NAME …

NAME  one of `disue list methods`; one of the methods of groups with an expert, as in ifca+expert; or the constructor
      of a method of your own, as package.module:constructor"""


def main(words: list[str]) -> int:
    if not words or words[0].startswith("-"):
        print(USAGE)
        return 2
    passed = True
    for word in words:
        try:
            module, sign, name = word.partition(":")
            report = run(getattr(importlib.import_module(module), name) if sign else word)
        except (UserError, ImportError, AttributeError) as error:
            print(f"{word}: {error}", file=sys.stderr)
            return 2
        print(report, end="\n\n")
        passed = passed and report.passed
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
