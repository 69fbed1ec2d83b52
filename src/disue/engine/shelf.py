"""The clients' data as tensors, kept while there is room: the last used stay."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from disue.core.checks import Array, IntVector, frozen
from disue.core.clients import Clients


@dataclass(frozen=True, eq=False)
class Data:
    """One client's samples, as tensors on the device and as arrays that must not be written to."""

    inputs: Tensor
    labels: Tensor
    x: Array
    y: IntVector

    @property
    def bytes(self) -> int:
        return 2 * self.inputs.element_size() * self.inputs.numel()


class Shelf:
    """`limit`: bytes of data kept."""

    def __init__(self, clients: Clients, dtype: torch.dtype, device: str, limit: int) -> None:
        self._clients, self._dtype, self._device, self._limit = clients, dtype, device, limit
        self._kept: OrderedDict[int, Data] = OrderedDict()
        self._bytes = 0

    def get(self, client: int) -> Data:
        if client in self._kept:
            self._kept.move_to_end(client)
            return self._kept[client]
        x, y = self._clients.train(client)
        x = np.array(x, order="C")
        inputs = torch.from_numpy(x)
        inputs = inputs.to(self._device, self._dtype if inputs.is_floating_point() else None)
        labels = torch.from_numpy(np.array(y, np.int64)).to(self._device)
        data = Data(inputs, labels, frozen(x), frozen(np.asarray(y)))
        self._kept[client] = data
        self._bytes += data.bytes
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].bytes
        return data
