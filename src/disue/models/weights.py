"""Weights from a safetensors file into a module: whole, or the body alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from disue.core.errors import UserError
from disue.models.flat import entries_of


@dataclass(frozen=True)
class Loaded:
    """What a file did to a module: tensors taken, tensors it left as drawn, names the module does not know."""

    taken: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        out = f"{len(self.taken)} tensors loaded"
        if self.missing:
            out += f"; left as drawn: {', '.join(self.missing)}"
        return out + (f"; unknown to the model: {', '.join(self.unknown)}" if self.unknown else "")


def load_weights(module: nn.Module, file: str | Path) -> Loaded:
    """Copies the tensors of FILE into the module by name; the caller says what did not match.

    A file without the head, or with another model's names among its own, is accepted and reported; one
    of which no tensor fits, or whose shapes differ, is refused, and the module stays as it was.
    """
    path = Path(file)
    if not path.is_file():
        raise UserError(f"model.weights: there is no file {path}", key="model.weights", found=str(path))
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"model.weights: {path} is not a safetensors file ({error}); "
            "a PyTorch checkpoint is turned into one by safetensors.torch.save_file(state_dict, …)",
            key="model.weights",
            found=str(path),
        ) from None
    entries = {entry.name: entry.shape for entry in entries_of(module)}
    targets = module.state_dict(keep_vars=True)
    taken = tuple(name for name in entries if name in state)
    if not taken:
        raise UserError(
            f"model.weights: none of the {len(state)} tensors of {path} belongs to the model. "
            f"In the file: {_few(state)}; in the model: {_few(entries)}",
            key="model.weights",
            found=str(path),
        )
    for name in taken:
        if tuple(state[name].shape) != entries[name]:
            raise UserError(
                f"model.weights: {name} has shape {tuple(state[name].shape)} in {path}, "
                f"the model expects {entries[name]}",
                key="model.weights",
                found=tuple(state[name].shape),
            )
        if not torch.isfinite(state[name]).all():
            raise UserError(
                f"model.weights: {name} in {path} holds values that are not finite",
                key="model.weights",
                found=name,
            )
    with torch.no_grad():
        for name, tensor in targets.items():
            if name in state and tensor.shape == state[name].shape:  # counters of BatchNorm among them
                tensor.copy_(state[name])
    return Loaded(
        taken,
        tuple(name for name in entries if name not in state),
        tuple(sorted(name for name in state if name not in targets)),
    )


def _few(names: Iterable[str], most: int = 4) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")
