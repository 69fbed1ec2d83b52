"""Whether all sites read their samples alike stands in the spec; where it does not, the run says so, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flower_bed import simulation, sites

from disue.flower.apps import client_app
from disue.flower.local import LocalGrid
from disue.flower.serve import start
from disue.flower.split import spec_of


@pytest.mark.parametrize("given", [True, False])
def test_a_run_without_constants_says_so(tmp_path: Path, given: bool) -> None:
    setup = simulation("fedavg")
    spec = spec_of(setup)
    if not given:
        spec = replace(spec, data=replace(spec.data, mean=(), std=()))
    run = start(LocalGrid(client_app(spec), sites(setup, tmp_path)), spec, None, local=True)
    notes = [note for record in run for note in record.notes if note.startswith("data.mean is missing")]
    assert len(notes) == (0 if given else 1)
