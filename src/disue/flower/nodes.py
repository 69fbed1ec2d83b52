"""The server's way to its clients over Flower's grid: who is there, and one question to each with a deadline.

A client is known by the name that its site gives it; which node that is may change with every restart of the node, so
nothing here outlives a look at the grid. Answers are taken by client, once each; what comes after the deadline is never
fetched.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from disue.core.errors import UserError
from disue.flower.head import LACKING, REFUSED, Head
from disue.flower.messages import QUERY, Body, pack, size, unpack
from disue.runs.spec import Network

POLL = 0.1  # seconds between looks for answers
LOOK = 5.0  # seconds between looks for nodes that came back


@dataclass
class Crossed:
    """What went over the wire: bytes of messages' contents, and their number."""

    down: int = 0
    up: int = 0
    messages: int = 0


@dataclass(frozen=True, eq=False)
class Hello:
    """What a site said of itself."""

    node: int
    about: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.about["client"])


@dataclass
class Nodes:
    """The grid with names. `events` collects sentences for the run's log; `crossed` counts bytes.

    local  answers come at once, as all nodes are in this process: nothing is waited for
    """

    grid: Grid
    terms: Network
    head: Head
    local: bool = False
    crossed: Crossed = field(default_factory=Crossed)
    events: list[str] = field(default_factory=list)
    where: dict[str, int] = field(default_factory=dict)  # client's name → its node
    _refused: dict[int, str] = field(default_factory=dict)
    _known: set[int] = field(default_factory=set)

    # -- who is there -----------------------------------------------------------------------------------

    def look(self, wait: float = 10.0) -> dict[str, Hello]:
        """Asks every node that is new who it is. Returns those that answered, by name."""
        there = {int(node) for node in self.grid.get_node_ids()}
        gone = {name for name, node in self.where.items() if node not in there}
        for name in gone:
            del self.where[name]
        self._known &= there
        fresh = sorted(there - self._known)
        found: dict[str, Hello] = {}
        for node, answer in self._hello(fresh, wait):
            self._known.add(node)
            if answer is None or REFUSED in answer.about:
                if answer is not None:
                    self.note(f"network: a node takes no part: {answer.about[REFUSED]}")
                continue
            hello = Hello(node, answer.about)
            if hello.name in self.where and self.where[hello.name] in there and self.where[hello.name] != node:
                self.note(f"network: a second node says that it is {hello.name}; the first one stays")
                continue
            found[hello.name] = hello
            self.where[hello.name] = node
        return found

    def gather(
        self, wanted: int, seconds: float, on_wait: Callable[[int], object] = lambda there: None
    ) -> dict[str, Hello]:
        """Waits until `wanted` sites have come (0: whoever comes in time); a UserError where they do not."""
        found: dict[str, Hello] = {}
        end = time.monotonic() + seconds
        while True:
            found.update(self.look())
            if (wanted and len(found) >= wanted) or self.local:
                break
            if time.monotonic() >= end:
                break
            on_wait(len(found))
            time.sleep(min(1.0, LOOK))
        if len(found) < max(wanted, 1):
            names = ", ".join(sorted(found)) or "none"
            raise UserError(
                f"network.clients is {wanted}, and after {seconds:g} seconds {len(found)} had come ({names})",
                key="network.clients",
                found=len(found),
            )
        return found

    # -- one question to each ---------------------------------------------------------------------------

    def ask(
        self,
        bodies: Mapping[str, Body],
        *,
        again: Callable[[str], Body] | None = None,
        enough: float | None = None,
    ) -> Iterator[tuple[str, Body]]:
        """(name, answer) of those who answer by the deadline, as they come.

        again   makes a client's message anew, with every vector, where its node lost those that it held
        enough  share that must answer (None: as the spec says): below it sites that come back are asked again, for
                as long as the spec's patience lasts
        """
        flight = Flight(self, dict(bodies))
        least = math.ceil(len(bodies) * (self.terms.answers if enough is None else enough))
        clock = Clock(self.terms)
        while flight.waiting:
            moved = flight.push()
            for name, answer in flight.pull():
                moved = True
                if LACKING in answer.about and again is not None:
                    flight.waiting[name] = again(name)
                    continue
                del flight.waiting[name]
                yield name, answer
            if not flight.waiting:
                break
            there = len(bodies) - len(flight.waiting)
            if (clock.over if not self.local else not moved) and there >= least:
                break
            late = ", ".join(sorted(flight.waiting))
            if clock.over and clock.first():
                self.note(f"network: {there} of {len(bodies)} answered in time, {least} must: waiting for {late}")
            if clock.lost or (self.local and not moved):
                raise UserError(
                    f"network: {there} of {len(bodies)} sites answered, {least} must; {late} did not come back within "
                    f"{self.terms.patience:g} seconds. Nothing is lost: start the server again on this run's folder",
                    key="network.patience",
                )
            if not self.local:
                if clock.half():
                    flight.forget()  # a node that was killed and came back as the same node never answers
                if clock.look():
                    self.look()
                time.sleep(POLL)
        for name in sorted(flight.waiting):
            self.note(f"network: {name} did not answer in time: absent")

    def message(self, node: int, body: Body) -> Message:
        content = pack(body)
        self.crossed.down += size(content)
        self.crossed.messages += 1
        return Message(content, dst_node_id=node, message_type=QUERY, group_id=str(body.about["head"]["round"]))

    def read(self, reply: Message, name: str) -> Body | None:
        """None where there is nothing to read."""
        if reply.has_error():
            self.note(f"network: {name} failed: {reply.error.reason}")
            return None
        self.crossed.up += size(reply.content)
        try:
            return unpack(reply.content)
        except UserError as error:
            self.note(f"network: {name}: {error}")
            return None

    def lose(self, name: str) -> None:
        """Its node is asked who it is before it is asked anything else."""
        self._known.discard(self.where.pop(name, -1))

    def _hello(self, nodes: Sequence[int], wait: float) -> Iterator[tuple[int, Body | None]]:
        """(node, what it says) as far as they answer."""
        if not nodes:
            return
        body = Body("hello", {"head": self.head.plain()})
        pending = dict(zip(self.grid.push_messages([self.message(node, body) for node in nodes]), nodes, strict=True))
        until = time.monotonic() + wait
        while pending:
            for reply in self.grid.pull_messages(list(pending)):
                node = pending.pop(reply.metadata.reply_to_message_id, None)
                if node is not None:
                    yield node, self.read(reply, f"node {node}")
            if self.local or time.monotonic() >= until:
                return
            time.sleep(POLL)

    def note(self, text: str) -> None:
        if text not in self.events:
            self.events.append(text)

    def said(self) -> list[str]:
        """What was noted since the last time."""
        out, self.events = self.events, []
        return out


@dataclass
class Flight:
    """The messages of one question: `waiting` are those without an answer, `sent` those on their way, by message."""

    nodes: Nodes
    waiting: dict[str, Body]
    sent: dict[str, str] = field(default_factory=dict)
    to: dict[str, tuple[int, Body]] = field(default_factory=dict)  # name → the node and the message that is on its way
    done: set[str] = field(default_factory=set)  # messages that were answered

    def push(self) -> bool:
        """Sends what is not on its way, to nodes that are there."""
        where = self.nodes.where
        due = [
            name for name, body in self.waiting.items() if name in where and self.to.get(name) != (where[name], body)
        ]
        if not due:
            return False
        messages = [self.nodes.message(where[name], self.waiting[name]) for name in due]
        for name, message in zip(due, self.nodes.grid.push_messages(messages), strict=True):
            self.sent[message] = name
            self.to[name] = where[name], self.waiting[name]
        return True

    def pull(self) -> Iterator[tuple[str, Body]]:
        for reply in self.nodes.grid.pull_messages([message for message in self.sent if message not in self.done]):
            message = reply.metadata.reply_to_message_id
            name = self.sent.get(message, "")
            if message in self.done or name not in self.waiting:
                self.nodes.note(
                    f"network: {name or reply.metadata.src_node_id} answered twice: the first answer counts"
                )
                continue
            self.done.add(message)
            answer = self.nodes.read(reply, name)
            if answer is None:
                self.nodes.lose(name)
                self.to.pop(name, None)
            else:
                yield name, answer

    def forget(self) -> None:
        """What is on its way is sent once more; the first answer to either counts."""
        for name in self.waiting:
            self.to.pop(name, None)


class Clock:
    """When to look for nodes, when to ask again, when to go on without, when to stop."""

    def __init__(self, terms: Network) -> None:
        self.terms, self.began = terms, time.monotonic()
        self._looked, self._half, self._said = self.began, False, False

    @property
    def past(self) -> float:
        return time.monotonic() - self.began

    @property
    def over(self) -> bool:
        return self.past >= self.terms.deadline

    @property
    def lost(self) -> bool:
        return self.past >= self.terms.deadline + self.terms.patience

    def half(self) -> bool:
        """Once, at half of the deadline."""
        due = not self._half and self.past >= self.terms.deadline / 2
        self._half = self._half or due
        return due

    def first(self) -> bool:
        said, self._said = self._said, True
        return not said

    def look(self) -> bool:
        due = time.monotonic() - self._looked >= LOOK
        if due:
            self._looked = time.monotonic()
        return due


def headed(head: Head, **changes: Any) -> dict[str, Any]:
    """A message's head, with what is of this message."""
    return {"head": replace(head, **changes).plain()}
