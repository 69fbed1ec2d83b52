"""Two ways to run many clients' networks in one pass: grouped layers, or `vmap` over the flat vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from disue.core.layout import Entry, Layout
from disue.core.world import Network
from disue.engine.stacked.layers import Held, by_client, stacked_module
from disue.models.flat import bind
from disue.models.innermost import innermost
from disue.models.split import both

TOLERANCE = 1e-4  # of the largest logit, where a form is held against the network itself


class Form(Protocol):
    """`leaves` are the tensors that a gradient is taken for, clients first; `both` runs a pass with them."""

    def leaves(self, vectors: Tensor) -> list[Tensor]:
        """(clients, d) as fresh tensors that share no memory with it."""
        ...

    def flat(self, leaves: Sequence[Tensor]) -> Tensor:
        """(clients, d) in the order of the layout, a copy."""
        ...

    def spread(self, flat: Tensor) -> list[Tensor]:
        """(clients, d) as tensors shaped and laid out like the leaves."""
        ...

    def trained(self, names: frozenset[str]) -> list[int]:
        """Which leaves a phase moves that trains these tensors."""
        ...

    def both(self, leaves: Sequence[Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(clients, batch, classes) and (clients, batch, features); inputs from `batch`."""
        ...

    def head(self, leaves: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(clients, classes, features) and (clients, classes) of the head inside the leaves."""
        ...

    def batch(self, rows: Tensor, clients: int) -> Tensor:
        """Samples (batch · clients, …), sample by sample over the clients, as `both` takes them."""
        ...


class Grouped:
    """Convolutions of images lie with the channels innermost, where pooling and ReLU vectorise."""

    def __init__(self, network: Network, module: nn.Module, layout: Layout, last: bool, held: Held) -> None:
        self.layout, self.module, self.last, self.held = layout, module, last, held
        self.kind, self.ndim = network.input_kind, len(network.input_shape)

    def leaves(self, vectors: Tensor) -> list[Tensor]:
        return [piece.clone(memory_format=torch.contiguous_format) for piece in self.spread(vectors)]

    def spread(self, flat: Tensor) -> list[Tensor]:
        out = []
        for entry in self.layout.entries:
            piece = flat[:, self.layout.slices[entry.name]].view(flat.shape[0], *entry.shape)
            out.append(piece.permute(0, 1, 3, 4, 2) if self._turned(entry) else piece)
        return out

    def flat(self, leaves: Sequence[Tensor]) -> Tensor:
        clients = leaves[0].shape[0]
        return torch.cat([self._public(*pair).reshape(clients, -1) for pair in self._pairs(leaves)], dim=1)

    def trained(self, names: frozenset[str]) -> list[int]:
        return [at for at, entry in enumerate(self.layout.entries) if entry.name in names]

    def both(self, leaves: Sequence[Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
        clients = leaves[0].shape[0]
        self.held.clients = clients
        self.held.weights = {entry.name: self._public(entry, leaf) for entry, leaf in self._pairs(leaves)}
        logits, features = both(self.module, inputs)
        return by_client(logits, clients), by_client(features, clients)

    def head(self, leaves: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        named = {entry.name: leaf for entry, leaf in self._pairs(leaves)}
        return named[self.layout.head_weight], named[self.layout.head_bias]

    def batch(self, rows: Tensor, clients: int) -> Tensor:
        shape = rows.shape[1:]
        each = rows.view(-1, clients, *shape)
        if self.kind == "vector":
            return each.transpose(0, 1)
        if self.ndim == 3:  # (batch, clients, c, y, x)
            inward = each.permute(0, 3, 4, 1, 2).reshape(each.shape[0], shape[1], shape[2], clients * shape[0])
            return innermost(inward.permute(0, 3, 1, 2))
        return each.reshape(each.shape[0], clients * shape[0], *shape[1:])

    def _turned(self, entry: Entry) -> bool:
        return self.last and len(entry.shape) == 4

    def _public(self, entry: Entry, leaf: Tensor) -> Tensor:
        return leaf.permute(0, 1, 4, 2, 3) if self._turned(entry) else leaf

    def _pairs(self, leaves: Sequence[Tensor]) -> list[tuple[Entry, Tensor]]:
        return list(zip(self.layout.entries, leaves, strict=True))


class Vmapped:
    """One leaf: the vectors themselves. Entries that a phase does not train get no gradient by a mask."""

    def __init__(self, network: Network) -> None:
        self.bound = bind(network.module(torch.zeros(network.layout.d).numpy()))
        self.layout, self.kind = network.layout, network.input_kind

    def leaves(self, vectors: Tensor) -> list[Tensor]:
        return [vectors.clone()]

    def spread(self, flat: Tensor) -> list[Tensor]:
        return [flat]

    def flat(self, leaves: Sequence[Tensor]) -> Tensor:
        return leaves[0].clone()

    def trained(self, names: frozenset[str]) -> list[int]:
        return [0]

    def both(self, leaves: Sequence[Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
        run = torch.func.vmap(lambda vector, given: self.bound.call(vector, given, train=True))
        logits, features = run(leaves[0], inputs)
        return logits, features

    def head(self, leaves: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        at, (vectors,) = self.layout, leaves
        names = at.head_weight, at.head_bias
        weight, bias = (vectors[:, at.slices[name]].reshape(len(vectors), *at.shapes[name]) for name in names)
        return weight, bias

    def batch(self, rows: Tensor, clients: int) -> Tensor:
        return rows.view(-1, clients, *rows.shape[1:]).transpose(0, 1)


def form_of(network: Network, device: str = "cpu") -> Form | str:
    """The fastest form that gives what the network itself gives, or one sentence why there is none."""
    module = network.module(torch.zeros(network.layout.d).numpy()).to(device)
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            return f"its layer {name} (BatchNorm) mixes the samples of a batch, and stacked batches are padded"
    if _random(network, module, device):
        return "it draws random numbers in training (dropout), and clients trained together would share them"
    held = Held()
    made = stacked_module(module, network.input_kind == "vector", held)
    why = made if isinstance(made, str) else ""
    if not isinstance(made, str):
        last = network.input_kind == "image" and device == "cpu"
        grouped = Grouped(network, made, network.layout, last, held)
        why = _differs(network, grouped, device)
        if not why:
            return grouped
    vmapped = Vmapped(network)
    vmapped.bound.module.to(device)
    again = _differs(network, vmapped, device)
    return f"{why}; under vmap: {again}" if again else vmapped


def _samples(network: Network, count: int, device: str) -> Tensor:
    made = torch.Generator().manual_seed(0)
    if network.input_kind == "text":
        return torch.randint(0, 2, (count, *network.input_shape), generator=made).to(device)
    return torch.randn((count, *network.input_shape), generator=made).to(device)


def _random(network: Network, module: nn.Module, device: str) -> bool:
    inputs = _samples(network, 4, device)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for weight in module.parameters():
            weight.fill_(0.1)
        module.train()
        first, second = both(module, inputs)[1], both(module, inputs)[1]
    return not torch.equal(first, second)


def _differs(network: Network, form: Form, device: str) -> str:
    """Why the form is not the network; "" where it is, on two clients with three random samples each."""
    made = torch.Generator().manual_seed(2)
    vectors = (0.1 * torch.randn((2, network.layout.d), generator=made)).to(device)
    inputs = _samples(network, 6, device)
    try:
        with torch.no_grad():
            found = form.both(form.leaves(vectors), form.batch(inputs, 2))
            for client in range(2):
                wanted = network.forward(vectors[client], inputs[client::2], train=True)
                for seen, right in zip(found, wanted, strict=True):
                    size = max(1e-6, float(right.abs().max()))
                    if (
                        seen[client].shape != right.shape
                        or float((seen[client] - right).abs().max()) > TOLERANCE * size
                    ):
                        return "its stacked form gives other numbers"
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        return f"it cannot be stacked ({str(error).splitlines()[0][:120]})"
    return ""
