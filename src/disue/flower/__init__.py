"""A run over a real network, by Flower: the same method, the same bits, with sites that keep their data.

client_app, server_app   what Flower runs (`apps`)
LocalGrid, serve         the same in one process
"""

from __future__ import annotations

import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from disue.core.errors import UserError

if TYPE_CHECKING:
    from disue.flower.apps import client_app, server_app
    from disue.flower.local import LocalGrid
    from disue.flower.serve import serve

BEGAN = time.perf_counter()  # of this process in this room: what a node spends before it answers
LEAST, BELOW = (1, 41), (1, 42)  # of Flower: what this library was tested with
WHERE = {"client_app": "apps", "server_app": "apps", "LocalGrid": "local", "serve": "serve"}


def check() -> str:
    """Flower's version; a UserError where it is missing, or one that this was not tested with.

    A resolver does not fail on a conflict, it goes back in time: what is installed may be years old.
    """
    try:
        found = metadata.version("flwr")
    except metadata.PackageNotFoundError:
        raise UserError(
            'a real network needs Flower, which is not installed: pip install "disue[flower]"', key="flwr"
        ) from None
    numbers = tuple(int(word) for word in found.split(".")[:2])
    if not LEAST <= numbers < BELOW:
        least, below = (".".join(map(str, v)) for v in (LEAST, BELOW))
        raise UserError(f"Flower {found} is installed, and disue takes {least} up to below {below}", key="flwr")
    return found


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    check()
    import importlib

    return getattr(importlib.import_module(f"disue.flower.{WHERE[name]}"), name)


__all__ = ["LocalGrid", "check", "client_app", "serve", "server_app"]
