"""Keys and rosters as files, made and checked by operators, far from the server.

    NAME.key   private, PEM (PKCS #8, not encrypted), readable by its owner alone
    NAME.pub   public, one line: the name and 64 hex digits
    a roster   the ROSTER message, signed by an authority, or unsigned and pinned by its hash

A client's id is its name in UTF-8, at most 16 bytes, filled up with zeros; a name that is a whole number is that number
in 16 bytes, the highest first, so that clients stand in a roster in the order of their numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from disue.core.errors import UserError, unwritable
from disue.secure.wire.codec import decode
from disue.secure.wire.messages import RosterBody
from disue.secure.wire.names import Refusal
from disue.secure.wire.roster import FEWEST, Roster, load

ID = 16


def client_id(name: str) -> bytes:
    """16 bytes."""
    found = name.encode("utf-8")
    if not 1 <= len(found) <= ID or not name.isprintable() or " " in name:
        raise UserError(f"a name is 1 to {ID} bytes of UTF-8 without spaces, got {name!r}", key="name", found=name)
    if name.isdecimal() and name.isascii() and str(int(name)) == name:
        return int(name).to_bytes(ID, "big")
    return found.ljust(ID, b"\0")


def name_of(client: bytes) -> str:
    """For people to read."""
    if not client[0]:  # text begins with a character
        return str(int.from_bytes(client, "big"))
    return client.rstrip(b"\0").decode("utf-8", "replace")


def generate(name: str, folder: Path) -> tuple[Path, Path]:
    """A new key pair: NAME.key and NAME.pub in `folder`. Nothing is overwritten."""
    client_id(name)
    if Path(name).name != name or name.startswith("."):
        raise UserError(f"a name becomes a file name, got {name!r}", key="name", found=name)
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    for path in (private, public):
        if path.exists():
            raise UserError(f"{path} exists: keys are not overwritten", key="name", found=name)
    folder.mkdir(parents=True, exist_ok=True)
    _create(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _create(public, f"{name} {key.public_key().public_bytes_raw().hex()}\n".encode(), 0o644)
    return private, public


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise unwritable(path, error) from error


def private_key(path: Path) -> Ed25519PrivateKey:
    """From NAME.key."""
    try:
        key = load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path}: no Ed25519 private key as `disue keys` writes them", key=str(path))
    return key


def public_key(path: Path) -> tuple[str, bytes]:
    """Name and key from NAME.pub."""
    words = _read(path).decode("utf-8", "replace").split()
    try:
        name, key = words
        found = bytes.fromhex(key)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise UserError(f"{path}: expected one line with a name and 64 hex digits", key=str(path))
    return name, found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}", key=str(path)) from error


def roster(clients: Sequence[Path], version: int, epoch: int = 0) -> Roster:
    """Of the clients whose public keys are in these files."""
    keys: dict[bytes, bytes] = {}
    for path in clients:
        name, key = public_key(path)
        client = client_id(name)
        if client in keys or key in keys.values():
            raise UserError(f"{path}: its name or key is in the roster already", key=str(path), found=name)
        keys[client] = key
    if len(keys) < FEWEST:
        raise UserError(f"a roster has at least {FEWEST} clients, got {len(keys)}", key="clients", found=len(keys))
    if version < 1 or epoch < 0:
        raise UserError(f"version ≥ 1 and epoch ≥ 0, got {version} and {epoch}", key="version", found=version)
    return Roster.of(keys, version, epoch)


def save(path: Path, made: Roster, authority: Ed25519PrivateKey | None = None) -> None:
    """The ROSTER message; whoever replaces a roster raises its version, so an older one may be overwritten."""
    if path.exists():
        before = body_of(path)
        if before.version >= made.version:
            raise UserError(
                f"{path} holds version {before.version}: a new roster needs a higher one, got {made.version}",
                key="version",
                found=made.version,
            )
    try:
        path.write_bytes(made.message(authority))
    except OSError as error:
        raise unwritable(path, error) from error


def hash_of(pin: str) -> bytes:
    """32 bytes from the hex digits that an operator compared."""
    try:
        found = bytes.fromhex(pin)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise UserError(f"a pin has 64 hex digits, got {pin!r}", key="pin", found=pin)
    return found


def body_of(path: Path) -> RosterBody:
    """What a roster file says, whoever signed it."""
    try:
        found = decode(_read(path)).body
    except Refusal as refusal:
        raise UserError(f"{path}: no roster: {refusal.name}: {refusal}", key=str(path)) from refusal
    if not isinstance(found, RosterBody):
        raise UserError(f"{path}: no roster", key=str(path))
    return found


def unchecked(path: Path) -> Roster:
    """A roster as the server has it: its hash is what clients compare, who signed it is theirs to check."""
    body = body_of(path)
    return Roster(body.version, body.epoch, body.ids, body.keys)


def checked(path: Path, authority: bytes | None = None, pinned: bytes | None = None) -> Roster:
    """A roster from its file, as a client would take it."""
    try:
        return load(_read(path), authority=authority, pinned=pinned)
    except Refusal as refusal:
        raise UserError(f"{path}: refused: {refusal.name}: {refusal}", key=str(path)) from refusal
