"""A user's own modules, imported by path in the tests."""

import torch
from torch import nn


class Plain(nn.Module):
    """No `head`, no `features`; the last linear layer is called otherwise, and `features` is a layer."""

    def __init__(self, classes, units=12):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.BatchNorm1d(units), nn.ReLU())
        self.classifier = nn.Linear(units, classes)

    def forward(self, inputs):
        return self.classifier(self.features(inputs))


class Offers(nn.Module):
    positive = True

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 5), nn.Linear(5, 10)

    def features(self, inputs):
        return torch.relu(self.body(inputs.flatten(1)))

    def forward(self, inputs):
        return self.head(self.features(inputs))


class Softmax(Plain):
    def forward(self, inputs):
        return super().forward(inputs).softmax(1)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, inputs):
        return self.layer(self.layer(inputs.flatten(1)))


def headless():
    return nn.Conv2d(1, 10, 8)


def biasless():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))


def tagger():
    return nn.Linear(8, 10)  # (n, 1, 8, 10): a label per row of the image, not per image


def sequential():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10))


def number():
    return 3


not_callable = 3
