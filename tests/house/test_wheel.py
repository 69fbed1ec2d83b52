"""What is shipped: the wheel is built, put into an empty folder, and used from there."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
USE = """
import sys
import disue
assert disue.__file__.startswith(sys.argv[1]), disue.__file__
done = disue.run({"rounds": 2, "partition": {"clients": 10}, "cohort": {"share": 0.5}, "local": {"epochs": 1}},
                 out="run")
assert done["complete"] and "served_global" in done["metrics"]
disue.load("run").average()
"""


def call(*words: str, **more: object) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return str(done.stdout)


def shipped() -> list[str]:
    """What a wheel is built from, without the build folders and caches that happen to lie about."""
    files = [HERE / name for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE")]
    files += [path for path in (HERE / "experiments").rglob("*") if path.is_file()]
    files += [path for path in (HERE / "src" / "disue").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return [str(path.relative_to(HERE)) for path in files]


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(tmp_path: Path) -> None:
    """Dependencies come from the running environment; the package itself comes from the wheel alone."""
    source, apart = tmp_path / "source", tmp_path / "apart"
    names = shipped()
    for name in names:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((HERE / name).read_bytes())
    call(sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(source))
    (wheel,) = (tmp_path / "dist").glob("disue-*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    assert "disue/py.typed" in inside
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert not [name for name in inside if name.startswith(("tests", "docs", "examples"))]
    package_files = {name.removeprefix("src/") for name in names if name.startswith("src/disue/")}
    assert package_files <= set(inside), package_files - set(inside)
    assert {f"disue/{name}" for name in names if name.startswith("experiments/")} <= set(inside)
    call(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(apart), str(wheel))
    environment = {**os.environ, "PYTHONPATH": str(apart)}
    call(sys.executable, "-c", USE, str(apart), cwd=tmp_path, env=environment)
    assert "disue" in call(sys.executable, "-m", "disue", "--help", cwd=tmp_path, env=environment)
    assert "first_results" in call(sys.executable, "-m", "disue", "list", "tables", cwd=tmp_path, env=environment)
    assert (apart / "bin" / "disue").exists()
