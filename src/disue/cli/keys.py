"""`disue keys`: the operator's offline tool for a protected federation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from disue.cli.privacy import needed
from disue.cli.run import FILE, FOLDER
from disue.cli.tables import shown
from disue.core.errors import UserError

if TYPE_CHECKING:
    from disue.secure.wire.roster import Roster

OUT = click.option("--out", type=FOLDER, default=Path(), help="The folder of the two files.  [default: here]")


@click.group("keys")
def keys() -> None:
    """Make the keys of a protected federation, and the roster of its members.

    Run it where the server is not: whoever has the authority's key decides who belongs to the federation.
    """
    needed("keys")


@keys.command()
@click.argument("name", default="authority")
@OUT
def authority(name: str, out: Path) -> None:
    """Make the key pair that signs rosters: NAME.key, to be kept, and NAME.pub, for every client."""
    _made(name, out)


@keys.command()
@click.argument("name")
@OUT
def identity(name: str, out: Path) -> None:
    """Make a client's key pair: NAME.key, which stays with the client, and NAME.pub, for the roster."""
    _made(name, out)


def _made(name: str, out: Path) -> None:
    from disue.secure.keyring import generate

    for path in generate(name, out):
        click.echo(path)


@keys.command()
@click.argument("clients", type=FILE, nargs=-1, required=True, metavar="NAME.pub…")
@click.option("--authority", type=FILE, help="The private key to sign with; without it the roster is to be pinned.")
@click.option("--version", type=int, default=1, show_default=True, help="Higher than that of every roster before.")
@click.option("--epoch", type=int, default=0, show_default=True)
@click.option("--out", type=FILE, default=Path("roster"), show_default=True, help="May hold an older version.")
def roster(clients: tuple[Path, ...], authority: Path | None, version: int, epoch: int, out: Path) -> None:
    """Write the roster of these clients, and say its hash."""
    from disue.secure import keyring

    made = keyring.roster(clients, version, epoch)
    keyring.save(out, made, keyring.private_key(authority) if authority else None)
    click.echo(f"{out}: version {version}, {len(made)} clients, {'signed' if authority else 'to be pinned'}")
    click.echo(made.hash.hex())


@keys.command()
@click.argument("file", type=FILE, metavar="ROSTER")
@click.option("--authority", type=FILE, help="The authority's NAME.pub.")
@click.option("--pin", metavar="HASH", help="The hash of an unsigned roster, as `disue keys roster` said it.")
def check(file: Path, authority: Path | None, pin: str | None) -> None:
    """Check a roster as a client would, and list its members."""
    from disue.secure import keyring

    if (authority is None) == (pin is None):
        raise UserError("a roster is checked by --authority or by --pin, one of them", key="authority")
    pinned = None if pin is None else keyring.hash_of(pin)
    public = None if authority is None else keyring.public_key(authority)[1]
    found: Roster = keyring.checked(file, public, pinned)
    named = zip(found.ids, found.keys, strict=True)
    shown([(str(at), keyring.name_of(name), key.hex()) for at, (name, key) in enumerate(named)], ("#", "client", "key"))
    click.echo(f"version {found.version}, epoch {found.epoch}, hash {found.hash.hex()}")
