"""Pictures inside the page: PNGs made of arrays, and heat maps whose colour the page's theme decides."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from disue.core.checks import Array, Float64
from disue.reports.axes import num, svg, text


def png(pixels: Array) -> str:
    """A data URI of uint8 pixels (h, w) in grey or (h, w, 3) in colour."""
    grey = pixels.ndim == 2
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, np.uint8).reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)
    parts = [_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(raw, 9)), _chunk(b"IEND", b"")]
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def levels(values: Float64) -> Array:
    """uint8 of values in [0, 1]; what is no number is 0."""
    return np.round(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)


def layer(name: str, values: Float64, color: str, x: float, y: float, width: float, height: float) -> str:
    """Values (rows, columns) in [0, 1] as the strength of one colour: a grey PNG is the mask of a plain rectangle."""
    box = f'x="{num(x)}" y="{num(y)}" width="{num(width)}" height="{num(height)}"'
    return (
        f'<mask id="{name}" maskUnits="userSpaceOnUse" {box}>'
        f'<image {box} preserveAspectRatio="none" class="cells" href="{png(levels(values))}"/></mask>'
        f'<rect {box} style="fill:var({color})" mask="url(#{name})"/>'
    )


def blocks(counts: Sequence[int], side: float) -> list[tuple[float, float]]:
    """(start, length) of each group along an axis of `side`."""
    total, at, out = max(sum(counts), 1), 0, []
    for count in counts:
        out.append((side * at / total, side * count / total))
        at += count
    return out


def similarity(
    name: str, values: Float64, sizes: Sequence[int], names: Sequence[str], title: str, description: str
) -> str:
    """A matrix (n, n) of cosines, ordered by group: blue alike, orange opposed, a frame round each group."""
    side, left, top = 400.0, 40.0, 6.0
    body = [
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" class="ground"/>',
        layer(f"{name}-p", np.maximum(values, 0), "--expert", left, top, side, side),
        layer(f"{name}-n", np.maximum(-values, 0), "--average", left, top, side, side),
    ]
    for (start, length), group in zip(blocks(sizes, side), names, strict=True):
        body.append(
            f'<rect x="{num(left + start)}" y="{num(top + start)}" width="{num(length)}" '
            f'height="{num(length)}" class="block"><title>group {group}</title></rect>'
        )
        if length > 13:
            body.append(text(left - 7, top + start + length / 2 + 4, group, "tick", "end"))
    body.append(text(left, top + side + 20, "−1", "tick"))
    body.append(_ramp(f"{name}-r", left + 22, top + side + 11))
    body.append(text(left + 148, top + side + 20, "1   cosine of two clients' updates", "tick"))
    return svg(name, title, description, "".join(body), 446.0, 432.0)


def _ramp(name: str, x: float, y: float) -> str:
    steps = np.linspace(-1, 1, 41)[None, :]
    return (
        f'<rect x="{num(x)}" y="{num(y)}" width="120" height="10" class="ground"/>'
        + layer(f"{name}-p", np.maximum(steps, 0), "--expert", x, y, 120, 10)
        + layer(f"{name}-n", np.maximum(-steps, 0), "--average", x, y, 120, 10)
    )


def strips(
    name: str,
    shares: Float64,
    sizes: Sequence[int],
    names: Sequence[str],
    labels: Sequence[str],
    title: str,
    description: str,
) -> str:
    """Label shares (clients, classes), clients ordered by group from top to bottom, a gap between groups."""
    left, top, width, gap = 40.0, 20.0, 400.0, 5.0
    classes = shares.shape[1]
    height = 380.0
    usable = height - gap * max(len(sizes) - 1, 0)
    body, row, y = [], 0, top
    if classes <= 26:
        body += [
            text(left + width * (c + 0.5) / classes, top - 7, label[:4], "tick", "middle")
            for c, label in enumerate(labels)
        ]
    for at, (count, group) in enumerate(zip(sizes, names, strict=True)):
        tall = usable * count / max(sum(sizes), 1)
        body.append(f'<rect x="{left}" y="{num(y)}" width="{width}" height="{num(tall)}" class="ground"/>')
        strength = np.sqrt(shares[row : row + count])
        body.append(layer(f"{name}-{at}", strength, "--group", left, y, width, tall))
        if tall > 11:
            body.append(text(left - 7, y + tall / 2 + 4, group, "tick", "end"))
        row, y = row + count, y + tall + gap
    return svg(name, title, description, "".join(body), 446.0, top + height + 6)


def gallery(name: str, samples: Array, labels: Array | None, most: int = 100_000) -> str:
    """Images (m, channels, h, w) in rows of ten, each with its class; nothing for other shapes.

    Brightness is stretched over all of them together, between the 1st and the 99th percentile. `most` bytes
    of pixels are shown, picked evenly.
    """
    if samples.ndim != 4 or not samples.size or samples.shape[1] not in (1, 3):
        return ""
    m, channels, h, w = samples.shape
    shown = max(1, min(m, most // (channels * h * w), 60))
    shown = shown if shown < 10 else shown // 10 * 10
    pick = np.linspace(0, m - 1, shown).round().astype(int)
    tiles = np.nan_to_num(samples[pick].astype(np.float64))
    low, high = np.percentile(tiles, 1), np.percentile(tiles, 99)
    tiles = levels((tiles - low) / max(high - low, 1e-12)).transpose(0, 2, 3, 1)
    columns, side, gap, line = 10, 45.0, 3.0, 17.0 if labels is not None else 0.0
    body = []
    for at in range(shown):
        x, y = at % columns * (side + gap), at // columns * (side + gap + line)
        pixels = tiles[at, :, :, 0] if channels == 1 else tiles[at]
        body.append(
            f'<image x="{num(x)}" y="{num(y)}" width="{num(side)}" height="{num(side)}" '
            f'class="cells" href="{png(pixels)}"/>'
        )
        if labels is not None:
            body.append(text(x + side / 2, y + side + 13, int(labels[pick[at]]), "tick", "middle"))
    height = -(-shown // columns) * (side + gap + line)
    title = f"{shown} generated inputs"
    found = "" if labels is None else "Classes: " + ", ".join(str(int(labels[at])) for at in pick)
    return svg(name, title, found, "".join(body), columns * (side + gap) - gap, height)
