"""Loaders on samples of the official formats, on prepared sets, on own arrays and on hostile files."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from disue.core.errors import UserError
from disue.data import NAMES, load
from disue.data.sources import har, shakespeare
from disue.data.sources.cifar import unpickle

SAMPLES = {  # shape, training and test rows, classes, stored type
    "cifar10": ((3, 32, 32), (50, 20), 10, np.uint8),
    "cifar100": ((3, 32, 32), (50, 20), 100, np.uint8),
    "svhn": ((3, 32, 32), (50, 20), 10, np.uint8),
    "fashion_mnist": ((1, 28, 28), (50, 20), 10, np.uint8),
    "har": ((9, 128), (15, 3), 6, np.float32),
    "shakespeare": ((80,), (120, 30), 80, np.uint8),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_official_samples(formats: Path, name: str) -> None:
    data = load(name, path=formats)
    shape, sizes, classes, dtype = SAMPLES[name]
    assert (data.shape, data.sizes, data.classes, data.x_train.dtype) == (shape, sizes, classes, dtype)
    assert data.variant == "official"
    assert len(data.labels) == classes
    assert data.citation
    assert all(len(digest) == 64 for _, digest in data.files)


@pytest.mark.parametrize("name", SAMPLES)
def test_official_folder_itself(formats: Path, name: str) -> None:
    folders = {
        "cifar10": "cifar-10-batches-py",
        "cifar100": "cifar-100-python",
        "svhn": "svhn",
        "fashion_mnist": "FashionMNIST/raw",
        "har": "UCI HAR Dataset",
        "shakespeare": "leaf_shakespeare",
    }
    inside, above = load(name, path=formats / folders[name]), load(name, path=formats)
    assert (inside.x_train == above.x_train).all()


@pytest.mark.parametrize("name", [n for n in NAMES if n != "digits"])
def test_prepared_sets(data_root: Path, name: str) -> None:
    if not (data_root / f"{name}.npz").exists():
        pytest.skip(f"no {name}.npz in DISUE_DATA")
    data = load(name, data_dir=data_root)
    assert data.variant in ("prepared", "official")
    assert (data.client_train is not None) == (name in ("har", "shakespeare"))
    assert data.files[0][0].startswith(name) or data.variant == "official"


def test_prepared_pixels_are_the_official_ones(formats: Path, data_root: Path) -> None:
    # The first official Fashion-MNIST images are the first rows of the prepared set, and so are SVHN's crops.
    for name, rows in (("fashion_mnist", 50), ("svhn", 50)):
        if not (data_root / f"{name}.npz").exists():
            pytest.skip("no prepared sets")
        ours, official = load(name, data_dir=data_root), load(name, path=formats)
        assert (ours.x_train[:rows] == official.x_train).all()
        assert (ours.y_train[:rows] == official.y_train).all()


def test_official_files_win_over_prepared(formats: Path, tmp_path: Path) -> None:
    x, y = np.zeros((4, 3, 32, 32), np.uint8), np.arange(4)
    np.savez(tmp_path / "svhn.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert load("svhn", data_dir=tmp_path).variant == "prepared"
    shutil.copytree(formats / "svhn", tmp_path / "svhn")
    assert load("svhn", data_dir=tmp_path).variant == "official"
    (tmp_path / "svhn" / "test_32x32.mat").unlink()
    assert load("svhn", data_dir=tmp_path).variant == "prepared"


def test_five_batches_make_cifar10_complete(formats: Path, tmp_path: Path) -> None:
    shutil.copytree(formats / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    with pytest.raises(UserError, match="disue data fetch cifar10"):
        load("cifar10", data_dir=tmp_path)
    for i in range(2, 6):
        shutil.copy(tmp_path / "cifar-10-batches-py/data_batch_1", tmp_path / f"cifar-10-batches-py/data_batch_{i}")
    data = load("cifar10", data_dir=tmp_path)
    assert (data.variant, data.sizes, data.note) == ("official", (250, 20), "")


def test_plain_idx_as_well_as_gzip(formats: Path, tmp_path: Path) -> None:
    for path in (formats / "FashionMNIST/raw").iterdir():
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    plain, packed = load("fashion_mnist", path=tmp_path), load("fashion_mnist", path=formats)
    assert (plain.x_train == packed.x_train).all()
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        load("fashion_mnist", path=tmp_path)


class Evil:
    """Runs a command when unpickled by pickle.load."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_malicious_pickles_are_refused(tmp_path: Path) -> None:
    path, target = tmp_path / "data_batch_1", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"data": Evil(target)}, protocol=2))
    with pytest.raises(UserError, match="refused"):
        unpickle(path)
    assert not target.exists()
    with path.open("rb") as handle:  # the control: the file does what it says when nobody looks
        pickle.load(handle)
    assert target.exists()
    for call in (b"cnumpy\nload\n(S'x'\ntR.", b"cnumpy.core.multiarray\nscalar\n.", b"cbuiltins\neval\n.", b"Pid\n."):
        path.write_bytes(call)
        with pytest.raises(UserError, match="refused"):
            unpickle(path)
    path.write_bytes(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.")
    with pytest.raises(UserError, match="not a CIFAR pickle"):
        unpickle(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="not a CIFAR pickle"):
        unpickle(path)


def test_arrays_of_numpy_2_are_read_too(tmp_path: Path) -> None:
    # Written by the running numpy, whichever major version that is, under the name it uses itself.
    path = tmp_path / "batch"
    data = np.arange(6, dtype=np.uint8).reshape(2, 3)
    path.write_bytes(pickle.dumps({"data": data, "labels": [1, 2]}, protocol=2))
    try:
        found = unpickle(path)
    except UserError as error:  # protocol 2 writes bytes through _codecs.encode on Python 3
        assert "_codecs.encode" in str(error)
        raw = pickle.dumps({"data": data, "labels": [1, 2]}, protocol=4)
        path.write_bytes(raw)
        found = unpickle(path)
    assert (np.asarray(found["data"]) == data).all()


def arrays(path: Path, **changed: object) -> Path:
    x = np.random.default_rng(0).random((6, 2, 4, 4)).astype(np.float32)
    fields: dict[str, object] = {"x_train": x, "y_train": np.arange(6) % 3, "x_test": x, "y_test": np.arange(6) % 3}
    fields |= changed
    np.savez(path, **{k: v for k, v in fields.items() if v is not None})  # type: ignore[arg-type]
    return path


def test_own_arrays(tmp_path: Path) -> None:
    owner = np.array([9, 9, -3, -3, 70, 70])
    data = load(path=arrays(tmp_path / "mine.npz", client_train=owner))
    assert (data.name, data.kind, data.variant, data.classes) == ("mine", "image", "own", 3)
    assert data.client_train is not None and data.client_train.tolist() == owner.tolist()
    kinds = {
        "image": np.zeros((6, 1, 2, 2)),
        "sequence": np.zeros((6, 3, 8), np.float32),
        "vector": np.zeros((6, 8), np.int32),
    }
    for kind, x in kinds.items():
        assert load(path=arrays(tmp_path / "m.npz", x_train=x, x_test=x)).kind == kind
    x = np.zeros((6, 8), np.int32)
    assert load(path=arrays(tmp_path / "my_text.npz", x_train=x, x_test=x)).kind == "text"
    assert load(path=arrays(tmp_path / "m.npz", x_train=x, x_test=x, kind=np.array("text"))).kind == "text"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y_test": None}, "lacks y_test"),
        ({"y_train": np.array([{}] * 6, object)}, "Python objects"),
        ({"y_test": np.array([0, 1, 2, 3, 4, 0])}, "label 3, 4"),
        ({"y_train": np.array([0, 2, 0, 2, 0, 2])}, "label 1"),
        ({"x_train": np.zeros(6)}, "got \\(6,\\)"),
        ({"client_test": np.arange(6)}, "without client_train"),
        ({"kind": np.array("imgae")}, "Did you mean"),
    ],
)
def test_bad_own_arrays(tmp_path: Path, changed: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load(path=arrays(tmp_path / "mine.npz", **changed))
    assert "\n" not in str(caught.value)


def test_places_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "junk.npz").write_bytes(b"PK not really")
    np.save(tmp_path / "single.npy", np.zeros(3))
    cases = [
        ({}, "must be given"),
        ({"name": "cifar"}, 'Did you mean "cifar10"'),
        ({"path": tmp_path / "absent.npz"}, "there is nothing at"),
        ({"path": tmp_path}, "is a folder"),
        ({"path": tmp_path / "junk.npz"}, "damaged"),
        ({"path": tmp_path / "single.npy"}, "single array"),
        ({"name": "har", "path": tmp_path}, "does not hold"),
        ({"name": "har", "data_dir": tmp_path / "absent"}, "disue data fetch har"),
    ]
    for arguments, words in cases:
        with pytest.raises(UserError, match=words):
            load(**arguments)  # type: ignore[arg-type]
    monkeypatch.setenv("DISUE_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="elsewhere"):
        load("svhn")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may read everything")
def test_folder_without_permission(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    with pytest.raises(UserError, match="Permission denied"):
        load("har", data_dir=closed)


def test_folder_that_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    for arguments in ({"data_dir": tmp_path}, {"path": tmp_path}):
        with pytest.raises(UserError, match="cannot be read: Permission denied"):
            load("har", **arguments)  # type: ignore[arg-type]


def test_har_text_that_is_cut_off(formats: Path, tmp_path: Path) -> None:
    shutil.copytree(formats / "UCI HAR Dataset", tmp_path / "har", copy_function=shutil.copyfile)
    signal = tmp_path / "har/train/Inertial Signals/body_acc_x_train.txt"
    good = signal.read_text()
    for text in (good[:-40], good.replace("e-00", "e-x0", 1), "", good.replace("\n", "", 1)):
        signal.write_text(text)
        with pytest.raises(UserError, match="body_acc_x_train"):
            load("har", path=tmp_path)


def test_har_time_split() -> None:
    # One subject, two activities of 10 windows that overlap by half within each, in time order.
    signal = np.arange(1200, dtype=np.float32)
    windows = [signal[100 * a * 5 + 4 * i : 100 * a * 5 + 4 * i + 8] for a in range(2) for i in range(10)]
    x, y = np.stack(windows)[:, None], np.repeat([0, 1], 10)
    train, test = har.time_split(x, y, np.full(20, 7))
    assert np.flatnonzero(train).tolist() == [*range(8), *range(10, 18)]
    assert np.flatnonzero(test).tolist() == [9, 19]  # 8 and 18 share half with a training window
    _, apart = har.time_split(x[::-1].copy(), y[::-1].copy(), np.full(20, 7))
    assert apart.sum() == 4  # no window begins with the end of the one before: nothing is left out


def test_shakespeare_text_equals_the_prepared_set(data_root: Path) -> None:
    if not (data_root / "shakespeare_roles.json").exists():
        pytest.skip("no shakespeare_roles.json in DISUE_DATA")
    roles = json.loads((data_root / "shakespeare_roles.json").read_text())
    prepared = load("shakespeare", data_dir=data_root)
    found = shakespeare.windows(roles)
    x_train = np.concatenate([found[name][0][0] for name in sorted(roles)])
    y_test = np.concatenate([found[name][1][1] for name in sorted(roles)])
    assert (x_train == prepared.x_train).all()
    assert (y_test == prepared.y_test).all()


def test_plays_are_cut_at_names(tmp_path: Path) -> None:
    text = "ROMEO:\n" + "a b " * 300 + "\n\nFirst Citizen:\nNo.\n\nJULIET:\nO\n\nROMEO:\nlast line\n"
    found = shakespeare.plays(text)
    assert list(found) == ["ROMEO"]
    assert found["ROMEO"].endswith("\nlast line")
    (tmp_path / "shakespeare").mkdir()
    (tmp_path / "shakespeare/tinyshakespeare.txt").write_text(text)
    data = load("shakespeare", data_dir=tmp_path)
    assert data.shape == (80,)
    assert data.client_train is not None and set(data.client_train.tolist()) == {0}


def test_leaf_roles(tmp_path: Path) -> None:
    window = "to be or not to be, that is the question" * 2
    users = {
        "PLAY_B": {"x": [window] * 3, "y": ["a", "b", "$"]},
        "PLAY_A": {"x": [window], "y": ["z"]},
        "NONE": {"x": [], "y": []},
    }
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "one.json").write_text(json.dumps({"users": list(users), "user_data": users}))
    data = load("shakespeare", path=tmp_path)
    assert data.client_train is not None
    assert data.client_train.tolist() == [0, 1, 1]  # PLAY_A is 0; the window before "$" is left out
    assert "".join(data.labels[i] for i in data.y_train) == "zab"
    assert "".join(data.labels[i] for i in data.x_train[0]) == window
    (tmp_path / "test/one.json").write_text('{"user_data": {"A": {"x": ["short"], "y": ["a"]}}}')
    with pytest.raises(UserError, match="80 characters"):
        load("shakespeare", path=tmp_path)
