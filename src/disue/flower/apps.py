"""The two apps that Flower runs: `app.py` of a federation's folder makes them of its spec."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from disue.core.errors import UserError
from disue.flower import BEGAN
from disue.flower.messages import QUERY, Body, pack, unpack
from disue.flower.node import Node, Random
from disue.flower.site import Site
from disue.runs.spec import Spec

_answers: list[float] = []  # of this process: a node's has one, and its imports count with it
KEPT = "disue.kept"  # the record of a node's context that holds what lives as long as the node
OUT, RESUME = "out", "resume"


def client_app(spec: Spec | str | Path, random: Callable[[int, int], Random] | None = None) -> ClientApp:
    """What a SuperNode runs for every message. `random` is for tests; see `node.Node`."""
    checked = spec if isinstance(spec, Spec) else Spec.read(spec)
    app = ClientApp()

    def answer(message: Message, context: Context) -> Message:
        return Message(pack(_answered(checked, message, context, random)), reply_to=message)

    getattr(app, QUERY)()(answer)
    return app


def _answered(spec: Spec, message: Message, context: Context, random: Callable[[int, int], Random] | None) -> Body:
    began = time.perf_counter() if _answers else BEGAN
    _answers.append(began)
    try:
        body = unpack(message.content)
        site = Site.of(dict(context.node_config))
    except UserError as error:
        return Body("refused", {"refused": str(error)})
    record = context.state.get(KEPT)
    kept = {name: bytes(value) for name, value in record.items()} if isinstance(record, ConfigRecord) else {}  # type: ignore[arg-type]
    node = Node(spec, site, kept, random)
    answer = node.answer(body)
    context.state[KEPT] = ConfigRecord(dict(kept))
    seconds = {"site": time.perf_counter() - began, "work": node.worked, "torch": node.imported}
    return replace(answer, about={**answer.about, **seconds})


def server_app(spec: Spec | str | Path) -> ServerApp:
    """What a SuperLink runs: a run in the folder `out` of Flower's configuration; one that is there is gone on with."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        from disue.flower.serve import serve

        checked = spec if isinstance(spec, Spec) else Spec.read(spec)
        out = str(context.run_config.get(OUT, "run"))
        serve(grid, checked, Path(out))

    return app
