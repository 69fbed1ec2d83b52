import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from disue.core.errors import UserError
from disue.models.build import build, load_weights
from disue.models.flat import flatten, layout_of
from disue.models.split import both

SHAPES = {
    "mlp": (64,),
    "tiny": (1, 8, 8),
    "cnn": (3, 32, 32),
    "lenet": (3, 32, 32),
    "fedavg-cnn": (1, 28, 28),
    "resnet8": (3, 32, 32),
    "cnn1d": (9, 128),
    "gru": (80,),
}


@pytest.fixture(autouse=True)
def own_models(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def inputs_for(name, clients=3):
    draw = torch.Generator().manual_seed(1)
    if name == "gru":
        return torch.randint(0, 10, (clients, 80), generator=draw)
    return torch.randn(clients, *SHAPES[name], generator=draw)


@pytest.mark.parametrize(
    ("name", "shape", "weights"),
    [
        ("tiny", (1, 8, 8), 1_898),
        ("lenet", (3, 32, 32), 62_006),
        ("lenet", (1, 28, 28), 61_706),
        ("fedavg-cnn", (1, 28, 28), 1_663_370),
        ("resnet8", (3, 32, 32), 77_850),
        ("cnn", (3, 32, 32), 67_642),
        ("resnet18", (3, 32, 32), 11_173_962),
        ("mlp", (64,), 64 * 65 + 64 * 65 + 65 * 10),
        ("cnn1d", (9, 128), (45 + 1) * 16 + (80 + 1) * 32 + 257 * 64 + 65 * 10),
        ("gru", (80,), 10 * 8 + 9 * 384 + 129 * 384 + 129 * 10),
    ],
)
def test_numbers_of_weights(name, shape, weights):
    assert sum(tensor.numel() for tensor in build(name, shape, 10, 0).parameters()) == weights


@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_the_head_of_the_features(name):
    module, inputs = build(name, SHAPES[name], 10, 0), inputs_for(name)
    features = module.features(inputs)
    assert features.shape == (3, module.head.in_features) and module(inputs).shape == (3, 10)
    assert torch.equal(module(inputs), F.linear(features, module.head.weight, module.head.bias))
    assert module.positive == (name != "gru") and (not module.positive or bool((features >= 0).all()))
    for found, wanted in zip(both(module, inputs), (module(inputs), features), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", SHAPES)
def test_the_seed_makes_the_bits_and_the_global_generator_stays(name):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one = flatten(build(name, SHAPES[name], 10, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert flatten(build(name, SHAPES[name], 10, 3)).tobytes() == one.tobytes()
    assert flatten(build(name, SHAPES[name], 10, 4)).tobytes() != one.tobytes()


def test_pooling_before_relu_is_exact():
    module, inputs = build("tiny", (1, 8, 8), 10, 0), torch.randn(5, 1, 8, 8)
    out = F.max_pool2d(F.relu(module.conv1(inputs)), 2)
    out = F.max_pool2d(F.relu(module.conv2(out)), 2).flatten(1)
    assert torch.equal(module.features(inputs), out)


def test_gru_is_torchs():
    module, inputs = build("gru", (80,), 10, 0), inputs_for("gru")
    theirs = nn.GRU(8, 128, batch_first=True)
    names = {"weight_ih_l0": module.inward.weight, "bias_ih_l0": module.inward.bias}
    names |= {"weight_hh_l0": module.recurrent.weight, "bias_hh_l0": module.recurrent.bias}
    theirs.load_state_dict(names)
    torch.testing.assert_close(module.features(inputs), theirs(module.embedding(inputs))[1][-1])


def test_residual_norms():
    group, batch = (build("resnet8", (3, 8, 8), 10, 0, norm=norm) for norm in ("group", "batch"))
    assert {type(one).__name__ for one in group.modules() if "Norm" in type(one).__name__} == {"GroupNorm"}
    assert {type(one).__name__ for one in batch.modules() if "Norm" in type(one).__name__} == {"BatchNorm2d"}
    with pytest.raises(UserError, match=r"model.norm"):
        type(group)((3, 8, 8), 10, norm="layer")


def test_keys_reach_the_constructor():
    assert [tensor.shape[0] for tensor in build("mlp", (4,), 2, 0, hidden=[5, 3]).parameters()] == [
        5,
        5,
        3,
        3,
        2,
        2,
    ]
    linear = build("mlp", (4,), 2, 0, hidden=())
    assert not linear.positive and linear.head.in_features == 4


def test_own_module_by_import_path():
    module = build("own_models:Plain", (1, 8, 8), 10, 0, units=7)
    layout, inputs = layout_of(module, "plain"), torch.randn(4, 1, 8, 8)
    assert (layout.head_weight, layout.classes, layout.features) == ("classifier.weight", 10, 7)
    assert not layout.positive and layout.entries[0].name == "features.1.weight"
    logits, features = both(module, inputs)
    assert torch.equal(logits, module(inputs)) and torch.equal(features, nn.Sequential(*module.features)(inputs))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        other.classifier.weight.data.zero_()
        other.classifier.bias.data.fill_(2.0)
        assert torch.equal(both(other, inputs)[0], torch.full((4, 10), 2.0)), "the copy catches its own features"
    assert torch.equal(both(module, inputs)[0], logits)


def test_own_module_with_head_and_features_is_taken_at_its_word():
    layout = layout_of(build("own_models:Offers", (1, 8, 8), 10, 0))
    assert (layout.head_weight, layout.features, layout.positive) == ("head.weight", 5, True)


def test_own_sequential_and_seed():
    one, two = (flatten(build("own_models:sequential", (1, 8, 8), 10, 5)) for _ in range(2))
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize(
    ("name", "shape", "classes", "given", "says"),
    [
        ("own_models:Nothing", (1, 8, 8), 10, {}, 'has no class or function "Nothing"'),
        ("own_models:not_callable", (1, 8, 8), 10, {}, "has no class or function"),
        ("no_such_package.models:Net", (1, 8, 8), 10, {}, 'there is no module "no_such_package"'),
        ("own_models:number", (1, 8, 8), 10, {}, "must be a torch.nn.Module, got int"),
        ("own_models:headless", (1, 8, 8), 10, {}, "no linear layer"),
        ("own_models:biasless", (1, 8, 8), 10, {}, "no bias"),
        ("own_models:sequential", (1, 8, 8), 7, {}, "has 10 outputs, the data have 7 classes"),
        ("own_models:sequential", (3, 8, 8), 10, {}, "does not run on inputs of shape (3, 8, 8): mat1"),
        ("own_models:tagger", (1, 8, 8), 10, {}, "must give (n, 10) logits"),
        ("own_models:Softmax", (1, 8, 8), 10, {}, "leave out a softmax"),
        ("own_models:Twice", (1, 8, 8), 64, {}, "ran 2 times"),
        ("own_models:Plain", (1, 8, 8), 10, {"depth": 3}, "Its arguments: classes, units"),
        ("torch.nn:Linear", (8,), 10, {"in_features": 8}, "needs out_features"),
        ("lenett", (3, 32, 32), 10, {}, 'Did you mean "lenet"'),
        ("lenet", (1, 8, 8), 10, {}, "needs images of at least 28x28"),
    ],
)
def test_mistakes_are_one_sentence(name, shape, classes, given, says):
    with pytest.raises(UserError) as caught:
        build(name, shape, classes, 0, **given)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_weights_from_a_file(tmp_path):
    giver, taker = (
        build("resnet8", (3, 8, 8), 10, 1, norm="batch"),
        build("resnet8", (3, 8, 8), 10, 2, norm="batch"),
    )
    giver.norm.running_mean.fill_(3.0)
    save_file(giver.state_dict(), tmp_path / "whole.safetensors")
    loaded = load_weights(taker, tmp_path / "whole.safetensors")
    assert flatten(taker).tobytes() == flatten(giver).tobytes()
    assert (loaded.missing, loaded.unknown) == ((), ())


def test_weights_of_the_body_alone(tmp_path):
    giver, taker = build("tiny", (1, 8, 8), 10, 1), build("tiny", (1, 8, 8), 4, 2)
    before = taker.head.weight.detach().clone()
    state = {name: tensor for name, tensor in giver.state_dict().items() if not name.startswith("head")}
    save_file({**state, "projection.weight": torch.zeros(2)}, tmp_path / "body.safetensors")
    loaded = load_weights(taker, tmp_path / "body.safetensors")
    assert loaded.missing == ("head.weight", "head.bias") and loaded.unknown == ("projection.weight",)
    assert "left as drawn: head.weight, head.bias" in str(loaded)
    assert torch.equal(taker.conv2.weight, giver.conv2.weight) and torch.equal(taker.head.weight, before)


def test_weights_that_do_not_fit_leave_the_module_alone(tmp_path):
    taker = build("tiny", (1, 8, 8), 10, 0)
    before = flatten(taker)
    files = {
        "classes": build("tiny", (1, 8, 8), 4, 0).state_dict(),
        "stranger": {"layer1.weight": torch.zeros(3)},
        "nan": {"conv1.bias": torch.full((8,), torch.nan)},
    }
    for name, state in files.items():
        save_file(state, tmp_path / f"{name}.safetensors")
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({"a": 1}) * 9)
    says = {
        "classes": r"head.bias has shape \(4,\)|head.weight has shape \(4, 64\)",
        "stranger": "none of the 1 tensors",
        "nan": "not finite",
        "pickle": "not a safetensors file",
        "nowhere": "there is no file",
    }
    for name, words in says.items():
        with pytest.raises(UserError, match=words) as caught:
            load_weights(taker, tmp_path / f"{name}.safetensors")
        assert caught.value.key == "model.weights"
    np.testing.assert_array_equal(flatten(taker), before)
