"""K-ary randomised response: the true choice with probability e^ε / (e^ε + K − 1), any other one equally often.

One answer is ε-locally private. The answer to a true choice is kept, so that repeating the question tells nothing new:
the total is ε per change of mind.
"""

from __future__ import annotations

import math
from dataclasses import replace

from disue.secure.client.local import Memory, Random


def respond(memory: Memory, choice: int, among: int, epsilon: float, random: Random) -> tuple[Memory, int]:
    """The memory afterwards, and the choice that is reported.

    among    number of starts to choose from       epsilon  inf: the truth
    """
    if not 0 <= choice < among:
        raise ValueError(f"a choice among {among}, got {choice}")
    if math.isinf(epsilon) or among == 1:
        return memory, choice
    for kept in memory.choices:
        if kept[:3] == (among, epsilon, choice):
            return memory, kept[3]
    reported = draw(choice, among, epsilon, random)
    return replace(memory, choices=(*memory.choices, (among, epsilon, choice, reported))), reported


def draw(choice: int, among: int, epsilon: float, random: Random) -> int:
    """One answer. The other choices weigh e^(−ε) each against 1 for the truth, so that no ε overflows."""
    others = (among - 1) * math.exp(-epsilon)
    at = int.from_bytes(random(8), "little") / 2.0**64 * (1 + others)
    if at < 1 or others == 0:
        return choice
    other = min(int((at - 1) / others * (among - 1)), among - 2)
    return other if other < choice else other + 1


def truthful(among: int, epsilon: float) -> tuple[float, float]:
    """The probabilities of the true answer and of each other one."""
    below = 1 + (among - 1) * math.exp(-epsilon)
    return 1 / below, math.exp(-epsilon) / below
