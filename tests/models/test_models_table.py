import importlib
import inspect
import subprocess
import sys

import pytest

from disue.core.errors import UserError
from disue.models import NAMES, default_for, defaults, settings
from disue.models.table import ROWS, fit


def test_importing_the_package_leaves_torch_out():
    code = "import sys, disue.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_keys_and_defaults_are_those_of_the_constructor(row):
    where, _, what = row.target.partition(":")
    signature = inspect.signature(getattr(importlib.import_module(where), what))
    own = {key: one.default for key, one in signature.parameters.items() if key not in ("shape", "classes")}
    assert list(own.items()) == list(defaults(row.name).items())


@pytest.mark.parametrize(
    ("kind", "shape", "name"),
    [
        ("image", (1, 8, 8), "tiny"),
        ("image", (1, 16, 16), "tiny"),
        ("image", (1, 28, 28), "lenet"),
        ("image", (3, 32, 32), "lenet"),
        ("sequence", (9, 128), "cnn1d"),
        ("text", (80,), "gru"),
        ("vector", (64,), "mlp"),
    ],
)
def test_a_default_for_every_kind_fits_it(kind, shape, name):
    assert default_for(kind, shape) == name
    fit(name, shape, 10, kind)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UserError, match=r'unknown name "lenett".*Did you mean "lenet"'):
        defaults("lenett")
    with pytest.raises(UserError, match="input kind"):
        default_for("picture", (1, 8, 8))


@pytest.mark.parametrize(
    ("name", "given", "key", "says"),
    [
        ("mlp", {"hiden": (3,)}, "model.hiden", 'Did you mean "hidden"'),
        ("lenet", {"width": 3}, "model.width", "Known keys: none"),
        ("mlp", {"hidden": 64}, "model.hidden", "list of integers"),
        ("mlp", {"hidden": [64, 0]}, "model.hidden", "≥ 1"),
        ("tiny", {"width": True}, "model.width", "integer ≥ 1, got True"),
        ("tiny", {"width": 2.5}, "model.width", "got 2.5"),
        ("resnet8", {"norm": "layer"}, "model.norm", '"group" or "batch", got \'layer\''),
        ("gru", {"vocabulary": -1}, "model.vocabulary", "≥ 0"),
    ],
)
def test_keys_are_checked(name, given, key, says):
    with pytest.raises(UserError) as caught:
        settings(name, given)
    assert caught.value.key == key and says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "kind", "says"),
    [
        ("lenet", (1, 8, 8), None, "images of at least 28x28 (channels, height, width), got shape (1, 8, 8)"),
        ("lenet", (28, 28), None, "got shape (28, 28)"),
        ("lenet", (1, 28, 27), None, "got shape (1, 28, 27)"),
        ("tiny", (1, 3, 8), None, "images of at least 4x4"),
        ("tiny", (64,), None, "got shape (64,)"),
        ("fedavg-cnn", (1, 2, 2), None, "at least 4x4"),
        ("cnn", (9, 128), None, "got shape (9, 128)"),
        ("resnet8", (3, 1, 1), None, "at least 4x4"),
        ("resnet18", (3, 4, 4), None, "at least 8x8"),
        ("cnn1d", (9, 12), None, "sequences of at least 16 steps (channels, length), got shape (9, 12)"),
        ("cnn1d", (1, 8, 8), None, "got shape (1, 8, 8)"),
        ("gru", (1, 8, 8), None, "token numbers (length,), got shape (1, 8, 8)"),
        ("gru", (64,), "vector", "got shape (64,) of kind vector"),
        ("mlp", (80,), "text", "numbers, not tokens, in any shape, got shape (80,) of kind text"),
        ("mlp", (), None, "got shape ()"),
        ("mlp", (0,), None, "got shape (0,)"),
    ],
)
def test_a_misfit_is_one_sentence(name, shape, kind, says):
    with pytest.raises(UserError) as caught:
        fit(name, shape, 10, kind)
    assert str(caught.value).startswith(f'model "{name}" needs ') and says in str(caught.value)
    assert caught.value.found == shape


def test_one_class_is_no_task():
    with pytest.raises(UserError, match="at least 2 classes, got 1"):
        fit("mlp", (64,), 1)
