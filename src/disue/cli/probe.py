"""What a key takes, asked of the code that validates it: a wrong value is offered and the refusal is read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from disue.core.errors import UserError
from disue.runs.keys import Known, describe

NONSENSE = "no such word"
FAR = 10**9


def written(known: Known) -> str:
    """The default as a spec would write it; a dash where there is none."""
    value = known.default
    if known.required:
        return "required"
    if value is None or value in ("", ()):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(written(Known("", Any, item)) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) and abs(value) < FAR else str(value)


def allowed(known: Known, make: Callable[..., Any] | None = None) -> str:
    """What the key takes, in words: from its own range, else from what `make` says to a wrong value."""
    words = known.allowed()
    if make is None or words != describe(known.type) or '"' in words:
        return words
    kinds = words.split(" or ")
    found = []
    if "text" in kinds:
        found.append(_names(_refusal(make, known.name, NONSENSE)))
    for kind, far in (("integer", FAR), ("number", float(FAR))):
        if kind in kinds:
            low, high = (_rule(_refusal(make, known.name, value)) for value in (-far, far))
            rule = low if low == high else " ".join(part for part in (low, high) if part)
            found.insert(0, f"{kind} {rule}".rstrip())
    return " or ".join(dict.fromkeys(word for word in found if word)) or words


def _refusal(make: Callable[..., Any], name: str, value: object) -> str:
    """The sentence with which `make` refuses a value of one argument, the others at their defaults."""
    for other, parameter in inspect.signature(make).parameters.items():
        if other != name and parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            return ""
    try:
        make(**{name: value})
    except UserError as error:
        return str(error)
    except (TypeError, ValueError, OverflowError):
        return ""
    return ""


def _rule(sentence: str) -> str:
    """The range in a refusal: `x must be an integer ≥ 1, got 0` → `≥ 1`."""
    found = re.search(r" must (?:be|lie) (?:an? )?(?:whole )?(?:integer|number|finite)? ?(.+?),? got ", sentence)
    return found[1].rstrip(",") if found and re.match(r"[≥>≤<i]", found[1]) else ""


def _names(sentence: str) -> str:
    """The words in a refusal, as choices."""
    listed = re.search(r"Known: (.+?)\.(?: Did you mean.*)?$", sentence)
    if listed:
        words = [word.strip() for word in listed[1].split(",")]
    else:
        asked = re.search(r" must be (.+?), got ", sentence)
        words = re.findall(r'"([^"]+)"', asked[1]) if asked else []
    return " | ".join(f'"{word}"' for word in words) or "text"
