"""Compiling: without a compiler, with one that fails, twice at once, over a damaged file."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from engine_bed import IDS, Erm, bed

from disue.engine import choice as choosing
from disue.engine.crew import Choice
from disue.engine.native import check
from disue.engine.native import library as native

try:
    native.find()
    why = ""
except native.Unavailable as error:
    why = str(error)
compiler = pytest.mark.skipif(bool(why), reason=why)
RICH = Erm(epochs=2, batch=7, lr=0.1, momentum=0.9, weight_decay=0.01, clip=0.5)
PLAIN = Erm(epochs=1, batch=5, lr=0.1)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache folder, and nothing loaded or remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    for one in (native.library, native._version, check.arithmetic):
        one.cache_clear()
    yield tmp_path
    for one in (native.library, native._version, check.arithmetic):
        one.cache_clear()


def falls_back(word):
    b = bed("tiny")
    uploads, lean = b.train(PLAIN, "native"), b.train(PLAIN, "lean")
    (note,) = uploads.notes
    assert note.startswith("engine: trained with lean instead of native: ") and word in note
    assert all(np.array_equal(uploads.ends[i], lean.ends[i]) for i in IDS)


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_without_a_compiler(fresh, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(fresh))
    falls_back("no C++ compiler is found (g++, clang++ or c++)")


def test_a_compiler_that_is_named_and_not_there(fresh, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    falls_back("no C++ compiler is found (no-such-compiler)")


def test_a_compiler_that_fails(fresh, monkeypatch):
    monkeypatch.setenv("CXX", script(fresh / "cc", 'echo "kernel.cpp:1: error: I refuse" >&2; exit 1'))
    falls_back("kernel.cpp:1: error: I refuse")
    assert not list((fresh / "disue" / "native").iterdir())


def test_a_compiler_that_makes_nonsense(fresh, monkeypatch):
    text = 'while [ "$1" != "-o" ]; do shift || exit 0; [ $# = 0 ] && exit 0; done; echo nonsense > "$2"'
    monkeypatch.setenv("CXX", script(fresh / "cc", text))
    falls_back("does not load")


@compiler
def test_a_compiler_that_makes_wrong_code(fresh, monkeypatch):
    """Wrong by a hair: the step is 0.1 % too long."""
    wrong = fresh / "kernel.cpp"
    text = native.SOURCE.read_text()
    assert text.count("const real lr = real(sgd.lr)") == 1
    wrong.write_text(text.replace("const real lr = real(sgd.lr)", "const real lr = real(1.001 * sgd.lr)"))
    monkeypatch.setattr(native, "SOURCE", wrong)
    falls_back("differs from torch's by 1.0e-03 of its length")


def test_a_cache_folder_that_cannot_be_written_to(fresh, monkeypatch):
    (fresh / "disue").write_text("a file where a folder should be")
    monkeypatch.setenv("CXX", script(fresh / "cc", "echo one"))
    falls_back("cannot be written to")


@compiler
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flags of x86")
@pytest.mark.parametrize("flag", ["-mno-avx512f", "-mno-avx"])
def test_narrower_registers(fresh, monkeypatch, flag):
    """The code for older processors, which this one runs as well: other tiles and blocks, the same round."""
    monkeypatch.setenv("CXX", " ".join([*native.find(), flag]))
    b = bed("tiny")
    compiled, loop = (b.train(RICH, name, double=True) for name in ("native", "loop"))
    assert compiled.notes == () and native.library("double").disue_width() in (2, 4)
    for client in IDS:
        np.testing.assert_allclose(compiled.ends[client], loop.ends[client], rtol=0, atol=1e-9)


@compiler
def test_a_damaged_library_is_compiled_again(fresh):
    native.library("float")
    (target,) = (fresh / "disue" / "native").glob("*.so")
    size = target.stat().st_size
    os.replace(target, fresh / "loaded")  # the file in use is not touched
    target.write_bytes((fresh / "loaded").read_bytes()[: size // 2])
    native.library.cache_clear()
    assert native.library("float").disue_width() in (4, 8, 16)
    assert target.stat().st_size == size
    before = target.stat().st_mtime_ns
    native.library.cache_clear()
    native.library("float")
    assert target.stat().st_mtime_ns == before


@compiler
def test_two_processes_build_at_once(fresh):
    code = """
import sys
sys.path.insert(0, "tests/engine")
from engine_bed import Erm, bed
uploads = bed("tiny").train(Erm(epochs=1, batch=5), "native")
assert uploads.notes == (), uploads.notes
print(uploads.ends[17].tobytes().hex())
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(fresh)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [one.communicate()[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert said[0] == said[1] and len(said[0]) > 100
    left = sorted(path.suffix for path in (fresh / "disue" / "native").iterdir())
    assert left == [".sha256", ".so"]


def test_compiled_code_is_never_taken_by_rule(fresh, monkeypatch):
    """A short run asks for no compiler at all; a long one measures what there is."""
    monkeypatch.setattr(native, "find", lambda: pytest.fail("a short run looked for a compiler"))
    b = bed("tiny")
    engine = b.engine("auto")
    engine.answer(b.world(), b.orders(PLAIN))
    assert engine.choice.backend in ("lean", "stacked") and engine.choice.why == "by rule"


@compiler
def test_a_long_run_measures_it(fresh, monkeypatch):
    monkeypatch.setattr(choosing, "WORTH", 0.0)
    b = bed("tiny")
    engine = b.engine("auto")
    engine.answer(b.world(), b.orders(PLAIN))
    assert isinstance(engine.choice, Choice) and engine.choice.why == "measured"
    assert set(engine.choice.costs) >= {"lean", "native"}
    if engine.choice.backend == "native":
        assert engine.choice.costs["native"] <= 0.95 * engine.choice.costs["lean"]
