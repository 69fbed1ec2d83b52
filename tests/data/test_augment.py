"""Augmentation: what each kind may and may not do to an image."""

from __future__ import annotations

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.data.augment import augment

X = np.random.default_rng(0).normal(size=(200, 3, 8, 8)).astype(np.float32)


def test_flip_mirrors_half_of_the_images() -> None:
    before = X.copy()
    out = augment(X, np.random.default_rng(1), ("flip",))
    same = (out == X).all((1, 2, 3))
    mirrored = (out == X[..., ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 70 < mirrored.sum() < 130  # 100 ± 4.2 deviations
    assert (before == X).all()
    assert out.dtype == np.float32


@pytest.mark.parametrize("fill", ["reflect", "zero"])
def test_crop_is_a_window_of_the_padded_image(fill: str) -> None:
    out = augment(X, np.random.default_rng(2), ("crop",), margin=2, fill=fill)  # type: ignore[arg-type]
    sides = ((0, 0), (0, 0), (2, 2), (2, 2))
    padded = np.pad(X, sides, mode="reflect") if fill == "reflect" else np.pad(X, sides)
    places = set()
    for image, wide in zip(out, padded, strict=True):
        hits = [(i, j) for i in range(5) for j in range(5) if (wide[:, i : i + 8, j : j + 8] == image).all()]
        assert hits
        places.update(hits)
    assert len(places) == 25  # every place is used: 200 images


def test_the_stream_decides_and_order_does_not() -> None:
    one = augment(X, np.random.default_rng(3), ("flip", "crop"))
    two = augment(X, np.random.default_rng(3), ("crop", "flip"))
    assert (one == two).all()
    assert (augment(X, np.random.default_rng(3), ()) == X).all()
    assert augment(X[:0], np.random.default_rng(3)).shape == (0, 3, 8, 8)


def test_refusals() -> None:
    with pytest.raises(UserError, match="needs images"):
        augment(X[:, 0, 0], np.random.default_rng(0))
    with pytest.raises(UserError, match="Did you mean"):
        augment(X, np.random.default_rng(0), ("flipp",))
    with pytest.raises(UserError, match="larger images"):
        augment(X[..., :4, :4], np.random.default_rng(0), ("crop",))
