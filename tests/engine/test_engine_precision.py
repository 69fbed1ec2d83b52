"""bfloat16: never silently, never where the device computes it in software unless that is asked for."""

import numpy as np
import pytest
import torch
from engine_bed import IDS, bed
from test_engine_backends import PARTS

import disue
from disue.core.errors import UserError
from disue.engine import Engine, precision

NAME = "bf16-emulated"  # works on every machine


def test_it_is_refused_where_it_would_be_slow(monkeypatch):
    monkeypatch.setattr(precision, "in_hardware", lambda device: False)
    with pytest.raises(UserError, match="in software") as caught:
        Engine(bed("mlp").held, precision="bf16")
    assert caught.value.key == "engine.precision" and '"bf16-emulated"' in str(caught.value)
    assert precision.checked_precision(NAME, "cpu") == "bf16"
    monkeypatch.setattr(precision, "in_hardware", lambda device: True)
    assert Engine(bed("mlp").held, precision="bf16").precision == "bf16"
    with pytest.raises(UserError, match="float32"):
        Engine(bed("mlp").held, precision="float16")


@pytest.mark.parametrize("says", [(True, False), (False, True), (False, False)])
def test_the_cpu_is_asked_and_one_that_cannot_say_has_none(says, monkeypatch):
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    for name, value in zip(names, says, strict=True):
        monkeypatch.setattr(torch.cpu, name, lambda value=value: value, raising=False)
    assert precision.in_hardware("cpu") == any(says)
    for name in names:
        monkeypatch.delattr(torch.cpu, name)
    assert not precision.in_hardware("cpu")


@pytest.mark.parametrize("backend", ["loop", "lean", "stacked"])
@pytest.mark.parametrize("model", ["mlp", "tiny"])
def test_passes_change_and_weights_stay_float32(model, backend, device):
    b = bed(model)
    plain = b.train(PARTS["plain"], backend)
    found = []
    for _ in range(2):
        with b.engine(backend, device=device, precision=NAME) as engine:
            found.append(engine.answer(b.world(), b.orders(PARTS["plain"])).ends)
    for client in IDS:
        end, moved = found[0][client], plain.ends[client] - b.start
        assert end.dtype == np.float32
        error = float(np.linalg.norm(end - plain.ends[client]) / np.linalg.norm(moved))
        assert 1e-5 < error < 0.3  # bfloat16 has 8 bits; after two epochs
        assert np.array_equal(end, found[1][client])
        assert not np.array_equal(end, torch.from_numpy(end.copy()).bfloat16().float().numpy())


def test_a_run_says_so_and_so_does_its_folder(tmp_path):
    said = []
    spec = {"rounds": 2, "partition": {"clients": 6}, "cohort": {"size": 3}, "local": {"epochs": 1}}
    disue.run({**spec, "engine": {"precision": NAME}}, tmp_path / "a", on_round=lambda r: said.extend(r.notes))
    assert sum("passes in bfloat16" in note for note in said) == 1
    assert (tmp_path / "a" / "events.csv").read_text().count("passes in bfloat16") == 1
    assert 'precision = "bf16-emulated"' in (tmp_path / "a" / "spec.toml").read_text()
    said.clear()
    disue.run(spec, on_round=lambda r: said.extend(r.notes))
    assert not [note for note in said if "bfloat16" in note]
