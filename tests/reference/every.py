"""Runs every comparison that docs/methods quotes, and says where a line has changed.

    python tests/reference/every.py FOLDER [--write]

FOLDER holds the checkouts under the names that the pages use (`git clone https://github.com/OWNER/NAME`), each at the
commit that its lines name. With --write the pages get the new lines.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]
COMMAND = re.compile(r"^python (tests/reference/\w+\.py) (.+)$", re.M)
LINE = re.compile(r"^([\w-]+: reference \S+)@\w+ (\S+: [^:]+): .*$", re.M)


def quoted() -> dict[str, list[str]]:
    """Script → names of the checkouts that it is given, over all pages."""
    out: dict[str, list[str]] = {}
    for page in sorted((HERE / "docs" / "methods").glob("*.md")):
        if page.stem != "README":
            for script, names in COMMAND.findall(page.read_text()):
                out.setdefault(script, []).extend(name for name in names.split() if name not in out.get(script, []))
    return out


def main(folder: Path, write: bool) -> int:
    """0 where every quoted line is printed again as it is."""
    printed: dict[tuple[str, str], str] = {}
    for script, names in quoted().items():
        missing = [name for name in names if not (folder / name).is_dir()]
        if missing:
            print(f"{script}: no checkout of {', '.join(missing)} in {folder}")
        there = [str(folder / name) for name in names if name not in missing]
        done = subprocess.run([sys.executable, str(HERE / script), *there], capture_output=True, text=True)
        if done.returncode:
            print(f"{script}: failed\n{done.stderr[-1000:]}")
        for line in done.stdout.splitlines():
            found = LINE.match(line)
            if found:
                printed[found[1], found[2]] = line
    changed = 0
    for page in sorted((HERE / "docs" / "methods").glob("*.md")):
        text = page.read_text()
        new = LINE.sub(lambda found: printed.get((found[1], found[2]), found[0]), text)
        for old, now in zip(text.splitlines(), new.splitlines(), strict=True):
            if old != now:
                changed += 1
                print(f"{page.name}\n  - {old}\n  + {now}")
        if write and new != text:
            page.write_text(new)
    print(f"{len(printed)} comparisons, {changed} lines of the pages differ")
    return int(bool(changed) and not write)


if __name__ == "__main__":
    arguments = [arg for arg in sys.argv[1:] if arg != "--write"]
    if len(arguments) != 1:
        sys.exit("usage: python tests/reference/every.py FOLDER [--write]")
    raise SystemExit(main(Path(arguments[0]).resolve(), "--write" in sys.argv))
