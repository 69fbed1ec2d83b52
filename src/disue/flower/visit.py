"""What a node answers to each kind of message. It trains and scores with the very engine of a simulation.

hello      who the site is and what it holds: name, samples, labels, shape; no data
train      orders: the client's work of one exchange
sizes      the same, of which only the lengths of the further arrays go up (the protocol must know them beforehand)
labels     label counts, in plain runs
measure    class moments of the features, in plain runs
score      models on the site's own test data
protocol   messages of the protected protocol, the first of them with the task that they are about
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from disue._version import __version__
from disue.core.checks import Array, IntVector, Vector
from disue.core.errors import UserError
from disue.core.layout import Layout
from disue.core.method import Served
from disue.core.orders import SQUARE, Orders, Sight
from disue.core.streams import Streams
from disue.core.triangles import packed
from disue.core.world import Census, World
from disue.flower import encoding
from disue.flower.head import DROPPED, FORGOT, Head
from disue.flower.messages import Body
from disue.flower.orders import EXTRA, VECTOR, Classes, Vectors, entries, made, needs_start
from disue.flower.site import environment, federation_of, labels_seen
from disue.flower.store import Store

if TYPE_CHECKING:
    from disue.data import Federation
    from disue.engine.answers import Answer
    from disue.engine.engine import Engine
    from disue.engine.measure import ClientMoments
    from disue.flower.node import Node

WITH_TORCH = ("train", "sizes", "measure", "score")
SYMMETRIC = ("second", "xx")  # of class moments: one triangle is sent
RESIDUAL = "encoding.residual"  # what the last encodings lost, beside the client's own memory


class Visit:
    """What answers one message."""

    def __init__(self, node: Node, head: Head) -> None:
        self.node, self.head, self.spec, self.site = node, head, node.spec, node.site
        self.store = Store(node.site.store / head.run)
        self.imported = 0.0  # seconds until torch was there
        self.worked = 0.0  # seconds of training, measuring and scoring
        self.forgot = False  # whether what this client's last counted answer left is gone

    def answer(self, body: Body) -> Body:
        kinds = {
            "hello": self.hello,
            "train": self.train,
            "sizes": self.sizes,
            "labels": self.labels,
            "measure": self.measure,
            "score": self.score,
            "protocol": self.protocol,
        }
        if body.kind not in kinds:
            raise UserError(f"a message asks for {body.kind!r}; known: {', '.join(kinds)}", key="message")
        if body.kind in WITH_TORCH or (body.kind == "protocol" and body.about.get("task") is not None):
            began = time.perf_counter()
            import torch  # noqa: F401  # told apart: a node's process is new for every message

            self.imported = time.perf_counter() - began
        return kinds[body.kind](body)

    # -- who the site is --------------------------------------------------------------------------------

    def hello(self, body: Body) -> Body:
        arrays = self.arrays
        x, y = arrays["x_train"], np.asarray(arrays["y_train"])
        from disue.data.sources.arrays import guess_kind

        classes = self.spec.data.classes or labels_seen(y)
        about: dict[str, Any] = {
            "client": self.site.client,
            "samples": self._size(classes),
            "classes": classes,
            "shape": [int(n) for n in x.shape[1:]],
            "kind": guess_kind(x, self.site.data, arrays.get("kind")),
            "tested": self.tested,
            "disue": __version__,
            "environment": dict(environment()),
        }
        if self.spec.privacy.on:
            from disue.flower.protocol import identity

            about["key"] = identity(self.site).public_key().public_bytes_raw().hex()
        return Body("hello", about)

    def _size(self, classes: int) -> int:
        """Samples that the client really trains on."""
        federation = federation_of(self.spec, self.site, 0, classes, self.arrays, Streams(self.spec.seed))
        return federation.size(0)

    @cached_property
    def tested(self) -> bool:
        """Whether there is test data that the site's own figures can be measured on."""
        return "x_test" in self._given or self.spec.evaluate.local == "split" or self.spec.evaluate.on == "validation"

    @cached_property
    def _given(self) -> dict[str, Array]:
        return self.site.arrays()

    @cached_property
    def arrays(self) -> dict[str, Array]:
        found = dict(self._given)
        if "x_test" not in found or "y_test" not in found:  # stands there and is never scored
            found |= {"x_test": found["x_train"][:1], "y_test": found["y_train"][:1]}
        return found

    @cached_property
    def federation(self) -> Federation:
        head = self.head
        return federation_of(self.spec, self.site, head.client, head.classes, self.arrays, Streams(self.spec.seed))

    @cached_property
    def layout(self) -> Layout:
        """Of the model: from the store where it is there, since making the model takes torch, which takes seconds."""
        known = self.store.layout()
        if known is None or not self.head.fingerprint or known.fingerprint != self.head.fingerprint:
            known = self.world.layout
            self.store.put_layout(known)
        return known

    @cached_property
    def world(self) -> World:
        return self._built[0]

    @cached_property
    def _built(self) -> tuple[World, Vector]:
        from disue.runs.setup import Shape, model_of, network_of

        spec, dataset, head = self.spec, self.federation.dataset, self.head
        method = spec.build()
        shape = Shape(dataset.shape, dataset.kind, dataset.classes)
        streams = Streams(int(spec.model.get("seed", spec.seed)))
        network, start, _ = network_of(model_of(spec, method), shape, streams)
        if head.fingerprint and network.layout.fingerprint != head.fingerprint:
            raise UserError(
                f"site {self.site.client} makes another model of its data (layout {network.layout.fingerprint[:12]}, "
                f"the server's is {head.fingerprint[:12]}): its samples have shape {dataset.shape}",
                key="model",
            )
        ids = np.array([head.client], np.int64)
        census = Census(ids, self.federation.sizes_of(ids), dataset.classes)
        return World(network.layout, census, network, Streams(spec.seed), spec.rounds), start

    @cached_property
    def engine(self) -> Engine:
        from disue.engine.engine import Engine

        engine = self.spec.engine
        return Engine(
            self.federation,
            backend="lean" if engine.backend == "auto" else engine.backend,
            device=engine.device,
            augment=self.spec.data.augment,
            workers=1,
            precision=engine.precision,
        )

    # -- training ---------------------------------------------------------------------------------------

    def orders(self, about: Mapping[str, Any], arrays: Mapping[str, Array], vectors: Vectors) -> Orders:
        method = self.spec.build()
        return made(
            about,
            arrays,
            self.head.client,
            self.world.layout,
            vectors,
            Classes(method),
            self._built[1],
        )

    def work(self, body: Body) -> tuple[Orders, Answer | None, str, float]:
        """(orders, the client's answer, why it is dropped, seconds), and keeps what later messages will ask for.

        Asked again in the same exchange, as where an answer was lost on the way, the client does not train again.
        """
        from disue.engine.engine import TRIALS
        from disue.runs.threads import one_thread

        began = time.perf_counter()
        head, vectors = self.head, Vectors()
        orders = self.orders(body.about["orders"], body.arrays, vectors)
        known, last = self.store.last()
        if last.get("exchange") == head.exchange and "end" in known:
            return orders, answer_of(known, last, head.client), "", 0.0
        self.forgot = head.heard >= 0 and not self.store.holds(head.heard)
        held = self.store.memory(head.heard)
        residual = held.pop(RESIDUAL, None)
        self.engine.memory.put(head.client, held)
        with one_thread():
            uploads = self.engine.answer(self.world, orders)
        self.worked += uploads.client_seconds
        answer = uploads.answers[0] if uploads.answers else None
        # where nothing of it is kept, a client's own memory stays as it is
        if answer is not None and orders.local is not None and orders.stream not in TRIALS:
            memory = dict(self.engine.memory.get(head.client))
            if residual is not None:
                memory[RESIDUAL] = residual
            self.store.keep(orders.round, memory, head.heard, head.safe)
        self._remember(answer, vectors)
        return orders, answer, uploads.dropped.get(head.client, ""), time.perf_counter() - began

    def _remember(self, answer: Answer | None, vectors: Vectors) -> None:
        arrays: dict[str, Array] = {VECTOR + name: value for name, value in vectors.held.items()}
        about: dict[str, Any] = {"exchange": self.head.exchange, "client": self.head.client}
        if answer is not None:
            arrays |= {
                "received": answer.received,
                "start": answer.start,
                "end": answer.end,
                "choice": answer.choice,
                "labels": answer.labels,
                **{EXTRA + name: value for name, value in answer.extras.items()},
            }
            about |= {"size": answer.size, "steps": answer.steps, "loss": float(answer.loss).hex()}
        self.store.put_last(arrays, about)

    def train(self, body: Body) -> Body:
        if self.spec.privacy.on:
            raise UserError("the run is protected, and a message asks for an update in the clear", key="privacy")
        orders, answer, dropped, seconds = self.work(body)
        if answer is None:
            return Body("train", {DROPPED: dropped, "seconds": seconds})
        report = orders.report
        about: dict[str, Any] = {"steps": answer.steps, "loss": float(answer.loss).hex(), "seconds": answer.seconds}
        arrays = {EXTRA + name: value for name, value in answer.extras.items()}
        which = entries(orders, self.world.layout)
        if which.size:
            arrays |= self._encoded(answer, which, orders.round)
        if report.choice != "none" and not orders.told():
            arrays["choice"] = answer.choice
        if needs_start(orders):
            arrays["start"] = answer.start[which]
        if Sight.LABELS in report.sight and not self.lots:
            arrays["labels"] = answer.labels
        return Body("train", {**about, FORGOT: self.forgot}, arrays)

    @property
    def lots(self) -> bool:
        """Whether label counts and moments are released over standing lots, and never with an answer."""
        from disue.runs.lots import static_size

        return static_size(self.spec.build()) > 0

    def _encoded(self, answer: Answer, which: IntVector, round: int) -> dict[str, Array]:
        name = self.spec.network.encoding
        if name == "float32":
            return {"end": answer.end[which]}
        memory = self.store.memory(round)
        layout = self.world.layout
        lost = np.asarray(self.store.memory(self.head.heard).get(RESIDUAL, np.zeros(layout.d, np.float32)))
        update = (answer.end - answer.received)[which] + lost[which]
        arrays = encoding.encode(name, update, which, layout)
        left = np.array(lost)
        left[which] = update - encoding.decode(name, arrays, which, layout)
        self.store.keep(round, {**memory, RESIDUAL: left}, self.head.heard, self.head.safe)
        return arrays

    def sizes(self, body: Body) -> Body:
        orders, answer, dropped, seconds = self.work(body)
        if answer is None:
            return Body("sizes", {DROPPED: dropped, "seconds": seconds})
        names = [name for name in orders.report.extras if name != SQUARE]
        return Body("sizes", {"sizes": {name: int(np.size(answer.extras[name])) for name in names}, "seconds": seconds})

    # -- questions about the data -----------------------------------------------------------------------

    def labels(self, body: Body) -> Body:
        self._plain("label counts")
        return Body("labels", {}, {"labels": self.federation.label_counts(self.head.client)})

    def measure(self, body: Body) -> Body:
        self._plain("class moments")
        from disue.runs.threads import one_thread

        began = time.perf_counter()
        with one_thread():
            found = self.moments(body.about, self.vectors(body), np.asarray(body.arrays["without"], np.int64))
        arrays = {name: value for name, value in found._asdict().items() if value is not None}
        arrays |= {name: packed(arrays[name]) for name in SYMMETRIC if name in arrays}
        seconds = time.perf_counter() - began
        return Body("measure", {"seconds": seconds, "work": seconds}, arrays)

    def moments(self, about: Mapping[str, Any], vectors: Vectors, without: IntVector) -> ClientMoments:
        from disue.engine.chores import Measuring

        client = self.head.client
        against = None if about["against"] is None else vectors[about["against"]]
        asked = Measuring(
            self.world.network,
            self.world.layout.classes,
            {client: vectors[about["under"]]},
            against,
            bool(about["per_class"]),
            {client: without},
        )
        _, found, seconds = next(iter(self.engine.measure(asked)))
        self.worked += seconds
        return found

    def vectors(self, body: Body) -> Vectors:
        """Those of the exchange in hand, and those that came."""
        arrays, about = self.store.last()
        vectors = Vectors()
        if about.get("exchange") == self.head.exchange:
            vectors.take(arrays)
        vectors.take(body.arrays)
        return vectors

    def _plain(self, what: str) -> None:
        if self.spec.privacy.on:
            raise UserError(f"the run is protected, and a message asks for {what} in the clear", key="privacy")

    # -- scores -----------------------------------------------------------------------------------------

    def score(self, body: Body) -> Body:
        """Accuracies of what the client is served; its own model's too, where its local part makes one."""
        from disue.evaluation import evaluate
        from disue.runs.threads import one_thread

        about, head = body.about, self.head
        if not self.tested:
            return Body("score", {"columns": {}})
        vectors = self.vectors(body)
        ids = np.array([head.client], np.int64)
        models = [vectors[name] for name in about["models"]]
        served = Served(
            np.stack(models) if models else np.zeros((0, self.world.layout.d), np.float32),
            np.array([about["receives"]], np.int64),
            None if about["group"] is None else np.array([about["group"]], np.int64),
            about["expert"],
            about["average"],
            float.fromhex(about["scale"]),
            bool(about["whole"]),
        )
        began = time.perf_counter()
        with one_thread():
            found = evaluate(
                self.world.network,
                served,
                ids,
                self.federation,
                self._own(about),
                self._personal(body, vectors),
                on=self.spec.evaluate.on,  # type: ignore[arg-type]
                streams=self.world.streams,
            )
        self.worked += time.perf_counter() - began
        columns = {name: float(value[0]) for name, value in found.clients.items() if not np.isnan(value[0])}
        self.store.score({"round": head.round, **columns})
        if self.spec.privacy.on or not self.spec.network.scores:
            return Body("score", {"columns": {}})
        return Body("score", {"columns": {name: value.hex() for name, value in columns.items()}})

    def _own(self, about: Mapping[str, Any]) -> dict[int, Vector]:
        """The end of the client's last training, where it took part in this round."""
        arrays, last = self.store.last()
        fresh = about["cohort"] is not None and last.get("exchange") == about["cohort"]
        return {self.head.client: arrays["end"]} if fresh and "end" in arrays else {}

    def _personal(self, body: Body, vectors: Vectors) -> dict[int, Vector]:
        if body.about["personal"] is None:
            return {}
        from disue.runs.personal import trial

        orders = trial(self.orders(body.about["personal"], body.arrays, vectors))
        held = self.store.memory(self.head.heard)
        held.pop(RESIDUAL, None)
        self.engine.memory.put(self.head.client, held)
        return dict(self.engine.answer(self.world, orders).ends)

    # -- the protocol -----------------------------------------------------------------------------------

    def protocol(self, body: Body) -> Body:
        from disue.flower.protocol import Talk

        if not self.spec.privacy.on:
            raise UserError("the run is not protected, and a message is of the protocol", key="privacy")
        return Talk(self).answer(body)


def answer_of(arrays: Mapping[str, Array], last: Mapping[str, Any], client: int) -> Answer:
    """The answer that the site keeps of the exchange in hand."""
    from disue.engine.answers import Answer

    return Answer(
        client,
        arrays["received"],
        arrays["start"],
        arrays["end"],
        np.asarray(arrays["choice"], np.float64),
        int(last["size"]),
        np.asarray(arrays["labels"], np.int64),
        {name.removeprefix(EXTRA): value for name, value in arrays.items() if name.startswith(EXTRA)},
        int(last["steps"]),
        float.fromhex(last["loss"]),
        0.0,
    )
