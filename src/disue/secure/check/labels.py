"""5: which class has a client most of? From its update, from its sketch without and with the seed, from sums.

Two attacks. One reads the head's bias, whose change follows the label counts. The other holds one simulated update per
class, made from public data, against what was sent: inner products with known directions are what a sketch keeps, so
with the seed it names classes almost as well as from the update itself. What a sum tells of its members is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disue.core.checks import Float64, IntMatrix, IntVector, Matrix
from disue.core.streams import Streams
from disue.secure.check.histograms import dirichlet_counts
from disue.secure.check.rebuilding import Opened
from disue.secure.check.row import Row, keys
from disue.secure.client.sketch import Sketcher

K, M = 256, 4096
SUMS = (2, 3, 5, 10)


@dataclass(frozen=True, eq=False)
class Learnt:
    """What clients learnt in one round, for the attacker to guess at and for the referee to know.

    updates     (n, d) float32              histograms  (n, classes) their label counts
    candidates  (classes, d) float32, one update per class that was trained on public data of this class alone
    bias        where in an update the head's bias begins
    source      how they came about, for the table
    """

    updates: Matrix
    histograms: IntMatrix
    candidates: Matrix
    bias: int
    source: str

    @staticmethod
    def planted(streams: Streams, clients: int = 40, d: int = 4000, classes: int = 10) -> Learnt:
        """Updates that are each class's direction by its share, and noise: what training does, in short."""
        rng = streams("planted")
        counts = dirichlet_counts(rng, clients, classes, 100, 0.1)
        ways = rng.normal(size=(classes, d - classes)) / np.sqrt(d)
        ways = np.concatenate([ways, np.eye(classes) - 1 / classes], axis=1)
        noise = 0.3 * rng.normal(size=(clients + classes, d)) / np.sqrt(d)
        made = np.concatenate([counts / 100, np.eye(classes)]) @ ways + noise
        updates, candidates = np.split(made.astype(np.float32), [clients])
        return Learnt(updates, counts, candidates, d - classes, "planted")


def labels(learnt: Learnt, streams: Streams, quick: bool = False) -> list[Row]:
    right, classes = keys(streams, 20), learnt.histograms.shape[1]
    d = learnt.updates.shape[1]
    head = slice(learnt.bias, learnt.bias + classes)
    sketcher = Sketcher(right, K, M)
    sent = np.stack([sketcher.sketch(update) for update in learnt.updates]).astype(np.float64)
    plain, known = learnt.updates[:, head], _against(sent, learnt, sketcher)
    read, tested = [], []
    for wrong in range(6 if quick else 20):
        held = keys(streams, 21, wrong)
        opened = Opened(held, d, K, M)
        read.append(_guess(np.stack([opened.least(sketch)[head] for sketch in sent])))
        tested.append(_guess(_against(sent, learnt, Sketcher(held, K, M))))
    opened = Opened(right, d, K, M)
    least = np.stack([opened.least(sketch)[head] for sketch in sent])
    of = f"majority class ({learnt.source})"
    rows = []
    for attack, guesses, off, view in (
        ("head bias", read, "plain update", plain),
        ("head bias", read, "seed known", least),
        ("candidates", tested, "plain update", _cosines(learnt.updates, learnt.candidates)),
        ("candidates", tested, "seed known", known),
    ):
        value, most = _by_chance(guesses, learnt)
        control = named(_guess(view), learnt)
        needs = 0.5 if off == "seed known" else 0.6
        rows.append(
            Row("5", f"{of} from the sketch, {attack}", value, f"≤ {most:.2f}, as by chance", value <= most,
                off, control, f"> {needs}", control > needs)
        )  # fmt: skip
    return rows + [_sum(size, learnt, streams, of) for size in SUMS if size <= len(learnt.updates)]


def named(guess: IntVector, learnt: Learnt) -> float:
    """Share of clients whose majority class was guessed."""
    return float((guess == learnt.histograms.argmax(axis=1)).mean())


def _guess(scores: Float64 | Matrix) -> IntVector:
    return np.asarray(scores.argmax(axis=1), np.int64)


def _by_chance(guesses: list[IntVector], learnt: Learnt) -> tuple[float, float]:
    """(mean share named, the most that guesses which know nothing would have): one entry per wrong seed."""
    classes = learnt.histograms.shape[1]
    truth = np.bincount(learnt.histograms.argmax(axis=1), minlength=classes) / len(learnt.histograms)
    shares = np.array([named(guess, learnt) for guess in guesses])
    chance = np.array([truth @ np.bincount(guess, minlength=classes) / len(guess) for guess in guesses])
    spread = max(float((shares - chance).std(ddof=1)), 0.5 / len(truth))
    return float(shares.mean()), float(chance.mean() + 4 * spread / np.sqrt(len(shares)))


def _against(sent: Float64, learnt: Learnt, sketcher: Sketcher) -> Float64:
    """(n, classes) cosines of the sketches with those of the candidates under a seed."""
    return _cosines(sent, np.stack([sketcher.sketch(one) for one in learnt.candidates]).astype(np.float64))


def _cosines(one: Float64 | Matrix, other: Float64 | Matrix) -> Float64:
    return np.asarray(one @ other.T / np.linalg.norm(one, axis=1)[:, None] / np.linalg.norm(other, axis=1), np.float64)


def _sum(size: int, learnt: Learnt, streams: Streams, of: str) -> Row:
    """What the sum over random groups says about one member, by the candidates."""
    rng = streams("sums", size)
    found = []
    for _ in range(200):
        members = rng.choice(len(learnt.updates), size, replace=False)
        total = learnt.updates[members].sum(axis=0, dtype=np.float64)
        guess = _guess(_cosines(total[None], learnt.candidates))[0]
        found.append(guess == learnt.histograms[members[0]].argmax())
    return Row("5", f"{of} of one member from a sum of {size}", float(np.mean(found)), "reported", None)
