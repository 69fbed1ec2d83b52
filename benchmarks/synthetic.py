"""Made-up federations for benchmarks: N clients of given sizes over random images that can be learned.

python benchmarks/synthetic.py OUT.npz --clients 10000 --samples 180000 --natural
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

CLASSES = 10
Ints = npt.NDArray[np.int64]


def equal(clients: int, each: int) -> Ints:
    """(clients,) the same number of samples for everyone."""
    return np.full(clients, each, np.int64)


def natural(clients: int, samples: int, seed: int = 0, sigma: float = 1.0, least: int = 2) -> Ints:
    """(clients,) log-normal sizes that add up to at most `samples`, at least `least` each."""
    drawn = np.random.default_rng(seed).lognormal(0.0, sigma, clients)
    return least + np.floor(drawn / drawn.sum() * (samples - least * clients)).astype(np.int64)


def write(path: Path, sizes: Ints, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0, test: int = 1000) -> Path:
    """An .npz for `data.path`: uint8 images, labels, and `client_train` with gaps between the ids.

    A class is a pattern under noise. Each client draws its labels from two classes of its own and, one time in
    five, from all: skewed labels, as in the field, at no cost that grows faster than the samples.
    """
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 160, (CLASSES, *shape), np.uint8)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    own = rng.integers(0, CLASSES, (len(sizes), 2))
    labels = own[owner, rng.integers(0, 2, owner.size)]
    any_ = rng.random(owner.size) < 0.2
    labels[any_] = rng.integers(0, CLASSES, int(any_.sum()))
    held = rng.integers(0, CLASSES, test)

    def images(of: Ints) -> npt.NDArray[np.uint8]:
        out = rng.integers(0, 96, (of.size, *shape), np.uint8)  # 160 + 96 stays below 256
        for at in range(0, of.size, 100_000):
            out[at : at + 100_000] += patterns[of[at : at + 100_000]]
        return out

    np.savez(
        path,
        x_train=images(labels),
        y_train=labels,
        x_test=images(held),
        y_test=held,
        client_train=3 * owner + 7,
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=180_000)
    parser.add_argument("--natural", action="store_true", help="log-normal sizes; else all the same")
    parser.add_argument("--shape", type=int, nargs=3, default=(1, 8, 8))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    each = given.samples // given.clients
    sizes = natural(given.clients, given.samples, given.seed) if given.natural else equal(given.clients, each)
    print(write(given.out, sizes, tuple(given.shape), given.seed))


if __name__ == "__main__":
    main()
