"""FedAvg by hand: one page that shows what a run does, without the engine and without a run folder.

ask → the clients train → tell, twenty times, on the handwritten digits. Only the local training and the door
through which the server sees the answers are written here; the method is the library's. It uses the streams that
the engine uses, so a run of the same spec arrives at the same accuracy.
"""

import numpy as np
import torch

from disue import data, fedavg
from disue.core.rounds import draw_cohort
from disue.core.streams import Streams
from disue.core.uploads import GroupSums
from disue.core.world import Census, World
from disue.models.build import build
from disue.models.flat import flatten
from disue.models.network import TorchNetwork

ROUNDS, EPOCHS, BATCH, LR = 20, 5, 32, 0.05


def train(world, clients, start, round, client):
    """Plain SGD from `start` on one client's data: what the engine does, without its speed."""
    x, y = (torch.from_numpy(part) for part in clients.train(client))
    flat, draw = torch.from_numpy(start.copy()), world.streams("batches", round, client)
    for order in np.argsort(draw.random((EPOCHS, len(y))), axis=1, kind="stable"):
        for rows in np.split(order, range(BATCH, len(y), BATCH)):
            logits, _ = world.network.forward(flat.requires_grad_(), x[rows])
            (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y[rows]), flat)
            flat = (flat - LR * gradient).detach()
    return flat.numpy()


class Sums:
    """The door: all that the server sees of the clients is one weighted sum per group of end − origin."""

    def __init__(self, orders, ends, clients):
        self.ids, self.origin, self.ends, self.clients = orders.ids, orders.origin, ends, clients

    def sums(self, groups, of="update"):
        shape = (groups.numbers.size, self.origin.size)
        totals, weights, counts = np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[0], np.int64)
        for client, row in zip(self.ids.tolist(), groups.rows(groups.at(self.ids)), strict=True):
            size = self.clients.size(client)
            totals[row] += size * (self.ends[client].astype(np.float64) - self.origin)
            weights[row] += size
            counts[row] += 1
        return GroupSums(groups.numbers, totals, weights, counts, totals.sum(0))


def main():
    torch.set_num_threads(1)
    streams, digits = Streams(seed=0), data.load("digits")
    clients = data.Federation(digits, data.make(digits, "dirichlet", streams=streams, clients=20, alpha=0.1), streams)
    module = build("tiny", digits.shape, digits.classes, seed=streams.torch_seed("init"))
    network = TorchNetwork(module, digits.shape, digits.kind)
    world = World(network.layout, Census(clients.ids, clients.sizes, digits.classes), network, streams, ROUNDS)
    method = fedavg()
    state = method.init(world, flatten(module)).state
    x, y = clients.pool()
    accuracy = 0.0
    for round in range(ROUNDS):
        cohort = draw_cohort(world, round, size=10)
        orders = method.ask(world, state, cohort)
        start = orders.starts[0]
        ends = {client: train(world, clients, start, round, client) for client in cohort.tolist()}
        state = method.tell(world, state, orders, Sums(orders, ends, clients)).state
        model = method.serve(world, state, clients.ids).models[0]
        accuracy = 100 * float((network.logits(model, x).argmax(1) == y).mean())
        print(f"round {round + 1:2d}   accuracy on the test set {accuracy:5.1f} %")
    return accuracy


if __name__ == "__main__":
    main()
