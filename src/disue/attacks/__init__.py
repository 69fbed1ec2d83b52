"""Clients that lie, in a simulation: what they hold, and what they send in the place of what they trained.

An attack is a value. What it may know is its `knows`, and it is handed no more than that (`knowledge.Seen`): its own
answer alone, the answers of all liars, or those of the honest clients too. Nothing here draws the liars' numbers from a
generator of its own, and nothing here sees the server: `runs.attacked` joins attacks to a run.

data      label-flip, backdoor                                    what liars train on
updates   sign-flip, scaling, noise, free-rider, alie, ipm,       what they send as their update
          min-max, min-sum
groups    capture, wedge, false-choice, false-sketch              what makes the server group them
expert    false-moments, false-counts                             what the server's head or prior is made of
"""

from disue.attacks.knowledge import Attack, Said, Seen, lies
from disue.attacks.liars import draw
from disue.attacks.table import KINDS

__all__ = ["KINDS", "Attack", "Said", "Seen", "draw", "lies"]
