"""The folder of a Flower app: what `flwr run` takes, made of a spec."""

from __future__ import annotations

import re
from pathlib import Path

from disue._version import __version__
from disue.core.errors import UserError, unwritable
from disue.flower.serve import checked
from disue.runs.spec import Spec

APP = "disue_app"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")  # `flwr build` and `flwr run` take no other folder

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0.0"
description = "{method}, federated with disue"
license = "Apache-2.0"
dependencies = ["disue[flower]=={version}"]

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "disue"

[tool.flwr.app.components]
serverapp = "{app}:server"
clientapp = "{app}:client"

[tool.flwr.app.config]
out = "{out}"
"""

MODULE = '''"""Server and sites of this federation; everything about it stands in spec.toml."""

from pathlib import Path

from disue.flower import client_app, server_app

SPEC = Path(__file__).with_name("spec.toml")
server = server_app(SPEC)
client = client_app(SPEC)
'''

README = """# {name}

{method} over a real network, by disue {version} and Flower. `spec.toml` says what is run; sites can read it before they
agree. Every machine needs `pip install "disue[flower]=={version}"`; what certificates, keys and switches are for:
docs/deploy.md of disue.

At the server, started once. Relative paths of `out` and of the spec count from the folder that it is started in:

    flower-superlink --host 0.0.0.0 --port 8000 --ssl-ca-certfile ca.crt --ssl-certfile server.crt \\
      --ssl-keyfile server.key --database superlink.db --enable-supernode-auth \\
      --disable-runtime-dependency-installation

Whoever runs it names the server in `config.toml` of Flower's home (`~/.flwr`, or the variable FLWR_HOME):

    [superlink.{name}]
    address = "SERVER:8000"
    root-certificates = "/path/of/ca.crt"

and lets every site's key in: `flwr supernode register SITE.pub {name}`. At every site:

    flower-supernode --superlink SERVER:8000 --root-certificates ca.crt --auth-supernode-private-key SITE \\
      --node-config 'client="SITE" data="/path/of/its.npz" store="/path/for/its/memory"'

To run, or to go on with a run whose server was stopped, in this folder:

    flwr run . {name} --stream -c 'out="/path/of/the/run"'
"""


def make(folder: Path, spec: Spec) -> list[Path]:
    """Writes the folder; nothing is overwritten. The spec is checked as a network takes it."""
    spec = checked(spec)
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise UserError(
            f'the folder is named "{name}": Flower takes up to 32 letters, digits and hyphens, a letter first',
            key="folder",
            found=name,
        )
    method = str(spec.method["name"])
    words = {"name": name, "method": method, "version": __version__, "app": APP, "out": f"runs/{name}"}
    files = {
        "pyproject.toml": PROJECT.format(**words),
        f"{APP}.py": MODULE,
        "spec.toml": spec.toml(),
        "README.md": README.format(**words),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [file for file in files if (folder / file).exists()]
        if there:
            raise UserError(f"{folder / there[0]} exists: nothing is overwritten; give another folder", key="folder")
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error
    return [folder / file for file in files]
