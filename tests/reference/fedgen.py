"""FedGen's server and client against their authors', with our labels and noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from bed import IDS, LOCAL, Apart, Bed, Reference, Round, flat, main, source
from torch import Tensor, nn

from disue.methods.fedgen import Consensus
from disue.models.split import both
from disue.parts.local.latents import Latents

RULES = Consensus(steps=20, batch=16, noise=8, hidden=12, lr=3e-3)
OURS = {**LOCAL, "a": 1.5, "b": 0.7, "draws": 1}


class Answered(nn.Module):
    """Our model as they ask theirs: a dictionary, of inputs or from the last layer on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, start_layer_idx: int = 0, logit: bool = False) -> dict[str, Tensor]:
        z: Tensor = self.model.get_submodule("head")(x) if start_layer_idx else both(self.model, x)[0]
        return {"logit": z, "output": z.log_softmax(1)}


class Column(nn.Module):
    """Cross-entropies (B, 1)."""

    def forward(self, said: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.nll_loss(said, labels, reduction="none")[:, None]


def latents(bed: Bed) -> Latents:
    return Latents(RULES.noise, RULES.hidden, bed.held.classes, bed.network.layout.features)


def generator(code: Any, bed: Bed, weights: np.ndarray) -> Any:
    """Theirs with the weights of ours; the bias that its normalisation takes out is zero."""
    sizes = RULES.hidden, bed.network.layout.features, 1, bed.held.classes, RULES.noise
    with mock.patch.dict(code.GENERATORCONFIGS, {"bed": sizes}):
        made = code.Generator("bed")
    at, vector = 0, torch.from_numpy(np.array(weights, np.float32))
    with torch.no_grad():
        made.fc_layers[0].bias.zero_()
        for tensor in _tensors(made):
            tensor.copy_(vector[at : at + tensor.numel()].view_as(tensor))
            at += tensor.numel()
    return made


def _tensors(made: Any) -> list[Tensor]:
    into, norm, last = made.fc_layers[0], made.fc_layers[1], made.representation_layer
    return [into.weight, norm.weight, norm.bias, last.weight, last.bias]


def server(root: Path, bed: Bed, found: Round, out: Apart, *, mended: bool) -> Any:
    """`train_generator` on the ends of the first round; the generator as they would then send it.

    It multiplies losses (B,) by weights (B, 1), which is a table (B, B): mended, the losses stand in a column too.
    """
    code, kind = source(root, "FLAlgorithms.trainmodel.generator"), source(root, "FLAlgorithms.servers.serverpFedGen")
    rng = bed.streams("consensus", 0)
    classes = bed.held.classes
    drawn = []
    for _ in range(RULES.steps):
        y = rng.choice(classes, RULES.batch, p=np.full(classes, 1 / classes))
        drawn.append((y, torch.from_numpy(rng.standard_normal((RULES.batch, RULES.noise), np.float32))))
    made = generator(code, bed, latents(bed).drawn(bed.streams("generator")))
    if mended:
        made.crossentropy_loss = Column()
    adam = torch.optim.Adam(made.parameters(), lr=RULES.lr, weight_decay=RULES.weight_decay)
    users = [
        SimpleNamespace(
            model=Answered(bed.module(found.ends[i], torch.float32)),
            label_counts=dict(enumerate(bed.held.label_counts(i).tolist())),
        )
        for i in IDS
    ]
    me = SimpleNamespace(
        generative_model=made, generative_optimizer=adam, selected_users=users, unique_labels=classes,
        ensemble_alpha=1.0, ensemble_beta=0.0, ensemble_eta=RULES.diversity, n_teacher_iters=RULES.steps,
        generative_lr_scheduler=SimpleNamespace(step=lambda: None),
        model=Answered(bed.module(found.state.average, torch.float32)),
    )  # fmt: skip
    me.get_label_weights = lambda: kind.FedGen.get_label_weights(me)
    labels, noise = iter([y for y, _ in drawn]), iter([z for _, z in drawn])
    with (
        mock.patch("numpy.random.choice", lambda among, size: next(labels)),
        mock.patch.object(torch, "rand", lambda shape: next(noise)),
    ):
        kind.FedGen.train_generator(me, RULES.batch, epoches=1, latent_layer_idx=-1)
    note = " (each loss with its own weight)" if mended else ""
    out.add(f"generator{note}", found.state.aggregate.weights, flat(_tensors(made)))
    if mended:
        _counts(source(root, "FLAlgorithms.users.userpFedGen").UserpFedGen, kind.FedGen, bed, me, out)
    return made.eval()


def _counts(user: Any, boss: Any, bed: Bed, me: Any, out: Apart) -> None:
    """Class weights by their way of counting, against n_{k,y} / Σ_k n_{k,y}."""
    true = np.array([bed.held.label_counts(i) for i in IDS], np.float64)
    for counted, client in zip(me.selected_users, IDS, strict=True):
        counted.unique_labels = bed.held.classes
        user.clean_up_counts(counted)
        for one in bed.passes(client, 0).passes:
            for _, y in one:
                user.update_label_counts(counted, *np.unique(y.numpy(), return_counts=True))
    out.add("class weights by its counts", (true / true.sum(0)).T, boss.get_label_weights(me)[0])


def client(root: Path, bed: Bed, rounds: Sequence[Round], made: Any, out: Apart) -> None:
    """`UserpFedGen.train` in the second round; each label is asked for once a step, its features are ours of the round."""
    kind = source(root, "FLAlgorithms.users.userpFedGen").UserpFedGen
    step = source(root, "FLAlgorithms.optimizers.fedoptimizer").pFedIBOptimizer
    before, found = rounds
    classes = bed.held.classes
    for i, end in found.ends.items():
        z = torch.from_numpy(bed.streams("generated", 1, i).standard_normal((classes, RULES.noise), np.float32))
        weights = torch.from_numpy(np.array(before.state.aggregate.weights))
        features = latents(bed)(weights, z, torch.arange(classes))
        with mock.patch.object(torch, "rand", lambda shape, z=z: z), torch.no_grad():
            theirs = made(torch.arange(classes))["output"]
        out.add("features by its running statistics", features.numpy(), theirs.numpy())
        batches = [batch for one in bed.passes(i, 1).passes for batch in one]
        queue = iter([dict(zip(("X", "y", "labels", "counts"), (*batch, (), ()), strict=True)) for batch in batches])
        net = Answered(bed.module(found.start))
        me: Any = kind.__new__(kind)
        me.model, me.local_model, me.optimizer = (
            net,
            list(bed.module().parameters()),
            step(net.parameters(), LOCAL["lr"]),
        )
        me.generative_model = _Fixed(features.double())
        me.local_epochs, me.K, me.gen_batch_size, me.batch_size = 1, len(batches), classes, classes
        me.unique_labels, me.available_labels, me.latent_layer_idx = classes, list(range(classes)), -1
        me.generative_alpha, me.generative_beta = OURS["a"], OURS["b"]
        me.lr_scheduler, me.label_counts = SimpleNamespace(step=lambda round: None), {}
        me.get_next_train_batch = lambda count_labels, queue=queue: next(queue)
        kind.init_loss_fn(me)
        with mock.patch("numpy.random.choice", lambda among, size: np.arange(size)):
            kind.train(me, 1)
        out.add("client ends", end, flat(net))
    plain = bed.play(bed.method("fedavg"), [IDS, IDS])[1]
    out.add("what the regularisers moved", *[np.array(list(r.ends.values())) for r in (found, plain)])


class _Fixed(nn.Module):
    """A generator that makes one feature of each label."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features
        self.crossentropy_loss = nn.NLLLoss(reduction="none")

    def forward(self, labels: Tensor, latent_layer_idx: int = -1) -> dict[str, Tensor]:
        return {"output": self.features[labels]}


def authors(root: Path) -> Apart:
    """The server of the first round, the clients of the second."""
    bed, out = Bed(), Apart()
    method = dataclasses.replace(bed.method("fedgen", OURS), aggregate=RULES)
    rounds = bed.play(method, [IDS, IDS])
    server(root, bed, rounds[0], out, mended=False)
    made = server(root, bed, rounds[0], out, mended=True)
    client(root, bed, rounds, made, out)
    return out


if __name__ == "__main__":
    file, what = "FLAlgorithms/servers/serverpFedGen.py", "train_generator, UserpFedGen.train"
    raise SystemExit(main("fedgen", Reference("zhuangdizhu/FedGen", file, what, authors)))
