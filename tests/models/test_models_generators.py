import pytest
import torch

from disue.core.errors import UserError
from disue.models.flat import flatten, load
from disue.models.generators import REACH, generator

SHAPES = [
    ("image", (1, 8, 8)),
    ("image", (1, 28, 28)),
    ("image", (3, 32, 32)),
    ("image", (3, 20, 33)),
    ("sequence", (9, 128)),
    ("vector", (64,)),
]


@pytest.mark.parametrize("output", ["tanh", "norm"])
@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_shape_and_range(kind, shape, output):
    made = generator(shape, kind, 10, nz=16, output=output)
    out = made(torch.randn(32, 16), torch.arange(32) % 10).detach()
    assert out.shape == (32, *shape)
    if output == "tanh":
        assert float(out.abs().max()) <= REACH and float(out.std()) > 0.3
    else:
        over = [axis for axis in range(out.ndim) if axis != 1]
        torch.testing.assert_close(out.mean(over), torch.zeros(shape[0]), atol=1e-4, rtol=0)
        torch.testing.assert_close(out.var(over, unbiased=False), torch.ones(shape[0]), atol=0.05, rtol=0)


def test_number_of_weights():
    assert sum(tensor.numel() for tensor in generator((3, 32, 32), "image", 10, nz=64).parameters()) == 118_755


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_noise_and_labels_matter_and_carry_a_gradient(kind, shape):
    made = generator(shape, kind, 4, nz=8)
    noise, labels = torch.randn(6, 8, requires_grad=True), torch.tensor([0, 1, 2, 3, 0, 1])
    out = made(noise, labels)
    assert not torch.equal(out, made(noise, (labels + 1) % 4))
    out.square().sum().backward()
    assert bool((noise.grad != 0).any()) and all(
        bool((one.grad != 0).any()) for one in made.parameters() if one.ndim > 1
    )


def test_labels_or_shares():
    made = generator((1, 8, 8), "image", 3, nz=5)
    noise, labels = torch.randn(4, 5), torch.tensor([2, 0, 1, 2])
    assert torch.equal(made(noise, labels), made(noise, torch.eye(3)[labels]))


def test_seed_mode_and_one_vector():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two, other = (generator((1, 8, 8), "image", 3, nz=5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert flatten(one).tobytes() == flatten(two).tobytes() != flatten(other).tobytes()
    noise, labels = torch.randn(4, 5), torch.tensor([2, 0, 1, 2])
    assert torch.equal(one.train()(noise, labels), two.eval()(noise, labels)), "the batch's own statistics, always"
    load(other, flatten(one))
    assert torch.equal(other(noise, labels), one(noise, labels)), "all of G is in its vector"


@pytest.mark.parametrize(
    ("shape", "kind", "given", "says"),
    [
        ((80,), "text", {}, "no gradient"),
        ((8, 8), "image", {}, "needs a shape of 3 sides"),
        ((1, 8, 8), "picture", {}, "unknown name"),
        ((1, 8, 8), "image", {"output": "sigmoid"}, "Known: norm, tanh"),
        ((1, 8, 8), "image", {"nz": 0}, "nz must be ≥ 1, got 0"),
    ],
)
def test_mistakes(shape, kind, given, says):
    with pytest.raises(UserError, match=says):
        generator(shape, kind, 10, **given)
