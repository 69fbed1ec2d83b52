"""Logits and features of any module that ends in a linear layer: our own, or a user's."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from disue.core.errors import UserError


class Head(NamedTuple):
    """The last linear layer of a module, its name in it, and whether its input is ≥ 0."""

    name: str
    layer: nn.Linear
    positive: bool


class Caught:
    """Features of a module that does not offer them: what its last linear layer is given in a pass.

    Copied and stored together with its module.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name

    def both(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, features) of one pass of the module."""
        seen: list[Tensor] = []

        def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen.append(given[0])

        handle = self.module.get_submodule(self.name).register_forward_pre_hook(note)
        try:
            logits: Tensor = self.module(inputs)
        finally:
            handle.remove()
        if len(seen) != 1:
            raise UserError(
                f'model: its last linear layer "{self.name}" ran {len(seen)} times in a pass; it must run once',
                key="model",
            )
        return logits, seen[0]


def split(module: nn.Module, classes: int, name: str = "model") -> nn.Module:
    """The same module, ready for `both` and `head_of`.

    A module with a linear layer `head` and a method `features` is taken at its word. In any other, the
    last `nn.Linear` in the order of definition is the head, and its input the features. Tensors keep
    their names: what is added to the module lies outside its state.
    """
    if not _offers(module):
        linear = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise UserError(
                f'model "{name}" has no linear layer to be its head; end it with nn.Linear(…, {classes})',
                key="model",
            )
        # past nn.Module's own __setattr__, and under a name of ours: a user's `features` may be a layer
        object.__setattr__(module, "_caught", Caught(module, linear[-1]))
    head = head_of(module)
    if head.layer.bias is None:
        raise UserError(
            f'model "{name}": its head "{head.name}" has no bias; make it nn.Linear(…, bias=True)', key="model"
        )
    if head.layer.out_features != classes:
        raise UserError(
            f'model "{name}": its head "{head.name}" has {head.layer.out_features} outputs, '
            f"the data have {classes} classes",
            key="model",
            found=head.layer.out_features,
        )
    return module


def _offers(module: nn.Module) -> bool:
    features = getattr(module, "features", None)
    return (
        isinstance(getattr(module, "head", None), nn.Linear)
        and callable(features)
        and not isinstance(features, nn.Module)
    )


def head_of(module: nn.Module) -> Head:
    """The head of a module of ours, or of one that went through `split`."""
    caught = getattr(module, "_caught", None)
    layer = caught.module.get_submodule(caught.name) if isinstance(caught, Caught) else getattr(module, "head", None)
    if not isinstance(layer, nn.Linear):
        raise UserError(
            f"model: {type(module).__name__} has no linear head; take it through models.split.split",
            key="model",
        )
    names = [path for path, found in module.named_modules() if found is layer]
    return Head(names[0], layer, bool(getattr(module, "positive", False)))


def both(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """(logits (n, classes), features (n, features)) of one pass."""
    caught = getattr(module, "_caught", None)
    if isinstance(caught, Caught):
        return caught.both(inputs)
    features = module.features
    assert callable(features)
    seen: Tensor = features(inputs)
    logits: Tensor = module.get_submodule("head")(seen)  # an engine may have put another layer there
    return logits, seen
