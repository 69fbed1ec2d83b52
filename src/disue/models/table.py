"""The models by name: where they live, what data they fit, their keys and defaults. No torch here.

A spec's `[model]` is checked against this table alone; a test holds it equal to the constructors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from disue.core.errors import UserError, nearest, unknown

KINDS = ("image", "sequence", "text", "vector")


@dataclass(frozen=True)
class Setting:
    """A key of a model: its default, whose type is the key's type, and what is allowed.

    `least` bounds integers, one by one where the default is a tuple of them.
    """

    default: int | str | tuple[int, ...]
    choices: tuple[str, ...] = ()
    least: int = 1
    about: str = ""


@dataclass(frozen=True)
class Row:
    """A model of the table: what kinds of inputs it takes, and their smallest height and width, or length."""

    name: str
    target: str
    kinds: tuple[str, ...]
    about: str
    least: int = 1
    settings: Mapping[str, Setting] = field(default_factory=dict)


_NORM = Setting("group", choices=("group", "batch"), about="group or batch normalisation")
ROWS: tuple[Row, ...] = (
    Row(
        "mlp",
        "disue.models.vectors:Mlp",
        ("vector", "image", "sequence"),
        "linear layers on the flattened input",
        settings={"hidden": Setting((64, 64), about="units of each hidden layer; none: a linear model")},
    ),
    Row(
        "tiny",
        "disue.models.images:Tiny",
        ("image",),
        "two 3x3 convolutions (8, 16), for 8x8 images",
        least=4,
        settings={"width": Setting(8, about="channels of the first convolution; the second has twice as many")},
    ),
    Row(
        "cnn",
        "disue.models.images:Cnn",
        ("image",),
        "two 3x3 convolutions (8, 16) and a linear layer (64)",
        least=4,
        settings={
            "width": Setting(8, about="channels of the first convolution; the second has twice as many"),
            "hidden": Setting(64, about="units of the hidden layer"),
        },
    ),
    Row(
        "lenet",
        "disue.models.images:Lenet",
        ("image",),
        "LeNet-5: two 5x5 convolutions (6, 16) and linear layers (120, 84)",
        least=28,
    ),
    Row(
        "fedavg-cnn",
        "disue.models.images:FedavgCnn",
        ("image",),
        "two 5x5 convolutions (32, 64) and a linear layer (512)",
        least=4,
        settings={"hidden": Setting(512, about="units of the hidden layer")},
    ),
    Row(
        "resnet8",
        "disue.models.residual:Resnet8",
        ("image",),
        "ResNet-8: three residual blocks (16, 32, 64)",
        least=4,
        settings={"norm": _NORM, "width": Setting(16, about="channels of the first block")},
    ),
    Row(
        "resnet18",
        "disue.models.residual:Resnet18",
        ("image",),
        "ResNet-18 with the 3x3 stem of small images",
        least=8,
        settings={"norm": _NORM, "width": Setting(64, about="channels of the first stage")},
    ),
    Row(
        "cnn1d",
        "disue.models.sequences:Cnn1d",
        ("sequence",),
        "two convolutions over time (16, 32) and a linear layer (64)",
        least=16,
        settings={
            "width": Setting(16, about="channels of the first convolution; the second has twice as many"),
            "hidden": Setting(64, about="units of the hidden layer"),
        },
    ),
    Row(
        "gru",
        "disue.models.sequences:Gru",
        ("text",),
        "embedding and one recurrent layer (GRU); its last state",
        settings={
            "embed": Setting(8, about="length of a token's embedding"),
            "hidden": Setting(128, about="units of the recurrent layer"),
            "vocabulary": Setting(0, least=0, about="number of tokens; 0: as many as classes"),
        },
    ),
)
NAMES: tuple[str, ...] = tuple(row.name for row in ROWS)
_BY_NAME = {row.name: row for row in ROWS}


def row(name: str) -> Row:
    """The row of a model; an unknown name is an error that lists them."""
    if name not in _BY_NAME:
        raise unknown("model", name, NAMES)
    return _BY_NAME[name]


def defaults(name: str) -> dict[str, int | str | tuple[int, ...]]:
    """Keys of a model with their defaults.

    >>> defaults("resnet8")
    {'norm': 'group', 'width': 16}
    """
    return {key: setting.default for key, setting in row(name).settings.items()}


def settings(name: str, given: Mapping[str, object]) -> dict[str, int | str | tuple[int, ...]]:
    """The keyword arguments of a model: its defaults, overridden by what was given, checked.

    >>> settings("mlp", {"hidden": [32]})
    {'hidden': (32,)}
    """
    known = row(name).settings
    out = defaults(name)
    for key, value in given.items():
        if key not in known:
            guess = nearest(key, known)
            hint = f' Did you mean "{guess}"?' if guess else ""
            keys = ", ".join(sorted(known)) or "none"
            raise UserError(
                f'model.{key}: unknown key of model "{name}". Known keys: {keys}.{hint}',
                key=f"model.{key}",
                found=value,
            )
        out[key] = _checked(f"model.{key}", known[key], value)
    return out


def _checked(key: str, setting: Setting, value: object) -> int | str | tuple[int, ...]:
    if isinstance(setting.default, str):
        if isinstance(value, str) and value in setting.choices:
            return value
        allowed = " or ".join(f'"{choice}"' for choice in setting.choices)
        raise UserError(f"{key} must be {allowed}, got {value!r}", key=key, found=value)
    if isinstance(setting.default, tuple):
        if isinstance(value, list | tuple) and all(_whole(item, setting.least) for item in value):
            return tuple(int(item) for item in value)
        raise UserError(f"{key} must be a list of integers ≥ {setting.least}, got {value!r}", key=key, found=value)
    if isinstance(value, int) and _whole(value, setting.least):
        return value
    raise UserError(f"{key} must be an integer ≥ {setting.least}, got {value!r}", key=key, found=value)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def default_for(kind: str, shape: tuple[int, ...]) -> str:
    """The model that is taken where a spec names none.

    >>> default_for("image", (1, 8, 8)), default_for("image", (3, 32, 32)), default_for("text", (80,))
    ('tiny', 'lenet', 'gru')
    """
    if kind not in KINDS:
        raise unknown("input kind", kind, KINDS)
    if kind == "image":  # LeNet needs 28x28; whatever is smaller gets the tiny CNN
        return "lenet" if len(shape) == 3 and min(shape[1:]) >= row("lenet").least else "tiny"
    return {"sequence": "cnn1d", "text": "gru", "vector": "mlp"}[kind]


def fit(name: str, shape: tuple[int, ...], classes: int, kind: str | None = None) -> None:
    """One sentence where a model cannot take inputs of this shape or kind."""
    found = row(name)
    want, dims = _wanted(found)
    least = min(shape[1:] or shape, default=0) if found.kinds == ("image",) else (shape or (0,))[-1]
    misfit = (dims and len(shape) != dims) or not shape or min(shape) < 1 or least < found.least
    if misfit or (kind is not None and kind not in found.kinds):
        of = f" of kind {kind}" if kind is not None and kind not in found.kinds else ""
        raise UserError(f'model "{name}" needs {want}, got shape {tuple(shape)}{of}', key="model", found=tuple(shape))
    if classes < 2:
        raise UserError(f'model "{name}" needs at least 2 classes, got {classes}', key="classes", found=classes)


def _wanted(found: Row) -> tuple[str, int]:
    """What a model takes, in words, and the number of dimensions (0: any)."""
    if found.kinds == ("image",):
        return f"images of at least {found.least}x{found.least} (channels, height, width)", 3
    if found.kinds == ("sequence",):
        return f"sequences of at least {found.least} steps (channels, length)", 2
    if found.kinds == ("text",):
        return "token numbers (length,)", 1
    return "numbers, not tokens, in any shape", 0
