"""`disue keys`: key pairs, rosters signed and pinned, and what is refused."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from disue.secure import keyring
from disue.secure.wire.roster import load

Disue = Callable[..., Result]
NAMES = ["anna", "bert", "müller"]


@pytest.fixture
def folder(disue: Disue, tmp_path: Path) -> Path:
    """An authority, three clients, and the roster that it signed."""
    assert disue("keys", "authority", "--out", tmp_path).exit_code == 0
    for name in NAMES:
        found = disue("keys", "identity", name, "--out", tmp_path)
        assert found.exit_code == 0 and found.output.split() == [f"{tmp_path}/{name}.key", f"{tmp_path}/{name}.pub"]
    done = signed(disue, tmp_path)
    assert done.exit_code == 0 and "version 1, 3 clients, signed" in done.output
    return tmp_path


def signed(disue: Disue, folder: Path, *words: str) -> Result:
    return disue(
        "keys", "roster", *(folder / f"{name}.pub" for name in NAMES),
        "--authority", folder / "authority.key", "--out", folder / "roster", *words,
    )  # fmt: skip


def test_a_signed_roster_is_one_that_clients_take(disue: Disue, folder: Path) -> None:
    _, authority = keyring.public_key(folder / "authority.pub")
    roster = load((folder / "roster").read_bytes(), authority=authority)
    assert sorted(map(keyring.name_of, roster.ids)) == sorted(NAMES)
    for name in NAMES:
        private, (_, public) = keyring.private_key(folder / f"{name}.key"), keyring.public_key(folder / f"{name}.pub")
        assert private.public_key().public_bytes_raw() == public
        assert roster.keys[roster.ids.index(keyring.client_id(name))] == public
    found = disue("keys", "check", folder / "roster", "--authority", folder / "authority.pub")
    assert found.exit_code == 0 and all(name in found.output for name in NAMES)
    assert f"version 1, epoch 0, hash {roster.hash.hex()}" in found.output


def test_private_keys_are_their_owners_alone_and_never_overwritten(disue: Disue, folder: Path) -> None:
    assert stat.S_IMODE((folder / "anna.key").stat().st_mode) == 0o600
    before = (folder / "anna.key").read_bytes()
    assert disue("keys", "identity", "anna", "--out", folder).exit_code == 2
    assert (folder / "anna.key").read_bytes() == before


def test_a_roster_of_another_authority_is_refused(disue: Disue, folder: Path) -> None:
    disue("keys", "authority", "other", "--out", folder)
    found = disue("keys", "check", folder / "roster", "--authority", folder / "other.pub")
    assert "BadSignature" in found.stderr


def test_a_pinned_roster_is_checked_by_its_hash(disue: Disue, folder: Path) -> None:
    done = disue("keys", "roster", *(folder / f"{name}.pub" for name in NAMES), "--out", folder / "pinned")
    first, pin = done.output.splitlines()
    assert "to be pinned" in first
    assert disue("keys", "check", folder / "pinned", "--pin", pin).exit_code == 0
    assert "WrongRoster" in disue("keys", "check", folder / "pinned", "--pin", "00" * 32).stderr
    assert "BadSignature" in disue("keys", "check", folder / "roster", "--pin", pin).stderr


def test_a_new_roster_has_a_higher_version(disue: Disue, folder: Path) -> None:
    assert "needs a higher one, got 1" in signed(disue, folder).stderr
    assert signed(disue, folder, "--version", "2", "--epoch", "1").exit_code == 0
    assert keyring.body_of(folder / "roster").epoch == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["identity", "a name"], "without spaces"),
        (["identity", "seventeen-letters"], "1 to 16 bytes"),
        (["identity", "../up"], "becomes a file name"),
        (["roster", "anna.pub", "bert.pub"], "at least 3 clients, got 2"),
        (["roster", "anna.pub", "bert.pub", "anna.pub"], "is in the roster already"),
        (["roster", "anna.pub", "bert.pub", "none.pub"], "none.pub: cannot be read"),
        (["roster", "anna.pub", "bert.pub", "anna.key"], "a name and 64 hex digits"),
        (["roster", "anna.pub", "bert.pub", "müller.pub", "--authority", "anna.pub"], "no Ed25519 private key"),
        (["roster", "anna.pub", "bert.pub", "müller.pub", "--version", "0"], "version ≥ 1"),
        (["check", "roster"], "one of them"),
        (["check", "roster", "--pin", "xyz"], "64 hex digits"),
        (["check", "anna.pub", "--pin", "00" * 32], "anna.pub: refused: Malformed"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    disue: Disue, folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    found = disue("keys", *words)
    assert found.exit_code == 2 and said in found.stderr and "Traceback" not in found.stderr
