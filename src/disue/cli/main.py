"""The command `disue` and its exit codes.

0    done
1    a fault of this library, with its trace; a check that did not hold
2    a mistake in the spec, the data or the words given: one sentence on stderr
3    a run that ended early; 130 where Ctrl-C ended it, 143 where SIGTERM did
"""

from __future__ import annotations

import atexit
import errno
import importlib
import os
import signal
import sys
import threading
from typing import Any

import click

from disue._version import __version__
from disue.core.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED, TERMINATED = 130, 143
# name → module of this package, its function, what help says. A command is imported when it is called.
TABLE = {
    "compare": ("study", "compare", "Run a study, tabulate it, report on it."),
    "data": ("data", "data", "Fetch a data set, describe it, deal it out."),
    "demo": ("demo", "demo", "Compare four methods on real data, in less than a minute."),
    "doctor": ("doctor", "doctor", "Say what is installed and whether a small run works."),
    "export": ("run", "export", "Write a trained model as safetensors."),
    "flower": ("flower", "flower", "Run a federation over a real network."),
    "keys": ("keys", "keys", "Make the keys and the roster of a protected federation."),
    "list": ("listing", "list_", "List methods, datasets, models, partitions, parts, tables."),
    "privacy-check": ("privacy", "privacy_check", "Attack the protected protocol, time it, and say what holds."),
    "report": ("run", "report", "One page from one run or several."),
    "reproduce": ("study", "reproduce", "Make a table of the docs again, and say how far off it is."),
    "resume": ("run", "resume", "Go on with a run, bit for bit."),
    "run": ("run", "run", "Run a spec to its end."),
    "tune": ("study", "tune", "Choose a study's learning rates on validation data."),
}


class Commands(click.Group):
    """The group that knows its commands before they are imported, and turns what a user can mend into a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in TABLE:
            return None
        module, name, _ = TABLE[cmd_name]
        found: click.Command = getattr(importlib.import_module(f"disue.cli.{module}"), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, _, said) in TABLE.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            sentence, code = str(error), _code(error)
        except KeyboardInterrupt:
            sentence, code = "broken off by Ctrl-C", INTERRUPTED
        except OSError as error:
            if error.errno not in FULL:
                raise
            where = f"{error.filename}: " if error.filename else ""
            sentence, code = f"{where}cannot be written: the disk is full", 2
        click.echo(sentence, err=True)
        raise click.exceptions.Exit(code)


def _code(error: UserError) -> int:
    from disue.api import Stopped

    if not isinstance(error, Stopped):
        return 2
    return 128 + error.signal if error.signal else 3


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="disue")
def cli() -> None:
    """Clustered federated learning with a distilled universal expert.

    Start with `disue demo`. Every key of a spec is in docs/spec.md and in `disue list … --keys`.
    """


def entry() -> None:
    """The console script."""
    try:
        cli(prog_name="disue")
    except SystemExit as leaving:
        if leaving.code in (INTERRUPTED, TERMINATED):
            _leave(int(leaving.code))
        raise


def _leave(code: int) -> None:
    """Ends with the exit code that was meant, whatever still happens to an interpreter that shuts down after Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it has been heard; another one would change the exit code
        signal.signal(number, signal.SIG_IGN)
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does before its exit functions
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


__all__ = ["cli", "entry"]
