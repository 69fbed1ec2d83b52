"""Data sets, partitions and federations. Nothing here imports torch."""

from __future__ import annotations

from disue.data.dataset import Dataset
from disue.data.federation import Federation
from disue.data.kinds import KINDS, make
from disue.data.mixing import mix
from disue.data.partition import Partition, Transform
from disue.data.sources import NAMES, load
from disue.data.statistics import Statistics

__all__ = ["KINDS", "NAMES", "Dataset", "Federation", "Partition", "Statistics", "Transform", "load", "make", "mix"]
