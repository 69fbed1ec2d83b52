"""Builds a model by its name or by an import path, with weights drawn from a seed of its own."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping

import torch
from torch import nn

from disue.core.errors import UserError
from disue.models import table
from disue.models.split import both, head_of, split
from disue.models.weights import Loaded, load_weights

__all__ = ["Loaded", "build", "load_weights", "probe"]


def build(
    name: str, shape: tuple[int, ...], classes: int, seed: int, *, kind: str | None = None, **given: object
) -> nn.Module:
    """The model `name` for inputs of `shape`, in evaluation mode; the same seed gives the same bits.

    `name` is one of `disue list models`, or "package.module:Class" of a user's own `nn.Module` (or of a
    function that makes one), which is called with `shape` and `classes` where it has such arguments.
    `kind` is the kind of the inputs where it is known: image, sequence, text or vector.

    >>> sum(p.numel() for p in build("tiny", (1, 8, 8), 10, seed=0).parameters())
    1898
    """
    shape = tuple(int(side) for side in shape)
    own = ":" in name
    if own:
        make, arguments = _callable(name), _arguments(name, shape, classes, given)
    else:
        table.fit(name, shape, classes, kind)
        make = _callable(table.row(name).target)
        arguments = {"shape": shape, "classes": classes, **table.settings(name, given)}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))
        module = make(**arguments)
    if not isinstance(module, nn.Module):
        raise UserError(
            f'model "{name}" must be a torch.nn.Module, got {type(module).__name__}',
            key="model.name",
            found=name,
        )
    module.eval()
    split(module, classes, name)
    if own:
        probe(module, shape, classes, name, kind)
    return module


def _callable(path: str) -> Callable[..., object]:
    where, _, what = path.partition(":")
    try:
        package = importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not (where == error.name or where.startswith(f"{error.name}.")):
            raise  # the user's module is there, and misses something of its own
        raise UserError(
            f'model "{path}": there is no module "{error.name}"; is its folder on PYTHONPATH?',
            key="model.name",
            found=path,
        ) from None
    found = getattr(package, what, None)
    if not callable(found):
        raise UserError(
            f'model "{path}": the module "{where}" has no class or function "{what}"',
            key="model.name",
            found=path,
        )
    made: Callable[..., object] = found
    return made


def _arguments(name: str, shape: tuple[int, ...], classes: int, given: Mapping[str, object]) -> dict[str, object]:
    """What a user's constructor is called with; a key that it does not know is an error."""
    known = inspect.signature(_callable(name)).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    for key in given:
        if key not in known and not open_ended:
            keys = ", ".join(known) or "none"
            raise UserError(f'model.{key}: unknown key of model "{name}". Its arguments: {keys}.', key=f"model.{key}")
    data = {key: value for key, value in (("shape", shape), ("classes", classes)) if key in known}
    arguments = {**data, **given}
    needed = [
        key
        for key, one in known.items()
        if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) and key not in arguments
    ]
    if needed:
        raise UserError(
            f'model "{name}" needs {", ".join(needed)}: give it as a key of [model]',
            key=f"model.{needed[0]}",
            found=name,
        )
    return arguments


def probe(module: nn.Module, shape: tuple[int, ...], classes: int, name: str, kind: str | None = None) -> None:
    """Runs two zero samples through a split module; what does not fit becomes one sentence."""
    inputs = torch.zeros(2, *shape, dtype=torch.int64 if kind == "text" else torch.float32)
    try:
        with torch.inference_mode():
            logits, features = both(module, inputs)
            whole, again = module(inputs), head_of(module).layer(features)
    except UserError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f'model "{name}" does not run on inputs of shape {shape}: {reason}', key="model", found=shape
        ) from error
    if tuple(logits.shape) != (2, classes) or features.ndim != 2:
        raise UserError(
            f'model "{name}" must give (n, {classes}) logits from (n, features) features, '
            f"got {tuple(logits.shape)} from {tuple(features.shape)} for 2 inputs of shape {shape}",
            key="model",
            found=tuple(logits.shape),
        )
    for found in (logits, whole):
        if not isinstance(found, torch.Tensor) or not torch.allclose(found, again, atol=1e-5):
            raise UserError(
                f'model "{name}" must end in its head "{head_of(module).name}": '
                "what it returns is not the head's output (leave out a softmax at the end)",
                key="model",
                found=name,
            )
