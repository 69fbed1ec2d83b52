"""Choices of a backend that were measured on this machine, so that the same work gets the same one again.

A measurement may fall out either way where two backends are near each other, and the last bits of a run
follow from it. So it is made once for a kind of work and kept in the user's cache folder; the first that
writes wins. A run's own record (env.json) goes before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from disue.core.clients import Local
from disue.engine.crew import Choice
from disue.engine.interface import Work


def key_of(work: Work, local: Local, sizes: Mapping[int, int]) -> str:
    """A hash of what a choice depends on: model, part, the cohort's sizes in coarse steps, device, versions."""
    total = sum(sizes.values())
    words = [
        work.network.layout.fingerprint,
        work.network.layout.model,
        [[type(phase).__name__, repr(phase)] for phase in local.phases],
        len(sizes),
        int(np.log2(max(total, 1))),
        [work.device, str(work.dtype), work.precision, list(work.augment)],
        [platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability(), torch.__version__],
    ]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:24]


def as_table(choice: Choice) -> dict[str, Any]:
    """A choice as it stands in env.json."""
    return {"backend": choice.backend, "block": choice.block, "why": choice.why, "costs": dict(choice.costs)}


def from_table(found: Mapping[str, Any]) -> Choice:
    """What `as_table` wrote."""
    return Choice(
        str(found["backend"]), int(found["block"]), str(found.get("why", "recorded")), dict(found.get("costs", {}))
    )


def remembered(key: str) -> Choice | None:
    """The choice that was made for this work, None where there is none or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return from_table(json.loads(_file(key).read_text()))
    return None


def remember(key: str, choice: Choice) -> Choice:
    """Keeps a choice and returns the one that counts: that of whoever was first."""
    path = _file(key)
    with contextlib.suppress(OSError):  # no cache folder to write to: this run's record still holds
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            json.dump(as_table(choice), file)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
        os.unlink(name)
    return remembered(key) or choice


def _file(key: str) -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("disue") / "choices" / f"{key}.json"
