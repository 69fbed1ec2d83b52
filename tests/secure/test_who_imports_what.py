"""What a process of the server holds, and that nobody else loads cryptography: each in a fresh interpreter."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import disue.secure.server
import disue.secure.wire


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_server_holds_nothing_that_derives_a_sketch() -> None:
    names = [
        f"{package.__name__}.{module.name}"
        for package in (disue.secure.server, disue.secure.wire)
        for module in pkgutil.iter_modules(package.__path__)
    ]
    assert {"disue.secure.server.machine", "disue.secure.wire.masks"} <= set(names)
    found = loaded(f"import {', '.join(names)}")
    assert not [name for name in found if name.startswith(("disue.secure.client", "disue.secure.check"))]
    assert "torch" not in found and "disue.engine" not in found


def test_without_protection_cryptography_is_not_loaded() -> None:
    found = loaded("import disue, disue.api, disue.runs.spec, disue.methods, disue.cli.main, disue.cli.privacy")
    assert not {name for name in found if name.split(".")[0] == "cryptography" or name.startswith("disue.secure")}
    assert "cryptography" in loaded("import disue.secure.wire.boxes")


def test_the_names_of_the_streams_stand_with_the_client_alone() -> None:
    """What turns a seed into a sketch is not merely unused by the server: its modules do not have it."""
    code = "import disue.secure.server.uploads, disue.secure.wire.hashes as h; print(*(f'HAS-{n}' for n in vars(h)))"
    found = loaded(code)
    assert "HAS-hkdf" in found and not found & {"HAS-round_seed", "HAS-stream_key", "HAS-confirmation"}
