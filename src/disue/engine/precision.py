"""Where passes in bfloat16 are an option: in hardware only, and never silently."""

from __future__ import annotations

import torch

from disue.core.errors import UserError, unknown

NAMES = ("float32", "bf16", "bf16-emulated")


def checked_precision(name: str, device: str) -> str:
    """ "float32" or "bf16". Emulated bfloat16 is several times slower than float32, so it must be asked for."""
    if name not in NAMES:
        raise unknown("engine.precision", name, NAMES)
    if name == "bf16" and not in_hardware(device):
        raise UserError(
            f'engine.precision = "bf16": this {device} computes bfloat16 in software, several times slower than '
            'float32; take "float32", or "bf16-emulated" to have it all the same',
            key="engine.precision",
            found=name,
        )
    return "float32" if name == "float32" else "bf16"


def in_hardware(device: str) -> bool:
    """Whether the device multiplies in bfloat16 itself."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask is not None and ask() for ask in asked)  # an older torch cannot say: then no


def sentence(name: str, device: str) -> str:
    """What a run has to say of its precision; "" for float32."""
    if name == "float32":
        return ""
    how = "in hardware" if in_hardware(device) else "in software, which is slow"
    return (
        f"engine.precision: clients train with passes in bfloat16 ({how}), weights, steps and evaluation in float32; "
        "accuracies are not those of float32, benchmarks/bf16.py measures the difference"
    )
