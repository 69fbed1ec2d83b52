"""The generator family as a part: rules, identities, memory, bits."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from generator_bed import COUNTS, Linear, making, pair, vector, world

from disue.core import tree
from disue.core.checks import digest
from disue.core.errors import UserError
from disue.core.orders import Sight
from disue.parts.expert.distil import Ensemble, Maker, Student, Tally, flattened, one_thread
from disue.parts.expert.generator import GeneratorDistil, GeneratorMemory
from disue.parts.expert.losses import student as student_loss
from disue.parts.expert.steppers import Sgd
from disue.parts.expert.teachers import Ledger, Teachers


@pytest.fixture(autouse=True)
def single():
    torch.set_num_threads(1)


def small(**keys):
    keys = {"iterations": 3, "batch": 8, "nz": 4, "width": 1, "student_lr": 0.1, "void": 1.0, **keys}
    return GeneratorDistil(**keys)


def made(part, *, at=None, models=None, counts=COUNTS, average=None, memory=None, **keys):
    where = at or world()
    teachers, start = pair()
    models = teachers if models is None else models
    average = start if average is None else average
    memory = part.init(where, average) if memory is None else memory
    return part.make(where, memory, making(models, counts, average, **keys)), average


# -- the average, bit for bit ---------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{"iterations": 0}, {"student_steps": 0}, {"enabled": False}])
def test_nothing_to_do_is_the_average(keys):
    out, average = made(small(**keys))
    assert out.expert.tobytes() == average.tobytes()
    assert not out.info.values


def test_no_student_rate_is_the_average_but_the_generator_learns():
    part = small(student_lr=0.0)
    out, average = made(part)
    assert out.expert.tobytes() == average.tobytes()
    assert digest(out.memory.weights) != digest(part.init(world(), average).weights)


def skipped(out, average, word):
    assert out.expert.tobytes() == average.tobytes()
    assert out.info.values["dphase.skipped"] == 1
    assert word in out.info.notes[0]
    assert "teacher_models" not in out.info.arrays


def test_one_teacher_skips():
    out, average = made(small(), counts=[[0, 0, 0], [10, 30, 20]])
    skipped(out, average, "1 teacher")
    assert out.info.values["dphase.teachers"] == 1


def test_identical_teachers_skip():
    skipped(*made(small(), models=np.repeat(pair()[0][:1], 2, axis=0)), "same model")


def test_nobody_has_a_sample():
    skipped(*made(small(), counts=np.zeros((2, 3))), "0 teacher")


def test_a_class_without_real_inputs_is_not_asked_for():
    public, labels = np.zeros((4, 2), np.float32), np.full(4, 2)
    out, average = made(small(source="real"), at=world(public=public, labels=labels), counts=[[3, 1, 0], [1, 1, 0]])
    skipped(out, average, "no class")


def test_label_pure_teachers_are_void():
    models = [vector(np.zeros((3, 2)), [9, 0, 0]), vector(np.zeros((3, 2)), [0, 9, 0])]
    counts = [[30, 0, 0], [0, 10, 0]]
    out, average = made(small(void=0.95), models=models, counts=counts)
    skipped(out, average, "on noise")
    assert out.info.values["dphase.void"] == 1
    taught, _ = made(small(void=1.0), models=models, counts=counts)
    assert taught.info.values["dphase.void"] == taught.info.values["dphase.skipped"] == 0


# -- what moves -----------------------------------------------------------------------------------


def test_only_weights_move():
    out, average = made(small())
    assert out.expert[-1] == average[-1] == 1.5
    assert (out.expert[:-1] != average[:-1]).all()
    assert out.expert.dtype == np.float32
    assert out.info.values["dphase.discarded"] == 0


def test_teachers_equal_to_the_student_give_no_gradient():
    models, average = np.repeat(pair()[1][None], 2, axis=0), pair()[1]
    network = Linear()
    alpha = np.array([[0.3, 0.9, 0.5], [0.7, 0.1, 0.5]])
    teachers = Teachers(models, np.ones((2, 3), bool), alpha)
    ensemble = Ensemble(network, teachers, average, mask="none", mixture="probability", temperature=1.0)
    student = Student(network, average, np.ones(10, bool), rate=1.0, clip=1.0)
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    log_t = ensemble.teach(x, torch.arange(64) % 3)
    _, gradient = student.gradient(lambda f: student_loss(log_t, f(x).log_softmax(-1), 1.0))
    assert gradient.abs().max() < 1e-6


def test_a_group_without_samples_changes_nothing():
    models, average = pair()
    plain, _ = made(small())
    more, _ = made(
        small(), models=np.stack([models[0], average * 9, models[1]]), counts=[COUNTS[0], [0] * 3, COUNTS[1]]
    )
    assert digest(more.expert, more.memory.weights) == digest(plain.expert, plain.memory.weights)
    assert more.info.values == plain.info.values


def test_a_step_of_sgd_by_hand():
    # one step on L = ½|w − 1|², rate 0.1, momentum ½, clip 1: gradient −1 is not shortened, −3 is
    student = Student(
        Linear(1, 1), np.zeros(3, np.float32), np.array([1, 0, 0], bool), rate=0.1, clip=1.0, stepper=Sgd(0.5)
    )
    x = torch.ones(1, 1)
    for target, expected in ((1.0, 0.1), (3.0, 0.1 + 0.1 * (0.5 + 1.0))):
        student.weights[-1] = 1.0
        assert student.step(lambda f, t=target: 0.5 * (f(x).sum() - t) ** 2, Tally())
        assert student.weights[0].item() == pytest.approx(expected, rel=1e-6)
    assert student.weights[1].item() == 0.0


def test_adam_by_hand():
    module = torch.nn.Linear(1, 1, bias=False)
    maker = Maker(module, np.zeros(1, np.float32), rate=0.1, clip=1.9)  # bites in the first step only
    tally, first, second, expected = Tally(), 0.0, 0.0, 0.0
    for step in (1, 2, 3):
        gradient = max(2 * (expected - 1), -1.9)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        expected -= 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        maker.step(lambda: (module.weight.sum() - 1) ** 2, tally)
        assert flattened(module)[0] == pytest.approx(expected, rel=1e-5)


def test_temperature_mixture_and_the_other_keys_run():
    for keys in (
        {"temperature": 4.0, "mixture": "logit", "mask": "shape"},
        {"mask": "none", "fidelity": "mixture", "disagree": "none"},
        {"mask": "none", "fidelity": "average", "disagree": "disagree", "ce": 0.5},
        {"labels": "uniform-all", "weights": "count", "output": "norm"},
        {"labels": "group", "a": 0.0, "b": 0.5, "weights": "softmax", "fresh_batches": True},
        {"source": "noise", "student_momentum": 0.9},
    ):
        out, average = made(small(**keys))
        assert np.isfinite(out.expert).all()
        assert (out.expert[:9] != average[:9]).any()
        assert out.info.values["dphase.discarded"] == 0


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("fidelity", ["each", "mixture", "average"]),
        ("disagree", ["none", "disagree", "disagree-correct"]),
        ("mask", ["anchor", "shape"]),
        ("mixture", ["probability", "logit"]),
        ("weights", ["count", "uniform-all", "softmax"]),
        ("labels", ["prior", "uniform"]),
        ("output", ["tanh", "norm"]),
        ("generator_steps", [0, 1, 2]),
        ("diversity", [0.0, 1.0]),
    ],
)
def test_keys_reach_the_generator(key, values):
    found = {digest(made(small(batch=64, **{key: value}))[0].memory.weights) for value in values}
    assert len(found) == len(values)


def test_the_teachers_are_asked_once_per_batch_of_the_student():
    def calls(**keys):
        network = Linear()
        made(small(source="noise", mask="none", iterations=1, student_steps=5, **keys), at=world(network))
        return network.calls - 2  # less the two teachers' pass over the noise probe

    assert calls() == 2 + 5
    assert calls(fresh_batches=True) == 5 * 2 + 5


def test_warm_up_and_ramp():
    part = small(warmup=5, ramp=10)
    assert [part.strength(t) for t in (0, 5, 10, 15, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert [small(warmup=2, ramp=0).strength(t) for t in (1, 2)] == [0.0, 1.0]
    early = [made(small(transfer=beta), round=3)[0].memory.weights for beta in (0.0, 9.0)]
    late = [made(small(transfer=beta, disagree="none"), round=30)[0].memory.weights for beta in (0.0, 9.0)]
    assert digest(early[0]) == digest(early[1])
    assert digest(late[0]) != digest(late[1])


# -- memory ---------------------------------------------------------------------------------------


def test_the_generator_is_kept_and_the_optimiser_is_not():
    part = small()
    first, _ = made(part)
    assert list(vars(first.memory)) == ["weights", "older", "ledger"]
    again, _ = made(part, memory=first.memory, round=21)
    fresh, _ = made(part, round=21)
    assert digest(again.memory.weights) not in (digest(first.memory.weights), digest(fresh.memory.weights))
    assert digest(again.expert) != digest(fresh.expert)


def test_a_skipped_round_keeps_the_generator():
    part = small()
    first, _ = made(part)
    second, _ = made(part, memory=first.memory, counts=[[1, 1, 1], [0, 0, 0]])
    assert second.memory.weights is first.memory.weights


def test_moving_average_of_the_generator():
    part = small(ema=0.5)
    first, _ = made(part)
    second, _ = made(part, memory=first.memory, round=21)
    assert digest(first.memory.older) == digest(first.memory.weights)
    expected = 0.5 * first.memory.weights + 0.5 * second.memory.weights
    assert second.memory.older == pytest.approx(expected, abs=1e-7)
    assert not made(small())[0].memory.older.size


def test_absent_groups_teach_only_when_asked():
    gone = [[0, 0, 0], [10, 30, 20]]
    for teachers, expected in (("round", 1), ("all", 2)):
        part = small(teachers=teachers, decay=0.5)
        first, _ = made(part)
        later, _ = made(part, memory=first.memory, counts=gone, round=21)
        assert later.info.values["dphase.teachers"] == expected
    # counts of class 0: 30 · ½ and 10, so α = 0.6 and 0.4
    assert later.info.arrays["teacher_weights"][:, 0] == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize("keys", [{}, {"teachers": "all", "ema": 0.9}, {"source": "noise"}])
def test_memory_round_trips(keys):
    out, _ = made(small(**keys))
    arrays, skeleton = tree.take(out.memory)
    back = tree.put(arrays, skeleton, tree.classes_of(out.memory))
    assert isinstance(back, GeneratorMemory)
    assert isinstance(back.ledger, Ledger)
    for name, array in tree.take(back)[0].items():
        assert digest(array) == digest(arrays[name])


# -- steps that go wrong --------------------------------------------------------------------------


def test_ten_bad_steps_in_a_row_end_the_phase():
    models, _ = pair()
    models = np.stack([models[0], np.full_like(models[0], 3e38)])  # finite, but its logits are not
    part = small(void=1.0)
    out, average = made(part, models=models)
    assert out.expert.tobytes() == average.tobytes()
    assert out.info.values["dphase.discarded"] == 10
    assert "ten in a row" in out.info.notes[0]
    assert digest(out.memory.weights) == digest(part.init(world(), average).weights)


@pytest.mark.parametrize("call", [3, 5, 8, 13])
def test_one_bad_step_is_discarded_and_the_phase_goes_on(call):
    out, average = made(small(), at=world(Linear(overflow=call)))
    assert 1 <= out.info.values["dphase.discarded"] <= 5
    assert np.isfinite(out.expert).all()
    assert np.isfinite(out.memory.weights).all()
    assert (out.expert[:9] != average[:9]).any()


def test_a_broken_teacher_does_not_teach():
    models, _ = pair()
    third = np.stack([*models, np.full_like(models[0], np.nan)])
    out, _ = made(small(), models=third, counts=[*COUNTS, [5, 5, 5]])
    plain, _ = made(small())
    assert digest(out.expert) == digest(plain.expert)


def test_a_broken_average_skips():
    out, _ = made(small(), average=np.full(10, np.nan, np.float32))
    assert out.info.values["dphase.skipped"] == 1


# -- what it says ---------------------------------------------------------------------------------


def test_info():
    out, _ = made(small(batch=20))
    assert set(out.info.values) == {
        f"dphase.{name}"
        for name in ("teachers", "void", "skipped", "discarded", "fidelity", "transfer", "diversity", "kl")
    }
    arrays = out.info.arrays
    assert arrays["samples"].shape == (16, 2)
    assert arrays["samples"].dtype == np.float32
    assert np.abs(arrays["samples"]).max() <= 3.0
    assert arrays["samples_labels"].shape == (16,)
    assert digest(arrays["teacher_models"]) == digest(pair()[0])
    assert arrays["teacher_weights"][:, 0].tolist() == [0.75, 0.25]
    assert "samples" not in made(small(source="noise"))[0].info.arrays


def test_inputs_are_unchanged():
    part, where = small(), world()
    models, average = pair()
    memory = part.init(where, average)
    asked = making(models, COUNTS, average)
    before = digest(memory.weights, asked.models, asked.average)
    for array in (memory.weights, memory.older):
        array.flags.writeable = False
    out = part.make(where, memory, asked)
    assert digest(memory.weights, asked.models, asked.average) == before
    assert not np.shares_memory(out.expert, asked.average)


# -- bits -----------------------------------------------------------------------------------------

PRINTS = """
import torch; torch.set_num_threads(1)
from test_generator import made, small
from disue.core.checks import digest
out, _ = made(small(ema=0.5, fresh_batches=True))
print(digest(out.expert, out.memory.weights, out.info.arrays["samples"]))
"""


def test_same_bits_twice_and_in_fresh_processes():
    torch.manual_seed(5)  # the global generator has no say
    out, _ = made(small(ema=0.5, fresh_batches=True))
    here = digest(out.expert, out.memory.weights, out.info.arrays["samples"])
    for seed in ("0", "77"):
        path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", PRINTS], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here


def test_one_thread_whatever_the_process_uses():
    class Counting(Linear):
        def forward(self, flat, inputs, train=False):
            threads.add(torch.get_num_threads())
            return super().forward(flat, inputs, train)

    threads: set[int] = set()
    torch.set_num_threads(2)
    try:
        made(small(iterations=1), at=world(Counting()))
        assert threads == {1}
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), one_thread():
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_seed_and_round_change_the_bits():
    seen = {digest(made(small(), at=world(seed=s), round=t)[0].expert) for s, t in ((0, 20), (1, 20), (0, 21))}
    assert len(seen) == 3


def test_torch_is_not_loaded_by_the_import():
    code = "import sys, disue.parts.expert.generator as g; g.GeneratorDistil(); print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("iterations", -1),
        ("iterations", 2.5),
        ("batch", 1),
        ("nz", 0),
        ("student_lr", -0.1),
        ("student_lr", float("nan")),
        ("student_momentum", 1.0),
        ("temperature", 0.0),
        ("student_clip", 0),
        ("lr_decay", 1.5),
        ("void", 2),
        ("ema", 1.0),
        ("mask", "ancor"),
        ("mixture", "mean"),
        ("fidelity", "all"),
        ("disagree", "always"),
        ("labels", "priors"),
        ("weights", "counts"),
        ("weights_temperature", 0.0),
        ("a", 2.0),
        ("teachers", "some"),
        ("source", "data"),
        ("output", "sigmoid"),
        ("enabled", 1),
    ],
)
def test_keys_are_checked(key, value):
    with pytest.raises(UserError) as error:
        GeneratorDistil(**{key: value})
    assert error.value.key == f"expert.{key}"
    assert "\n" not in str(error.value)


def test_text_is_refused_with_the_alternative():
    network = Linear()
    network.input_kind = "text"
    for source in ("generator", "noise"):
        with pytest.raises(UserError, match="moments"):
            GeneratorDistil(source=source).init(world(network), pair()[1])
    GeneratorDistil(enabled=False).init(world(network), pair()[1])


def test_real_needs_public_inputs_with_labels():
    with pytest.raises(UserError, match="public"):
        GeneratorDistil(source="real").init(world(), pair()[1])
    with pytest.raises(UserError, match="public"):
        GeneratorDistil(source="real").init(world(public=np.zeros((3, 2), np.float32)), pair()[1])
    many = world(public=np.zeros((3, 2), np.float32), labels=np.array([0, 1, 7]))
    with pytest.raises(UserError, match="public labels"):
        GeneratorDistil(source="real").init(many, pair()[1])


def test_sight():
    assert GeneratorDistil().sight == {Sight.LABELS, Sight.SUMS}
    assert GeneratorDistil().serves
    assert GeneratorDistil().head_scale(None) == 1.0
