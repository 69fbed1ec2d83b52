"""Flower's simulation: python flower.py WORKLOAD ROUNDS CPUS. Message API, FedAvg, no evaluation.

A client is the naive loop; its data is made once in an actor and kept there. CPUS a client: with 1, two cores hold two
actors; 2 is Flower's default.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import mark
import plain
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

client_app, server_app = ClientApp(), ServerApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """One client's round."""
    import flower  # this file, so that an actor keeps the data between messages

    work, inputs, labels = flower.data(str(message.content["config"]["work"]))
    at = int(context.node_config["partition-id"])
    module = work.module()
    module.load_state_dict(message.content["arrays"].to_torch_state_dict())
    plain.train(module, inputs[at], labels[at], work)
    content = RecordDict(
        {"arrays": ArrayRecord(module.state_dict()), "metrics": MetricRecord({"num-examples": len(labels[at])})}
    )
    return Message(content=content, reply_to=message)


@lru_cache(maxsize=1)
def data(name: str) -> tuple[Any, Any, Any]:
    """The workload and everybody's data, once in a process."""
    work = mark.ALL[name]
    return work, *work.data()


class Marked(FedAvg):
    """Says when a round is over."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        out = super().aggregate_train(server_round, replies)
        mark.mark()
        return out


@server_app.main()
def serve(grid: Grid, context: Context) -> None:
    work, rounds, _ = mark.asked()
    Marked(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=work.clients).start(
        grid=grid,
        initial_arrays=ArrayRecord(work.module().state_dict()),
        num_rounds=rounds,
        train_config=ConfigRecord({"work": work.name}),
    )


if __name__ == "__main__":
    asked, _, (cpus,) = mark.asked()
    run_simulation(
        server_app,
        client_app,
        num_supernodes=asked.clients,
        backend_config={"client_resources": {"num_cpus": int(cpus), "num_gpus": 0.0}},
    )
