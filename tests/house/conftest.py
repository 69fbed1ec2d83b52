"""Tests here start other processes in other folders: a relative PYTHONPATH would no longer lead to the package."""

from __future__ import annotations

import os
from pathlib import Path

if os.environ.get("PYTHONPATH"):
    found = [str(Path(word).resolve()) for word in os.environ["PYTHONPATH"].split(os.pathsep) if word]
    os.environ["PYTHONPATH"] = os.pathsep.join(found)
