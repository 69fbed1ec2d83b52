"""Data of a site that can be held up: what a node is at work on when it is killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def arrays(config: Mapping[str, Any]) -> dict[str, Any]:
    """The site's arrays. While FOLDER/hold-CLIENT exists, FOLDER/held-CLIENT says that a message has come this far."""
    store = Path(str(config["store"]))
    client = str(config["client"])
    hold = store.parent / f"hold-{client}"
    while hold.exists():
        (store.parent / f"held-{client}").touch()
        time.sleep(0.1)
    with np.load(store.parent / f"site-{client}.npz") as file:
        return dict(file)
