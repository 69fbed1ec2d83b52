"""A grid whose nodes are in this process: what tests, and whoever tries a federation out, run the network's code on.

Every message goes through Flower's own records to Flower's own `ClientApp`, with one `Context` a node, as it would over
the wire; only the wire is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity  # internal to Flower: hence the pinned minor version

Fault = Callable[[int, Message], "list[Message] | None"]  # (node, message) → other replies than its own; None: its own


class LocalGrid(Grid):
    """nodes: node id → its configuration. `away` are node ids that cannot be reached; `fault` may answer for a node."""

    def __init__(self, app: ClientApp, nodes: Mapping[int, Mapping[str, Any]], fault: Fault | None = None) -> None:
        self.app, self.fault = app, fault
        self.contexts = {
            int(node): Context(
                run_id=1, node_id=int(node), node_config=dict(config), state=RecordDict(), run_config={}, series_id=1
            )
            for node, config in nodes.items()
        }
        self.away: set[int] = set()
        self._replies: dict[str, list[Message]] = {}
        self._sent = 0
        TaskIdentity.task_id = TaskIdentity.run_id = 1
        TaskIdentity.node_id = 0

    def set_run(self, run: Any) -> None:
        raise NotImplementedError("a local grid belongs to no run of Flower's")

    @property
    def run(self) -> Any:
        raise NotImplementedError("a local grid belongs to no run of Flower's")

    def create_message(self, *given: Any, **named: Any) -> Message:
        raise NotImplementedError("messages are made by their constructor")

    def get_node_ids(self) -> list[int]:
        return [node for node in self.contexts if node not in self.away]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        out = []
        for message in messages:
            self._sent += 1
            name = f"message-{self._sent}"
            message.metadata.__dict__["_message_id"] = name
            out.append(name)
            self._replies[name] = self._answers(message)
        return out

    def _answers(self, message: Message) -> list[Message]:
        node = message.metadata.dst_node_id
        if node in self.away:
            return []
        if self.fault is not None:
            found = self.fault(node, message)
            if found is not None:
                return found
        return [self.deliver(message)]

    def deliver(self, message: Message) -> Message:
        """The node's own answer, or the error that Flower makes of an exception."""
        node = message.metadata.dst_node_id
        TaskIdentity.node_id = node
        try:
            return self.app(message, self.contexts[node])
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
        finally:
            TaskIdentity.node_id = 0

    def restart(self, node: int) -> None:
        """The node's process dies and comes back: what lived in it is gone."""
        self.contexts[node].state = RecordDict()

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [reply for name in message_ids for reply in self._replies.pop(name, [])]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return self.pull_messages(self.push_messages(messages))
