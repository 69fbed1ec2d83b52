"""The one exception for mistakes that a user can make and mend.

The command line turns it into one sentence and exit code 2. Everything else that is raised is a fault
of this library and keeps its stack trace.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """One sentence: what was given, what is allowed, where. `key` is the spec key or argument at fault."""

    def __init__(self, message: str, *, key: str | None = None, found: object = None) -> None:
        super().__init__(message)
        self.key = key
        self.found = found


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name closest to `word`, or None where nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def unknown(what: str, word: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a table: lists the table, suggests the nearest entry."""
    names = sorted(known)
    guess = nearest(word, names)
    hint = f' Did you mean "{guess}"?' if guess else ""
    return UserError(f'{what}: unknown name "{word}". Known: {", ".join(names)}.{hint}', key=what, found=word)


def unwritable(path: Path, error: OSError) -> UserError:
    """The sentence for a file that could not be written."""
    why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
    return UserError(
        f"{path}: cannot be written: {why}; what was there before is untouched", key="out", found=error.errno
    )
