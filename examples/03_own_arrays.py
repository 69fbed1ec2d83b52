"""Your own arrays: an .npz file, a run, and what was trained put to use for a client that comes later."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

import disue


def save_arrays(path):
    """x (n, features), y (n,) from 0 up, and, where clients are given, any integers as their ids."""
    x, y = make_classification(3000, 20, n_informative=12, n_classes=5, class_sep=1.5, random_state=0)
    x_train, x_test, y_train, y_test = train_test_split(x.astype(np.float32), y, test_size=0.25, random_state=0)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return x_test, y_test


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    x_test, y_test = save_arrays(folder / "mine.npz")
    spec = {
        "rounds": 15,
        "data": {"path": str(folder / "mine.npz")},
        "partition": {"kind": "dirichlet", "clients": 20, "alpha": 0.3},
        "cohort": {"share": 0.5},
        "local": {"clip": 10.0},
        "method": {"name": "disue", "k": 3},
    }
    summary = disue.run(spec, out=folder / "run")
    print(f"what clients receive: {summary['metrics']['served_global']['last10']:.1f} % on the test set")

    trained = disue.load(folder / "run")
    some = np.isin(y_test, [0, 3])  # a newcomer that knows two of the five classes
    x, y = trained.inputs(x_test[some]), y_test[some]
    print(trained.group_of(x, y))
    import torch

    expert = trained.expert(prior=np.bincount(y, minlength=5))  # an nn.Module, with the newcomer's own label prior
    with torch.inference_mode():
        right = expert(torch.from_numpy(x)).argmax(1).numpy() == y
    print(f"the expert with the newcomer's prior: {100 * right.mean():.1f} % on its {len(y)} samples")
    return summary


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
