"""A site as its operator describes it: whose data, where it lies, what the site agrees to.

Keys of a node's configuration (`flower-supernode --node-config "client=\\"ward-3\\" data=\\"/srv/ward-3.npz\\""`):

    client     the stable name of the client: an integer, or up to 16 bytes of text, the same in every run
    data       an .npz with x_train, y_train and, if there are, x_test, y_test; or "package.module:function", which is
               called with the configuration and gives these four arrays by name
    store      folder for what outlasts a message; default: the user's state folder
    spec       a spec file: the site takes part in runs of that spec alone
    key, roster, authority, pin   of the protected protocol: own key, the roster, the key that signed it or its hash
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from disue import data
from disue.core.checks import Array, IntVector
from disue.core.errors import UserError, unknown
from disue.data.dataset import classes_of
from disue.data.sources.arrays import arrays_of, guess_kind
from disue.runs.spec import Spec

KEYS = ("client", "data", "store", "spec", "key", "roster", "authority", "pin")
NAME = 16  # bytes


@dataclass(frozen=True)
class Site:
    """What a node's configuration says, checked."""

    client: str
    data: str
    store: Path
    config: Mapping[str, Any]

    @staticmethod
    def of(config: Mapping[str, Any]) -> Site:
        for name in config:
            if name not in KEYS and name not in ("partition-id", "num-partitions"):
                raise unknown("node-config", name, KEYS)
        client = str(config.get("client", config.get("partition-id", "")))
        check_name(client)
        where = str(config.get("data", ""))
        if not where:
            raise UserError(
                'node-config: data is missing: an .npz, or a function as "package.module:function"', key="data"
            )
        return Site(client, where, Path(str(config.get("store", default_store(client)))), dict(config))

    def path(self, name: str) -> Path | None:
        """A file that the configuration names."""
        found = self.config.get(name)
        return None if found in (None, "") else Path(str(found))

    def arrays(self) -> dict[str, Array]:
        """x_train, y_train and the test's where there is one."""
        if self.data.endswith(".npz") or ":" not in self.data:
            found = arrays_of(Path(self.data))
        else:
            found = self._called()
        missing = [name for name in ("x_train", "y_train") if name not in found]
        if missing:
            raise UserError(f"{self.data} lacks {', '.join(missing)}; it gives {', '.join(sorted(found))}", key="data")
        found.setdefault("x_test", found["x_train"][:0])
        found.setdefault("y_test", found["y_train"][:0])
        return found

    def _called(self) -> dict[str, Array]:
        module, _, name = self.data.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UserError(f'node-config: data = "{self.data}" cannot be imported: {error}', key="data") from error
        try:
            found = function(dict(self.config))
        except Exception as error:
            raise UserError(f"{self.data} failed: {type(error).__name__}: {error}", key="data") from error
        if not isinstance(found, Mapping):
            raise UserError(
                f"{self.data} gave {type(found).__name__}; expected arrays by name: x_train, y_train, x_test, y_test",
                key="data",
            )
        return {str(name): np.asarray(value) for name, value in found.items()}


def check_name(client: str) -> None:
    """A client's name is a positive integer or short text; both are stable, unlike a node's id."""
    if not client or len(client.encode()) > NAME or not client.isprintable() or " " in client:
        raise UserError(
            f"node-config: client is the site's stable name, 1 to {NAME} bytes without spaces, got {client!r}",
            key="client",
            found=client,
        )


def default_store(client: str) -> Path:
    import platformdirs

    return Path(platformdirs.user_state_dir("disue")) / "sites" / client


def federation_of(
    spec: Spec, site: Site, client: int, classes: int, arrays: Mapping[str, Array], streams: Any
) -> data.Federation:
    """The site as a federation of one, so that it trains and is scored by the very code of a simulation."""
    dataset = data.Dataset(
        name=site.client,
        x_train=arrays["x_train"],
        y_train=arrays["y_train"],
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
        classes=classes,
        kind=guess_kind(arrays["x_train"], Path(site.data).stem, arrays.get("kind")),
        client_train=np.full(len(arrays["y_train"]), client, np.int64),
        client_test=np.full(len(arrays["y_test"]), client, np.int64),
        mean=constants(spec.data.mean),
        std=constants(spec.data.std),
    )
    partition = data.make(dataset, "natural", streams=streams)
    return data.Federation(
        dataset,
        partition,
        streams,
        validation=spec.evaluate.on == "validation",
        local_test=spec.evaluate.local,  # type: ignore[arg-type]
    )


def constants(values: tuple[float, ...]) -> Array | None:
    """Of normalisation, where the spec gives them: all sites must take the same."""
    return np.array(values, np.float64) if values else None


def labels_seen(y: IntVector) -> int:
    """One more than the largest label that the site has."""
    return classes_of(y)


def environment() -> Mapping[str, str]:
    """What a node tells of its surroundings, for nodes.json."""
    import platform

    return {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
