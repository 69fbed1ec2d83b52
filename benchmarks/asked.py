"""The command line that the programs here share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def parser(about: str | None) -> argparse.ArgumentParser:
    """With --quick and --json."""
    out = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--quick", action="store_true", help="less of everything: a look, no figures to quote")
    out.add_argument("--json", type=Path, help="write what was found here as well")
    return out


def parse(about: str | None) -> argparse.Namespace:
    return parser(about).parse_args()


def write(given: argparse.Namespace, found: Any) -> None:
    """What was found, as JSON, where that was asked for; a file is there whole or not at all."""
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        aside = given.json.with_name(given.json.name + ".part")
        aside.write_text(json.dumps(found, indent=1) + "\n")
        aside.replace(given.json)
