"""The local parts' own numbers; what training makes of them is tested with the engine."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from disue.core.clients import Batch, Local, Order
from disue.core.errors import UserError
from disue.core.priors import log_shares
from disue.parts.local import Erm, LogitAdjusted


def order(labels=(3, 0, 1), d=2):
    start = np.arange(d, dtype=np.float32)
    return Order(4001, 2, start, start[None], 0, np.ones(1), {}, sum(labels), np.array(labels), None)


def halved(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels) / 2


def forward_of(logits):
    return lambda inputs, name=None: (logits, inputs)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", -1),
        ("steps", -1),
        ("batch", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1e-9),
        ("clip", -1.0),
        ("lr_decay", 0.0),
        ("lr_decay", 1.5),
        ("smooth", 0.0),
        ("loss", "mse"),
    ],
)
def test_ranges(key, value):
    with pytest.raises(UserError) as caught:
        LogitAdjusted(**{key: value})
    assert caught.value.key == f"local.{key}"


def test_a_part_is_a_value():
    part = LogitAdjusted(lr=0.1, lr_decay=0.5, epochs=4, steps=3, smooth=0.2)
    assert isinstance(part, Local)
    assert part.at(2) == replace(part, lr=0.025, lr_decay=1.0)
    assert part.brief(1) == replace(part, epochs=1, steps=0)
    assert Erm().at(7) is not None and Erm().at(7) == Erm()


def test_a_client_starts_from_what_it_was_sent_and_hands_over_its_end():
    context = Erm().context(order(), {})
    assert context.trained["model"].tolist() == [0.0, 1.0] and not context.fixed
    end = np.ones(2, np.float32)
    done = Erm().finish({"model": end}, 3, context, order())
    assert done.end is end and not done.extras and not done.memory


def test_logit_adjustment_by_hand():
    """Counts (3, 0, 1), smooth 0.01: log((¾ + 0.01) / 1.03), log(0.01 / 1.03), log((¼ + 0.01) / 1.03)."""
    part = LogitAdjusted(epochs=1)
    context = part.context(order(), {})
    expected = np.log(np.array([0.76, 0.01, 0.26]) / 1.03)
    np.testing.assert_allclose(context.fixed["log_prior"], expected, rtol=1e-6)
    logits, labels = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]), torch.tensor([0, 2])
    loss = part.phases[0].loss(
        forward_of(logits),
        Batch(torch.zeros(2, 1), labels),
        {"log_prior": torch.from_numpy(context.fixed["log_prior"])},
    )
    z = logits.numpy() + expected
    by_hand = np.mean(np.log(np.exp(z).sum(1)) - z[[0, 1], [0, 2]])
    assert float(loss) == pytest.approx(by_hand, rel=1e-6)


def test_ten_classes_are_divided_by_one_and_a_tenth():
    counts = np.array([5] + [0] * 9)
    np.testing.assert_allclose(
        np.exp(log_shares(counts / counts.sum(), 0.01)), [1.01 / 1.1] + [0.01 / 1.1] * 9, rtol=1e-6
    )


def test_even_shares_change_nothing():
    part = LogitAdjusted()
    prior = torch.from_numpy(part.context(order((2, 2, 2)), {}).fixed["log_prior"])
    logits, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    batch = Batch(torch.zeros(4, 1), labels)
    adjusted = part.phases[0].loss(forward_of(logits), batch, {"log_prior": prior})
    plain = Erm().phases[0].loss(forward_of(logits), batch, {})
    assert float(adjusted) == pytest.approx(float(plain), abs=1e-6)


def test_a_loss_by_import_path(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_losses", sys.modules[__name__])
    logits, labels = torch.tensor([[1.0, -1.0]]), torch.tensor([0])
    batch = Batch(torch.zeros(1, 1), labels)
    plain = Erm().phases[0].loss(forward_of(logits), batch, {})
    own = Erm(loss="own_losses:halved").phases[0].loss(forward_of(logits), batch, {})
    assert float(own) == float(plain) / 2
    for path in ("own_losses:nothing", "no_such_package:loss"):
        with pytest.raises(UserError) as caught:
            Erm(loss=path).phases[0].loss(forward_of(logits), batch, {})
        assert caught.value.key == "local.loss"


def test_parts_load_without_torch():
    code = "import sys; import disue.parts.local; from disue.parts.local import Erm; Erm().phases; "
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
