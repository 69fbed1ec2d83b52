"""The command `disue` and its exit codes.

0    done
1    a fault of this library, with its trace
2    a mistake in the spec, the data or the words given: one sentence on stderr
3    a run that ended early; 130 where Ctrl-C ended it
"""

from __future__ import annotations

import errno
from typing import Any

import click

from disue._version import __version__
from disue.cli import data, demo, doctor, listing, run
from disue.core.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


class Commands(click.Group):
    """The group that turns what a user can mend into a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            sentence, code = str(error), _code(error)
        except KeyboardInterrupt:
            sentence, code = "broken off by Ctrl-C", 130
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
    return 130 if "Ctrl-C" in str(error) else 3


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="disue")
def cli() -> None:
    """Clustered federated learning with a distilled universal expert.

    Start with `disue demo`. Every key of a spec is in docs/spec.md and in `disue list … --keys`.
    """


for command in (
    demo.demo,
    run.run,
    run.resume,
    run.report,
    run.export,
    run.compare,
    listing.list_,
    data.data,
    doctor.doctor,
):
    cli.add_command(command)


def entry() -> None:
    """The console script."""
    cli(prog_name="disue")


__all__ = ["cli", "entry"]
