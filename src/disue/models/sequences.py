"""Networks for sequences (channels, length) and for text (length,) of token numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from disue.models.chain import Chain
from disue.models.table import fit


class Cnn1d(Chain):
    """Two convolutions over time, each pooled by 4, and a hidden layer. For inertial signals, 9×128."""

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 16, hidden: int = 64) -> None:
        fit("cnn1d", shape, classes)
        channels, length = shape
        layers = {
            "conv1": nn.Conv1d(channels, width, 5, padding=2),
            "pool1": nn.MaxPool1d(4),
            "relu1": nn.ReLU(),
            "conv2": nn.Conv1d(width, 2 * width, 5, padding=2),
            "pool2": nn.MaxPool1d(4),
            "relu2": nn.ReLU(),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(2 * width * (length // 16), hidden),
            "relu3": nn.ReLU(),
        }
        super().__init__(layers, nn.Linear(hidden, classes))


class Gru(nn.Module):
    """Embedding, one gated recurrent layer, and the head on its last state.

        r, u = σ(W_r x + V_r h), σ(W_u x + V_u h)      c = tanh(W_c x + r · V_c h)
        h   ← (1 − u) · c + u · h

    Written out in operators that `torch.func.vmap` can map (torch's own GRU cannot be mapped); the
    weights are laid out as torch's: W stacked in `inward`, V in `recurrent`, in the order r, u, c.
    """

    positive = False

    def __init__(
        self, shape: tuple[int, ...], classes: int, embed: int = 8, hidden: int = 128, vocabulary: int = 0
    ) -> None:
        super().__init__()
        fit("gru", shape, classes)
        self.embedding = nn.Embedding(vocabulary or classes, embed)
        self.inward = nn.Linear(embed, 3 * hidden)
        self.recurrent = nn.Linear(hidden, 3 * hidden)
        self.head = nn.Linear(hidden, classes)
        bound = hidden**-0.5
        for weights in (*self.inward.parameters(), *self.recurrent.parameters()):
            nn.init.uniform_(weights, -bound, bound)

    def features(self, inputs: Tensor) -> Tensor:
        """The last state, (n, hidden), each entry in (−1, 1)."""
        steps = self.inward(self.embedding(inputs)).unbind(-2)
        state: Tensor = steps[0].new_zeros(())
        for step in steps:
            before = self.recurrent(state.expand(*step.shape[:-1], self.recurrent.in_features))
            reset, keep, fresh = step.chunk(3, -1)
            reset_before, keep_before, fresh_before = before.chunk(3, -1)
            keep = torch.sigmoid(keep + keep_before)
            candidate = torch.tanh(fresh + torch.sigmoid(reset + reset_before) * fresh_before)
            state = torch.lerp(candidate, state.expand_as(candidate), keep)
        return state

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (n, classes)."""
        out: Tensor = self.head(self.features(inputs))
        return out
