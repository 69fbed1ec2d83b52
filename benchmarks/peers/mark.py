"""What every peer's program says: the end of a round, on a clock that all processes of the machine share."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from work import ALL, Work

WORD = "@round"


def mark() -> None:
    """Wall seconds, and the CPU seconds of this process so far."""
    print(WORD, time.monotonic(), time.process_time(), flush=True)


def asked() -> tuple[Work, int, list[str]]:
    """The workload, the number of rounds, and what else stands on the command line."""
    name, rounds, *rest = sys.argv[1:]
    return ALL[name], int(rounds), rest
