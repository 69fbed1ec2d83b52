"""How a gradient becomes a step, on flat vectors. A step is proposed, and counts only once it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Stepper(Protocol):
    """`propose` gives what is taken off the weights, times the rate; `keep` makes its state the one that counts."""

    def propose(self, gradient: Tensor) -> Tensor: ...
    def keep(self) -> None: ...


class Sgd:
    """v ← momentum · v + gradient."""

    def __init__(self, momentum: float = 0.0) -> None:
        self.momentum = momentum
        self._velocity: Tensor | float = 0.0
        self._next: Tensor | float = 0.0

    def propose(self, gradient: Tensor) -> Tensor:
        found = self.momentum * self._velocity + gradient
        self._next = found
        return found

    def keep(self) -> None:
        self._velocity = self._next


class Adam:
    """Adam with correction of the bias."""

    def __init__(self, first: float = 0.9, second: float = 0.999, *, floor: float = 1e-8) -> None:
        self.betas, self.floor = (first, second), floor
        self._state: tuple[Tensor | float, Tensor | float, int] = (0.0, 0.0, 0)
        self._next: tuple[Tensor | float, Tensor | float, int] = (0.0, 0.0, 0)

    def propose(self, gradient: Tensor) -> Tensor:
        (one, two), (before, squares, count) = self.betas, self._state
        m = one * before + (1 - one) * gradient
        v = two * squares + (1 - two) * gradient**2
        self._next = (m, v, count + 1)
        return (m / (1 - one ** (count + 1))) / ((v / (1 - two ** (count + 1))).sqrt() + self.floor)

    def keep(self) -> None:
        self._state = self._next
