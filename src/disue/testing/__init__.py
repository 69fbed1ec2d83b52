"""The conformance suite: what every method must hold, ours and yours.

    import pytest
    from disue.testing import checks

    @pytest.mark.parametrize("check", checks(my_method), ids=str)
    def test_my_method(check):
        check()

Without pytest: `print(disue.testing.run(my_method))`. See docs/conformance.md.
"""

from __future__ import annotations

from disue.testing.checks import CHECKS, Check
from disue.testing.front import checks, conforms, run
from disue.testing.named import named, names
from disue.testing.play import BACKENDS
from disue.testing.report import Report
from disue.testing.scenario import Scenario
from disue.testing.subject import Identity, Subject

__all__ = [
    "BACKENDS",
    "CHECKS",
    "Check",
    "Identity",
    "Report",
    "Scenario",
    "Subject",
    "checks",
    "conforms",
    "named",
    "names",
    "run",
]
