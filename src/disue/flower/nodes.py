"""The server's way to its clients over Flower's grid: who is there, and one question to each with a deadline.

A client is known by the name that its site gives it; which node that is may change with every restart of the node, so
nothing here outlives a look at the grid. Answers are taken by client, once each; what comes after the deadline is never
fetched.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from flwr.app import Message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from disue.core.errors import UserError
from disue.flower.head import LACKING, REFUSED, Head
from disue.flower.messages import QUERY, Body, pack, size, unpack
from disue.runs.spec import Network

POLL = 0.1  # seconds between looks for answers
LOOK = 5.0  # seconds between looks for nodes that came back
GREET = 30.0  # seconds until a node that said nothing, or refused, is asked again who it is

FINAL = (  # errors that asking once more will not mend
    ErrorCode.LOAD_CLIENT_APP_EXCEPTION,
    ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
    ErrorCode.MOD_FAILED_PRECONDITION,
    ErrorCode.INVALID_FAB,
)

T = TypeVar("T")


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
    _hellos: dict[str, int] = field(default_factory=dict)  # messages on their way → the node that they ask
    _greeted: dict[int, float] = field(default_factory=dict)  # node → when it was asked last
    _outside: dict[int, str] = field(default_factory=dict)  # node → why it takes no part, said once

    # -- who is there -----------------------------------------------------------------------------------

    def look(self) -> dict[str, Hello]:
        """Asks nodes without a name who they are, and waits for none. Returns those whose answer came, by name."""
        there = {int(node) for node in self.grid.get_node_ids()}
        self.where = {name: node for name, node in self.where.items() if node in there}
        now = time.monotonic()
        again = 0.0 if self.local else GREET
        named = set(self.where.values())
        asked = sorted(n for n in there - named if n not in self._greeted or now - self._greeted[n] >= again)
        body = Body("hello", {"head": self.head.plain()})
        messages = [self.message(node, body) for node in asked]
        if messages:
            self._hellos.update(zip(self.grid.push_messages(messages), asked, strict=True))
        self._greeted = {node: at for node, at in self._greeted.items() if node in there} | dict.fromkeys(asked, now)
        found: dict[str, Hello] = {}
        for reply in self.grid.pull_messages(list(self._hellos)) if self._hellos else ():
            node = self._hellos.pop(reply.metadata.reply_to_message_id, None)
            hello = None if node is None or node not in there or node in named else self._hello(node, reply)
            if hello is not None:
                found[hello.name] = hello
                self.where[hello.name] = hello.node
        return found

    def _hello(self, node: int, reply: Message) -> Hello | None:
        """What a node says of itself; None where it takes no part."""
        answer = None if reply.has_error() else self.read(reply, f"node {node}")
        if answer is None:
            return None
        name = answer.about.get("client")
        why = ""
        if REFUSED in answer.about:
            why = f"a node takes no part: {answer.about[REFUSED]}"
        elif not isinstance(name, str):
            why = f"node {node} does not say who it is"
        elif name in self.where:
            why = f"a second node says that it is {name}; the first one stays"
        if why and self._outside.get(node) != why:
            self.note(f"network: {why}")
        self._outside[node] = why
        return None if why else Hello(node, answer.about)

    def gather(self, wanted: int, seconds: float) -> dict[str, Hello]:
        """Waits until `wanted` sites have come (0: whoever comes in time); a UserError where they do not."""
        found: dict[str, Hello] = {}
        end = time.monotonic() + seconds
        while True:
            found.update(self.look())
            if (wanted and len(found) >= wanted) or self.local or time.monotonic() >= end:
                break
            time.sleep(min(1.0, LOOK))
        if len(found) < max(wanted, 1):
            names = ", ".join(sorted(found)) or "none"
            why = "".join(f"; {text.removeprefix('network: ')}" for text in self.events)
            raise UserError(
                f"network.clients is {wanted}, and after {seconds:g} seconds {len(found)} had come ({names}){why}",
                key="network.clients",
                found=len(found),
            )
        return found

    # -- one question to each ---------------------------------------------------------------------------

    def ask(
        self,
        bodies: Mapping[str, Body],
        read: Callable[[str, Body], T],
        *,
        again: Callable[[str], Body],
        enough: float | None = None,
    ) -> Iterator[tuple[str, T]]:
        """(name, what `read` makes of the answer) of those who answer by the deadline, as they come.

        A site that refuses, or whose answer cannot be read, is out of this exchange and has not answered.

        again   makes a client's message anew, with every vector, where its node lost those that it held
        enough  share that must answer (None: as the spec says): below it sites that come back are asked again, for
                as long as the spec's patience lasts
        """
        flight = Flight(self, dict(bodies))
        least = math.ceil(len(bodies) * (self.terms.answers if enough is None else enough))
        clock = Clock(self.terms, self.local)
        there, renewed = 0, set[str]()
        while flight.waiting:
            if clock.look():
                self.look()
            pushed = flight.push()
            for name, answer in flight.pull():
                if LACKING in answer.about and name not in renewed:
                    renewed.add(name)
                    flight.waiting[name] = again(name)
                    continue
                del flight.waiting[name]
                found = self._taken(name, answer, read)
                if found is not None:
                    there += 1
                    yield name, found
            if not flight.waiting or (self.local and pushed):
                continue
            late = ", ".join(sorted(flight.waiting))
            if there + len(flight.waiting) < least or (there < least and clock.lost):
                break
            if clock.over and there >= least:
                scores = all(body.kind == "score" for body in bodies.values())
                what = "report its scores in time" if scores else "answer in time: absent"
                for name in sorted(flight.waiting):
                    self.note(f"network: {name} did not {what}")
                return
            if clock.over:
                self.note(f"network: {there} of {len(bodies)} answered in time, {least} must: waiting for {late}")
            if clock.again():
                flight.forget()  # a node that was killed and came back as the same node never answers
            time.sleep(POLL)
        if there < least:
            late = ", ".join(sorted(flight.waiting))
            back = f"; {late} did not come back within {self.terms.patience:g} seconds" if late else ""
            raise UserError(
                f"network: {there} of {len(bodies)} sites answered, {least} must{back}. Nothing is lost: start the "
                "server again on this run's folder",
                key="network.answers",
            )

    def _taken(self, name: str, answer: Body, read: Callable[[str, Body], T]) -> T | None:
        """None where a site refused, or sent what is no answer."""
        for word in (REFUSED, LACKING):
            if word in answer.about:
                self.note(f"network: {name} {word}: {answer.about[word]}")
                self.lose(name)
                return None
        try:
            return read(name, answer)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self.note(f"network: the answer of {name} is damaged and left out ({type(error).__name__}: {error})")
            return None

    def message(self, node: int, body: Body) -> Message:
        content = pack(body)
        self.crossed.down += size(content)
        self.crossed.messages += 1
        return Message(content, dst_node_id=node, message_type=QUERY, group_id=str(body.about["head"]["round"]))

    def read(self, reply: Message, name: str) -> Body | None:
        """None where there is nothing to read."""
        try:
            self.crossed.up += size(reply.content)
            return unpack(reply.content)
        except (UserError, LookupError, TypeError, AssertionError) as error:
            self.note(f"network: what {name} sent cannot be read: {error}")
            return None

    def lose(self, name: str) -> None:
        """Its node is asked who it is before it is asked anything else."""
        self._greeted.pop(self.where.pop(name, -1), None)

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
        """Sends what is not on its way, to nodes that are there. What was on its way to a node that left is lost."""
        where = self.nodes.where
        self.to = {name: sent for name, sent in self.to.items() if where.get(name) == sent[0]}
        due = [name for name, body in self.waiting.items() if name in where and self.to.get(name, _NONE)[1] is not body]
        if not due:
            return False
        messages = [self.nodes.message(where[name], self.waiting[name]) for name in due]
        for name, message in zip(due, self.nodes.grid.push_messages(messages), strict=True):
            self.sent[message] = name
            self.to[name] = where[name], self.waiting[name]
        return True

    def pull(self) -> Iterator[tuple[str, Body]]:
        """(name, answer): the first that can be read to each question."""
        for reply in self.nodes.grid.pull_messages([message for message in self.sent if message not in self.done]):
            message = reply.metadata.reply_to_message_id
            name = self.sent.get(message, "")
            if message in self.done or name not in self.waiting:
                self.nodes.note(
                    f"network: {name or reply.metadata.src_node_id} answered twice: the first answer counts"
                )
                continue
            self.done.add(message)
            if not reply.has_error():
                answer = self.nodes.read(reply, name)
                if answer is None:
                    del self.waiting[name]
                else:
                    yield name, answer
                continue
            self.nodes.note(f"network: {name} failed: {reply.error.reason}")
            if reply.error.code in FINAL:
                del self.waiting[name]
            else:
                self.nodes.lose(name)

    def forget(self) -> None:
        """What is on its way is sent once more; the first answer to either counts."""
        self.to.clear()


_NONE: tuple[int, Body | None] = (-1, None)


class Clock:
    """When to look for nodes, when to ask again, when to go on without, when to stop. Nothing local is waited for."""

    def __init__(self, terms: Network, local: bool) -> None:
        self.terms, self.local, self.began = terms, local, time.monotonic()
        self._looked, self._asked = -math.inf, self.began

    @property
    def past(self) -> float:
        return math.inf if self.local else time.monotonic() - self.began

    @property
    def over(self) -> bool:
        return self.past >= self.terms.deadline

    @property
    def lost(self) -> bool:
        return self.past >= self.terms.deadline + self.terms.patience

    def again(self) -> bool:
        """Once in every half of the deadline."""
        due = time.monotonic() - self._asked >= self.terms.deadline / 2
        if due:
            self._asked = time.monotonic()
        return due

    def look(self) -> bool:
        """At once, then every so often; locally once."""
        due = time.monotonic() - self._looked >= (math.inf if self.local else LOOK) or self._looked == -math.inf
        if due:
            self._looked = time.monotonic()
        return due


def headed(head: Head, **changes: Any) -> dict[str, Any]:
    """A message's head, with what is of this message."""
    return {"head": replace(head, **changes).plain()}
