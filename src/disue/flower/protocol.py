"""A site's side of the protected protocol, from message to message.

A node's process ends with every message, so what a round needs has three places. The keys and shares of the round in
hand lie in the node's own memory (Flower's context), and are gone when the node is: that round is then lost for it, and
nobody can open what was masked. What must outlast a round, so that no message is answered twice and no lot is released
anew, lies on the site's disk, and is written before an answer leaves. The answer to the orders lies there too, beside
the site's data.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import load, save

from disue.core import tree
from disue.core.errors import UserError
from disue.core.orders import Orders
from disue.flower.head import FORGOT
from disue.flower.messages import Body
from disue.flower.orders import Vectors, report_up
from disue.flower.site import Site
from disue.secure import keyring
from disue.secure.client.local import Inputs, Memory, Received
from disue.secure.client.party import Party
from disue.secure.client.state import Round
from disue.secure.wire.hashes import vector_hash
from disue.secure.wire.messages import phase_of
from disue.secure.wire.opening import Open
from disue.secure.wire.roster import Roster
from disue.secure.wire.tasks import Count, Measure, Task, Train

if TYPE_CHECKING:
    from disue.flower.visit import Visit
    from disue.runs.bring import Bring

STATE, TASK = "state", "task"  # what lies in the node's context
TRAIN, COUNT, MEASURE = "train", "count", "measure"
MESSAGE = "message:"


def identity(site: Site) -> Ed25519PrivateKey:
    """The site's own key."""
    path = site.path("key")
    if path is None:
        raise UserError("node-config: key is missing: the run is protected, and the site has no identity", key="key")
    return keyring.private_key(path)


def roster_of(site: Site) -> Roster:
    """As the site checked it: signed by the authority that it knows, or of the hash that it was told."""
    path, authority, pin = site.path("roster"), site.path("authority"), site.config.get("pin")
    if path is None or (authority is None and pin is None):
        raise UserError(
            "node-config: a protected run needs roster, and authority (the key that signed it) or pin (its hash)",
            key="roster",
        )
    key = None if authority is None else keyring.public_key(authority)[1]
    return keyring.checked(path, key, None if pin is None else keyring.hash_of(str(pin)))


class Talk:
    """One visit's part in an exchange."""

    def __init__(self, visit: Visit) -> None:
        self.visit, self.node, self.head, self.store = visit, visit.node, visit.head, visit.store

    def answer(self, body: Body) -> Body:
        name = f"{self.head.exchange} {body.about['number']} {digest_of(body)}"
        said = self.store.said(name)
        if said is not None:  # asked once more, as where the answer was lost on the way: the same bytes again
            return Body("protocol", said[1], said[0])
        fresh = body.about.get("task") is not None
        if fresh:
            dropped = self._begin(body)
            if dropped:
                return Body("protocol", {"messages": 0, "dropped": dropped})
        about = json.loads(self.node.context.get(TASK, b"{}"))
        if about.get("number") != body.about["number"]:  # the keys of this round were held by a process that died
            return Body("protocol", {"messages": 0, "lost": True})
        party = self._party(about, fresh=fresh)
        answers: list[bytes] = []
        seconds: dict[str, float] = {}
        for at in range(int(body.about["messages"])):
            message = np.asarray(body.arrays[f"{MESSAGE}{at}"], np.uint8).tobytes()
            began = time.process_time()
            found = party.receive(message)
            phase = phase_of(found[0] if found else message)
            seconds[phase] = seconds.get(phase, 0.0) + time.process_time() - began
            answers += found
        self._put(party)
        arrays = {f"{MESSAGE}{at}": np.frombuffer(message, np.uint8) for at, message in enumerate(answers)}
        out = {"messages": len(answers), "seconds": seconds, FORGOT: self.visit.forgot, **self._events(party)}
        self.store.put_said(name, arrays, out)
        return Body("protocol", out, arrays)

    def _events(self, party: Party) -> dict[str, Any]:
        """Why the round ended for this client, in its own words."""
        refusals = [str(event.refusal) for event in party.events if hasattr(event, "refusal")]
        return {"refusals": refusals} if refusals else {}

    # -- the task ---------------------------------------------------------------------------------------

    def _begin(self, body: Body) -> str:
        """Does what the exchange is about, unless it was done already. Returns why the answer is left out, or ""."""
        task = dict(body.about["task"])
        kind = task["kind"]
        if kind == TRAIN:
            _, answer, dropped, _ = self.visit.work(Body(body.kind, {"orders": task["orders"]}, body.arrays))
            if answer is None:
                return dropped or "it has no answer"
        if kind == MEASURE:
            vectors = self.visit.vectors(body)
            names = [name for name in (task["under"], task["against"]) if name is not None]
            arrays = {f"vector:{name}": vectors[name] for name in names}
            self.store.put_measured(arrays)
        self.node.context[TASK] = json.dumps({**task, "number": body.about["number"]}).encode()
        self.node.context.pop(STATE, None)
        return ""

    def _task(self, about: Mapping[str, Any]) -> tuple[Task, Bring]:
        from disue.flower.visit import answer_of
        from disue.runs.bring import Counted, Measured, Trained

        client = self.head.client
        if about["kind"] == COUNT:
            return Count(), Counted({client: self.visit.federation.label_counts(client)})
        if about["kind"] == MEASURE:
            vectors = Vectors()
            vectors.take(self.store.measured())
            against = None if about["against"] is None else vectors[about["against"]]
            task = Measure(vectors[about["under"]], against, bool(about["per_class"]))
            labels = {client: self.visit.federation.label_counts(client)}
            return task, Measured(self.visit.world, self.visit.engine, task, [client], labels)
        arrays, last = self.store.last()
        vectors = Vectors()
        vectors.take(arrays)
        told = about["orders"]
        starts = [vectors[told["starts"][row]] for row in told["which"]]
        orders = Orders(
            round=int(told["round"]),
            ids=np.array([client], np.int64),
            starts=np.stack(starts),
            which=np.arange(len(starts))[None, :],
            origin=vectors[told["common"]],
            report=report_up(told["report"]),
            own=bool(told["own"]),
        )
        return Train(orders), Trained(self.visit.layout, orders, {client: answer_of(arrays, last, client)})

    # -- the party --------------------------------------------------------------------------------------

    def _party(self, about: Mapping[str, Any], *, fresh: bool) -> Party:
        from disue.runs.bring import policy, received

        task, bring = self._task(about)
        client, layout = self.head.client, self.visit.layout
        random = os.urandom if self.node.random is None else self.node.random(int(about["number"]), client)
        stored = self.store.protocol()

        def inputs(opened: Open) -> Inputs:
            self._ready = True
            return bring.inputs(client, opened)

        def came(opened: Open) -> Received:
            return received(layout, client, task, vector_hash)

        self._ready = False
        party = Party(
            identity(self.visit.site),
            roster_of(self.visit.site),
            policy(self.node.spec.privacy),
            random,
            inputs,
            received=came,
            memory=None if stored is None else Memory.read(stored),
            remember=lambda memory: self.store.put_protocol(memory.plain()),
        )
        if not fresh and STATE in self.node.context:
            round_, self._ready = unpacked(self.node.context[STATE])
            if self._ready:
                round_ = replace(round_, inputs=bring.inputs(client, round_.opened))
            party.state = replace(party.state, round=round_)
        return party

    def _put(self, party: Party) -> None:
        """Keys of the round, while there is one, into the node's context."""
        if party.state.round is None:
            self.node.context.pop(STATE, None)
        else:
            self.node.context[STATE] = packed(party.state.round, ready=self._ready)


def digest_of(body: Body) -> str:
    """Of the protocol's messages in it."""
    words = hashlib.sha256()
    for at in range(int(body.about["messages"])):
        words.update(hashlib.sha256(np.asarray(body.arrays[f"{MESSAGE}{at}"], np.uint8).tobytes()).digest())
    return words.hexdigest()


def packed(round_: Round, *, ready: bool) -> bytes:
    """A round's state without its inputs, which follow from what is on the disk."""
    arrays, skeleton = tree.take(replace(round_, inputs=None))
    return save(arrays or {"none": np.zeros(0, np.uint8)}, {"state": json.dumps({"ready": ready, "tree": skeleton})})


def unpacked(blob: bytes) -> tuple[Round, bool]:
    """The way back."""
    length = int.from_bytes(blob[:8], "little")
    about = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["state"])
    found = tree.put(load(blob), about["tree"], tree.classes_of(None, [Round]), "the state of a round")
    return found, bool(about["ready"])
