"""Every attack by its name in a spec."""

from __future__ import annotations

from disue.attacks.crafted import Alie, Ipm, MinMax, MinSum
from disue.attacks.expert import FalseCounts, FalseMoments
from disue.attacks.grouped import Capture, FalseChoice, FalseSketch, Wedge
from disue.attacks.knowledge import Attack
from disue.attacks.poison import Backdoor, LabelFlip
from disue.attacks.simple import FreeRider, Noise, Scaling, SignFlip

KINDS: dict[str, type[Attack]] = {
    "label-flip": LabelFlip,
    "backdoor": Backdoor,
    "sign-flip": SignFlip,
    "scaling": Scaling,
    "noise": Noise,
    "free-rider": FreeRider,
    "alie": Alie,
    "ipm": Ipm,
    "min-max": MinMax,
    "min-sum": MinSum,
    "capture": Capture,
    "wedge": Wedge,
    "false-choice": FalseChoice,
    "false-sketch": FalseSketch,
    "false-moments": FalseMoments,
    "false-counts": FalseCounts,
}
