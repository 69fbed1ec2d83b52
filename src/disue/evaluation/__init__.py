"""Scores of what a method serves: pure functions of models, data and label shares; numpy only."""

from disue.evaluation.accuracy import Scored, score
from disue.evaluation.evaluate import Evaluation, Teachers, TestBed, evaluate, hundred
from disue.evaluation.groups import by_group, recovery
from disue.evaluation.lied import backdoor, captured, honest
from disue.evaluation.newcomers import newcomers
from disue.evaluation.pooled import taught
from disue.evaluation.totals import evaluations, last, rounds_to

__all__ = [
    "Evaluation",
    "Scored",
    "Teachers",
    "TestBed",
    "backdoor",
    "by_group",
    "captured",
    "evaluate",
    "evaluations",
    "honest",
    "hundred",
    "last",
    "newcomers",
    "recovery",
    "rounds_to",
    "score",
    "taught",
]
