"""What a user can mistype: one sentence on stderr that names the key, exit code 2."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from disue import api
from disue.core.errors import UserError

Disue = Callable[..., Result]

BAD = {  # name → (TOML, what the sentence holds)
    "unknown table": ("[partitoin]\n", ["partitoin: unknown key", 'Did you mean "partition"?']),
    "unknown top key": ("round = 3\n", ["round: unknown key", 'Did you mean "rounds"?']),
    "mistyped key": ("[local]\nepcohs = 2\n", ["local.epcohs", 'Did you mean "epochs"?']),
    "mistyped fixed key": ("[evaluate]\nevry = 2\n", ["evaluate.evry", 'Did you mean "every"?']),
    "mistyped slot key": (
        '[method]\nname = "disue"\n[method.expert]\nfamliy = "moments"\n',
        ["method.expert.famliy", 'Did you mean "family"?'],
    ),
    "mistyped method key": ('[method]\nname = "disue"\nshaer = 1.0\n', ["method.shaer", 'Did you mean "share"?']),
    "mistyped model key": ('[model]\nname = "mlp"\nhiden = [3]\n', ["model.hiden", 'Did you mean "hidden"?']),
    "text for a number": ('rounds = "ten"\n', ["rounds must be integer ≥ 1", "'ten'"]),
    "number for text": ("[data]\nname = 3\n", ["data.name must be text, got 3"]),
    "boolean for a number": ("[local]\nlr = true\n", ["local.lr must be number, got True"]),
    "value for a table": ("local = 3\n", ["local must be a table, got 3"]),
    "value for a slot": ("[method]\nexpert = 3\n", ["method.expert must be a table, got 3"]),
    "no rounds": ("rounds = 0\n", ["rounds must be integer ≥ 1, got 0"]),
    "share": ("[cohort]\nshare = 1.5\n", ["cohort.share must be number > 0 and ≤ 1, got 1.5"]),
    "alpha": ("[partition]\nalpha = 0.0\n", ["partition.alpha must be number > 0, got 0.0"]),
    "not a number": ("[partition]\nalpha = nan\n", ["partition.alpha must be number > 0"]),
    "learning rate": ("[local]\nlr = -1.0\n", ["local.lr must be > 0, got -1.0"]),
    "groups": ('[method]\nname = "clustered"\nk = 0\n', ["method.k must be ≥ 1, got 0"]),
    "slot range": (
        '[method]\nname = "disue"\n[method.aggregate]\nmomentum = 1.5\n',
        ["method.aggregate.momentum must lie in [0, 1), got 1.5"],
    ),
    "slot word": (
        '[method]\nname = "disue"\n[method.grouping]\nlinkage = "wards"\n',
        ['method.grouping.linkage must be "average"', '"ward", got "wards"'],
    ),
    "model width": ('[model]\nname = "tiny"\nwidth = 0\n', ["model.width must be integer ≥ 1, got 0"]),
    "model word": (
        '[model]\nname = "resnet8"\nnorm = "layer"\n',
        ['model.norm must be "group" | "batch", got "layer"'],
    ),
    "augmentation": ('[data]\naugment = ["flp"]\n', ["data.augment", 'got "flp"', 'Did you mean "flip"?']),
    "choice": ('[engine]\nbackend = "leen"\n', ["engine.backend", 'got "leen"', 'Did you mean "lean"?']),
    "method": ('[method]\nname = "disu"\n', ['method.name: unknown name "disu"', 'Did you mean "disue"?']),
    "model": ('[model]\nname = "lenett"\n', ['model.name: unknown name "lenett"', 'Did you mean "lenet"?']),
    "partition": ('[partition]\nkind = "dirichelt"\n', ["partition.kind", 'Did you mean "dirichlet"?']),
    "data": ('[data]\nname = "cifar11"\n', ['data.name: unknown name "cifar11"', 'Did you mean "cifar10"?']),
    "kind of a slot": (
        '[method.grouping]\nkind = "lnkage"\n',
        ['method.grouping.kind: unknown name "lnkage"', 'Did you mean "linkage"?'],
    ),
    "kind of the local part": ('[method.local]\nkind = "erms"\n', ["method.local.kind", 'Did you mean "erm"?']),
    "family": (
        '[method.expert]\nkind = "distil"\nfamily = "moment"\n',
        ['unknown name "moment"', 'Did you mean "moments"?'],
    ),
    "key of another kind": ('[partition]\nkind = "iid"\nalpha = 0.1\n', ["partition.alpha: unknown key"]),
    "share and size": ("[cohort]\nshare = 0.1\nsize = 3\n", ["cohort.size", "both given"]),
    "name and path": ('[data]\nname = "digits"\npath = "x.npz"\n', ["data.path", "both given"]),
    "key missing": ('[method.grouping]\nkind = "fixed"\n', ["method.grouping.groups is missing"]),
    "no TOML": ("rounds = = 3\n", ["is not TOML"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_spec_is_one_sentence(name: str, disue: Disue, tmp_path: Path) -> None:
    text, words = BAD[name]
    (tmp_path / "s.toml").write_text(text)
    found = disue("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert found.exit_code == 2, found.output
    assert found.stdout == ""
    for word in words:
        assert word in found.stderr
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read(disue: Disue, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe\x00")
    for path, words in ((tmp_path / "none.toml", "cannot be read"), (tmp_path / "s.toml", "is not text (UTF-8)")):
        found = disue("run", path, "--out", tmp_path / "out")
        assert found.exit_code == 2
        assert str(path) in found.stderr and words in found.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "local.lr"), '--set takes key=value, got "local.lr"'),
        (("--set", "=3"), '--set takes key=value, got "=3"'),
        (("--set", "local.lr=fast"), "local.lr must be number, got 'fast'"),
        (("--set", "rounds.x=3"), "rounds.x: rounds is a value, not a table"),
        (("--set", "local.bacth=3"), 'Did you mean "batch"?'),
        (("--seed", "-1"), "seed must be integer ≥ 0, got -1"),
        (("--seed", "one"), "'one' is not a valid integer"),
        (("--nothing",), "No such option"),
    ],
)
def test_bad_words_after_a_good_spec(words: tuple[str, ...], said: str, disue: Disue, spec: Path) -> None:
    found = disue("run", spec, "--out", spec.parent / "out", *words)
    assert found.exit_code == 2
    assert said in found.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resume", "{dir}"), "holds no run"),
        (("report", "{dir}"), "{dir}"),
        (("export", "{dir}", "--what", "expert", "--to", "{dir}/m"), "holds no run"),
        (("data", "info", "cifar"), 'unknown name "cifar"'),
        (("data", "info", "{dir}/none.npz"), "there is nothing at"),
        (("data", "fetch", "cifar"), 'unknown name "cifar"'),
        (("data", "partition", "digits", "--kind", "iid", "--set", "alpha=1", "--to", "{dir}/p"), "partition.alpha"),
        (("data", "partition", "digits", "--clients", "9999", "--to", "{dir}/p"), "partition.clients"),
        (("compare", "{dir}/none.toml", "--out", "{dir}/o"), "cannot be read"),
        (("list", "things"), "'things' is not one of"),
    ],
)
def test_bad_words_of_other_commands(words: tuple[str, ...], said: str, disue: Disue, tmp_path: Path) -> None:
    found = disue(*(word.replace("{dir}", str(tmp_path)) for word in words))
    assert found.exit_code == 2, found.output
    assert said.replace("{dir}", str(tmp_path)) in found.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("a sentence", key="k"), 2, "a sentence"),
        (api.Stopped("stopped by Ctrl-C after round 1 of 2", signal=2), 130, "stopped by Ctrl-C"),
        (api.Stopped("stopped by SIGTERM after round 1 of 2", signal=15), 143, "stopped by SIGTERM"),
        (api.Stopped("stopped on request after round 1 of 2", key="stopped"), 3, "stopped on request"),
        (OSError(errno.ENOSPC, "No space left on device", "x.csv"), 2, "x.csv: cannot be written: the disk is full"),
        (KeyboardInterrupt(), 130, "broken off"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, said: str, disue: Disue, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(api, "run", fails)
    found = disue("run", spec, "--out", spec.parent / "out")
    assert found.exit_code == code
    assert said in found.stderr


def test_a_fault_of_the_library_keeps_its_trace(disue: Disue, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(api, "run", fails)
    found = disue("run", spec, "--out", spec.parent / "out")
    assert isinstance(found.exception, ZeroDivisionError)
    assert found.exit_code == 1
