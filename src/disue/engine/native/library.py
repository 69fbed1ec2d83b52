"""Compiles kernel.cpp with the compiler of the machine, keeps what came out, and loads it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("kernel.cpp")
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fPIC", "-shared")
PATIENCE = 120.0  # seconds that a compiler may take; a few are usual


class Unavailable(Exception):
    """Why there is no compiled code here, as the end of a sentence."""


@functools.cache
def library(real: str) -> ctypes.CDLL:
    """The code for `real` = "float" or "double", compiled where no earlier process did. Raises Unavailable.

    It lies in the user's cache folder under a hash of source, compiler, flags and processor. A file that
    is damaged is compiled again. Processes may build at once: each writes its own file and renames it.
    """
    compiler = find()
    target = _target(compiler, real)
    loaded = _loaded(target) if _whole(target) else None
    if loaded is None:
        _compile(compiler, real, target)
        loaded = _loaded(target)
    if loaded is None:
        raise Unavailable(f"what {compiler[0]} compiled does not load")
    return loaded


def find() -> list[str]:
    """The command: $CXX, else the first of the usual names."""
    named = os.environ.get("CXX", "").split()
    for words in [named] if named else [["g++"], ["clang++"], ["c++"]]:
        path = shutil.which(words[0])
        if path is not None:
            return [path, *words[1:]]
    raise Unavailable(f"no C++ compiler is found ({named[0] if named else 'g++, clang++ or c++'})")


def _flags(real: str) -> list[str]:
    machine = platform.machine().lower()
    tune = "-mcpu=native" if machine in ("arm64", "aarch64") else "-march=native"
    return [*FLAGS, tune, f"-DREAL={real}"]


@functools.cache
def _version(compiler: tuple[str, ...]) -> str:
    try:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{compiler[0]} does not run ({type(error).__name__})") from error
    return done.stdout


def _processor() -> str:
    """What -march=native looks at: a folder shared by two machines holds a library for each."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    kept = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.partition(":")[0].strip() in kept}))


def _target(compiler: list[str], real: str) -> Path:
    from platformdirs import user_cache_path

    words = [SOURCE.read_text(), *compiler, _version(tuple(compiler)), *_flags(real), platform.machine(), _processor()]
    name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:24]
    return user_cache_path("disue") / "native" / f"{name}-{real}.so"


def _compile(compiler: list[str], real: str, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=".so")
    except OSError as error:
        raise Unavailable(f"the cache folder {target.parent} cannot be written to ({error.strerror})") from error
    os.close(handle)
    made = Path(name)
    try:
        command = [*compiler, *_flags(real), str(SOURCE), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
            line = next((one for one in said if "error" in one), said[0])
            raise Unavailable(f"{compiler[0]} cannot compile it ({line[:160]})")
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        os.replace(made, target)
        _digest(target).write_text(digest)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{compiler[0]} did not compile it ({type(error).__name__})") from error
    finally:
        made.unlink(missing_ok=True)


def _digest(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _whole(target: Path) -> bool:
    """Whether a library is what was compiled: loading a damaged one can end the process."""
    try:
        return _digest(target).read_text() == hashlib.sha256(target.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _loaded(path: Path) -> ctypes.CDLL | None:
    """The library with its functions declared; None where the file is broken."""
    try:
        found = ctypes.CDLL(str(path))
        pointer, number, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
        found.disue_width.restype = number
        found.disue_plan.restype, found.disue_plan.argtypes = pointer, [number, pointer, number, number]
        found.disue_free.restype, found.disue_free.argtypes = None, [pointer]
        found.disue_gradient.restype = real
        found.disue_gradient.argtypes = [*[pointer] * 5, number, pointer, pointer, number, real, pointer]
        found.disue_step.restype, found.disue_step.argtypes = None, [*[pointer] * 4, number, pointer]
        found.disue_phase.restype = real
        found.disue_phase.argtypes = [*[pointer] * 6, number, pointer, pointer, number, pointer, real, *[pointer] * 3]
    except (OSError, AttributeError):
        return None
    return found
