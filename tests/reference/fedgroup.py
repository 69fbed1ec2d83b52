"""FedGroup against FlexCFL's cold start (its networks need TensorFlow, this does not)."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from bed import Apart, Bed, Reference, main, shaped, source

from disue.engine import Engine
from disue.parts.grouping import ColdStart
from disue.parts.grouping.cold_start import decomposed, madc

IDS = (17, 902, 4001, 4002, 5000, 6003, 7001, 8005, 9000)
K = 3


def bed() -> Bed:
    """Three groups of clients whose labels are turned by one class each."""
    made = Bed(dict.fromkeys(IDS, 40))
    teacher = np.random.default_rng(5).standard_normal((4, 5))
    for at, (client, (x, _)) in enumerate(list(made.held.data.items())):
        made.held.data[client] = x, (((x @ teacher.T).argmax(1) + at % K) % 4).astype(np.int64)
    return made


class Pretrained:
    """A client whose pre-training has the end that ours had."""

    def __init__(self, end: list[np.ndarray], update: list[np.ndarray]) -> None:
        self.end, self.update = end, update

    def pretrain(self, start: Any, iterations: int) -> tuple[Any, ...]:
        return 0, 0.0, 0.0, self.end, self.update


def flexcfl(root: Path) -> Apart:
    """`clustering_clients` on the updates of our survey, by both of its measures."""
    made, out = bed(), Apart()
    code = source(root, "flearn.trainer.fedgroup")
    kind, plain, kmeans = code.FedGroup, code.AgglomerativeClustering, code.KMeans
    for measure in ("EDC", "MADC"):
        method = made.method("fedgroup", {"epochs": 1, "batch": 8, "lr": 0.3}, k=K)
        method = dataclasses.replace(method, grouping=ColdStart(K, measure=measure.lower()))
        with Engine(made.held, double=True) as engine:
            told = method.init(made.world, made.start)
            assert told.then is not None
            uploads = engine.answer(made.world, told.then)
        state = method.tell(made.world, told.state, told.then, uploads).state
        net, start = made.module(), made.start.astype(np.float64)
        clients = [Pretrained(shaped(end, net), shaped(end - start, net)) for end in uploads.ends.values()]
        seen: list[np.ndarray] = []

        def watched(maker: Any, *given: Any, seen: list[np.ndarray] = seen, **more: Any) -> Any:
            if "affinity" in more:
                more["metric"] = more.pop("affinity")  # its new name
            model = maker(*given, **more)
            return SimpleNamespace(fit=lambda values: (seen.append(np.asarray(values)), model.fit(values))[1])

        code.AgglomerativeClustering = lambda *given, **more: watched(plain, *given, **more)
        code.KMeans = lambda *given, **more: watched(kmeans, *given, **more)
        me = SimpleNamespace(num_group=K, init_params=None, seed=1, measure=measure)
        me._calculate_data_driven_measure = functools.partial(kind._calculate_data_driven_measure, me)
        me.simply_averaging_aggregate = lambda values: values[0]
        found = kind.clustering_clients(me, clients)
        theirs = {frozenset(IDS[clients.index(c)] for c in group[2]) for group in found.values()}
        groups = state.groups
        mine = {frozenset(groups.members(n).tolist()) for n in groups.present().tolist()}
        gram = uploads.gram(method.grouping.parts[0])
        if measure == "EDC":  # signs of singular vectors are arbitrary
            ours = decomposed(gram.values, K)
            out.add("EDC features", np.abs(ours), np.abs(seen[0]))
        else:
            out.add("MADC distances", madc(gram.cosine().values), seen[0])
        out[f"groups that differ by {measure}"] = len(mine ^ theirs)
        out[f"groups by {measure}"] = len(mine)
    return out


if __name__ == "__main__":
    file, what = "flearn/trainer/fedgroup.py", "FedGroup.clustering_clients"
    raise SystemExit(main("fedgroup", Reference("morningD/FlexCFL", file, what, flexcfl)))
