"""What a run is: TOML tables, checked whole before anything is loaded, and written back resolved.

spec = Spec.read("experiments/cifar10_dir01.toml", overrides={"local.lr": 0.1})
spec.toml()          # the resolved spec, itself a spec
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from disue.core.errors import UserError, nearest, unknown
from disue.data import NAMES
from disue.runs import assemble, attack, privacy, track
from disue.runs.keys import Known, bind, fields_of, key
from disue.runs.privacy import Privacy


@dataclass(frozen=True)
class Data:
    """[data]: which set, and what is done to it."""

    name: str = key("digits", "a name of `disue list datasets`")
    path: str = key("", "your own arrays instead: an .npz with x_train, y_train, x_test, y_test")
    mix: str = key("", "a second set of images, for [partition] kind = mixed")
    share_labels: bool = key(False, "with mix: label c of both sets is one class, instead of two")
    augment: tuple[str, ...] = key((), "training images are changed at random", choices=("flip", "crop"))
    public: str = key("", "another set whose training inputs the server owns, for methods that need some")
    public_share: float = key(
        0.0,
        "share of each client's training data that is taken from it and given to the server, without labels; 0: a "
        "tenth where the method needs public inputs and data.public names none",
        low=0,
        high=0.5,
    )
    classes: int = key(0, "how many labels there are; 0: one more than the largest", low=0)
    mean: tuple[float, ...] = key(
        (), "constants of normalisation, per channel or feature (after /255 for bytes); none: of the training data"
    )
    std: tuple[float, ...] = key((), "the deviations that belong to data.mean", above=0)


@dataclass(frozen=True)
class Network:
    """[network]: a federation over a real network (docs/deploy.md). A simulation takes no notice of it."""

    clients: int = key(0, "sites that a run waits for before it begins; 0: those that have come by `gather`", low=0)
    gather: float = key(60.0, "seconds that the server waits for sites before round 1", low=0)
    deadline: float = key(600.0, "seconds that a site has to answer an exchange", above=0)
    answers: float = key(
        0.5,
        "share of the sites asked that must answer; below it the server waits for sites to come back",
        above=0,
        high=1,
    )
    patience: float = key(3600.0, "seconds that it waits for them, then stops in a state from which it resumes", low=0)
    encoding: str = key(
        "float32",
        "how updates go up: as they are, or in 16 or 8 bits, what that loses being added to a site's next update",
        choices=("float32", "float16", "int8"),
    )
    scores: bool = key(
        True, "sites report their own accuracies; false, and in protected runs always: they keep them to themselves"
    )
    test: str = key("", "an .npz with x_test, y_test that the server owns: what global accuracies are measured on")
    roster: str = key("", "the roster of a protected run, as `disue keys` makes it, at the server")


@dataclass(frozen=True)
class Cohort:
    """[cohort]: who is asked, and who answers."""

    share: float = key(0.1, "share of the clients asked each round", above=0, high=1)
    size: int = key(0, "number of clients asked each round, instead of a share; 0: by share", low=0)
    kind: str = key(
        "clients",
        "clients are drawn one by one, or lots: sets that stand for the whole run and come together, so that sums over "
        "many rounds tell no more than sums over lots",
        choices=("clients", "lots"),
    )
    lot: int = key(
        5, "clients of a lot, with kind = lots; lots do not cross groups that are formed before round 1", low=1
    )
    dropout: float = key(0.0, "probability that an asked client does not answer", low=0, high=0.99)
    deadline: float = key(0.0, "in units of the median client's time; slower clients miss it; 0: none", low=0)
    speed_sigma: float = key(0.5, "spread of the clients' speeds (log-normal), with a deadline", low=0, high=5)
    newcomers: float = key(0.0, "share of the clients kept out of training, met at the end", low=0, high=0.9)


@dataclass(frozen=True)
class Evaluate:
    """[evaluate]: when, on what, and which thresholds are timed. The last ten rounds always are."""

    every: int = key(10, "rounds between evaluations", low=1)
    on: str = key(
        "test",
        "test data, or a tenth of each client's training data kept aside (for every choice you make)",
        choices=("test", "validation"),
    )
    local: str = key(
        "proportional",
        "a client's own test: re-weighted to its labels, a quarter of its data held out, or both",
        choices=("proportional", "split", "both", "natural", "global"),
    )
    targets: tuple[float, ...] = key((), "accuracies (%) whose rounds and bytes are reported", low=0, high=100)


@dataclass(frozen=True)
class EngineTable:
    """[engine]: what trains the clients."""

    backend: str = key(
        "auto",
        "what trains: one client at a time (lean), many at once (stacked), compiled (native), the readable "
        "reference (loop), or chosen once and recorded in env.json (auto)",
        choices=("auto", "lean", "stacked", "native", "loop"),
    )
    workers: int = key(
        0, "processes that train, the same bits whatever the number; 0: one per core where the run is long", low=0
    )
    block: int = key(0, "clients trained at once where they are stacked; 0: chosen", low=0)
    device: str = key("cpu", "cpu, cuda or cuda:N")
    memory: int = key(
        1024,
        "MiB of the clients' own memories (SCAFFOLD's variates, own models) held in RAM; where they need more, all of "
        "them lie on the disk, in the run's folder; the same bits",
        low=0,
    )
    precision: str = key(
        "float32",
        "bf16: passes in bfloat16 where the device has it, weights and steps in float32; another result",
        choices=("float32", "bf16", "bf16-emulated"),
    )


@dataclass(frozen=True)
class CheckpointTable:
    """[checkpoint]: how much a killed run loses."""

    every: int = key(10, "rounds between checkpoints", low=1)


@dataclass(frozen=True)
class Track:
    """[track]: where the rows of rounds.csv go besides the run's folder. No result depends on it."""

    to: tuple[str, ...] = key((), '"tensorboard", "mlflow", "wandb", or a class of your own as package.module:Class')
    project: str = key("disue", "the experiment of MLflow, the project of Weights & Biases")
    uri: str = key("", "MLflow's server; else MLFLOW_TRACKING_URI, else files in the run's folder")


TABLES: dict[str, type] = {
    "data": Data,
    "cohort": Cohort,
    "evaluate": Evaluate,
    "engine": EngineTable,
    "checkpoint": CheckpointTable,
    "track": Track,
    "privacy": Privacy,
    "network": Network,
}
TOP = {
    "seed": Known("seed", int, 0, "everything random follows from it", {"low": 0}),
    "rounds": Known("rounds", int, 60, "communication rounds", {"low": 1}),
}
OPEN = ("partition", "model", "local", "method", "attack")
SLOTS = assemble.SLOTS
# Two keys of which a spec gives one: an override of the one replaces the other.
EITHER = {
    "cohort.share": "cohort.size",
    "cohort.size": "cohort.share",
    "data.name": "data.path",
    "data.path": "data.name",
}


@dataclass(frozen=True)
class Spec:
    """A checked spec. Open tables (`partition`, `model`, `local`, `method`, `attack`) hold what was given, bound."""

    seed: int = 0
    rounds: int = 60
    data: Data = Data()
    partition: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cohort: Cohort = Cohort()
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    local: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    method: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluate: Evaluate = Evaluate()
    engine: EngineTable = EngineTable()
    checkpoint: CheckpointTable = CheckpointTable()
    track: Track = Track()
    privacy: Privacy = Privacy()
    network: Network = Network()
    attack: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @staticmethod
    def read(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Spec:
        """From a TOML file."""
        return Spec.of(read_toml(path), overrides)

    @staticmethod
    def of(tables: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Spec:
        """From tables as TOML gives them. `overrides`: dotted key → value."""
        given = _plain(tables)
        override(given, overrides or {})
        given.pop("study", None)
        known = [*TOP, *TABLES, *OPEN]
        for name in given:
            if name not in known:
                guess = nearest(name, known)
                hint = f' Did you mean "{guess}"?' if guess else ""
                raise UserError(f"{name}: unknown key. Known keys: {', '.join(known)}.{hint}", key=name)
            if name not in TOP and not isinstance(given[name], Mapping):
                raise UserError(f"{name} must be a table, got {given[name]!r}", key=name)
        values: dict[str, Any] = bind("", TOP, {k: given[k] for k in TOP if k in given})
        for name, table in TABLES.items():
            values[name] = table(**bind(name, fields_of(table), given.get(name, {})))
        values["partition"] = assemble.check_partition(given.get("partition", {}))
        values["model"] = assemble.check_model(given.get("model", {}))
        values["attack"] = attack.checked(given.get("attack", {}))
        method, local = assemble.check_method(given.get("method", {}), given.get("local", {}))
        spec = Spec(**values, method=method, local=local)
        built = spec.build()  # the parts' own checks of ranges and combinations
        more = privacy.presupposed(spec.privacy, given, built)
        if more:
            return Spec.of(given, more)
        privacy.check(spec.privacy, built)
        attack.check(spec.attack, built, spec.privacy)
        if spec.data.path and "name" not in given.get("data", {}):
            spec = dataclasses.replace(spec, data=dataclasses.replace(spec.data, name=""))
        if spec.cohort.size and "share" in given.get("cohort", {}):
            raise UserError("cohort.size and cohort.share were both given; give one of them", key="cohort.size")
        if spec.data.path and spec.data.name:
            raise UserError("data.name and data.path were both given; give one of them", key="data.path")
        track.check(spec.track.to)
        if spec.data.name and spec.data.name not in NAMES:
            raise unknown("data.name", spec.data.name, NAMES)
        for name in ("mix", "public"):
            if getattr(spec.data, name) not in ("", *NAMES):
                raise unknown(f"data.{name}", getattr(spec.data, name), NAMES)
        if len(spec.data.mean) != len(spec.data.std):
            raise UserError(
                f"data.mean has {len(spec.data.mean)} numbers and data.std {len(spec.data.std)}: give both",
                key="data.mean",
            )
        if spec.data.public and spec.data.public_share:
            raise UserError("data.public and data.public_share were both given; give one of them", key="data.public")
        return spec

    def build(self) -> assemble.AnyMethod:
        """The method with its parts. Loads no torch."""
        return assemble.build_method(self.method, self.local)

    def cohort_size(self, clients: int) -> int:
        """How many of `clients` (newcomers excluded) are asked each round."""
        size = self.cohort.size or max(1, round(self.cohort.share * clients))
        if size > clients:
            raise UserError(f"cohort.size is {size}, but there are {clients} clients to ask", key="cohort.size")
        return int(size)

    def tables(self) -> dict[str, Any]:
        """Everything, with defaults filled in, as plain tables."""
        out: dict[str, Any] = {"seed": self.seed, "rounds": self.rounds}
        for name in ("data", "partition", "cohort", "model", "local", "method", *list(TABLES)[2:], "attack"):
            value = getattr(self, name)
            plain = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else dict(value)  # type: ignore[arg-type]
            if name == "cohort":
                plain.pop("share" if plain["size"] else "size")
            off = (name == "privacy" and not value.on) or (name == "network" and value == Network())
            if off or (name == "attack" and not value):
                continue
            if name == "data":
                plain.pop("name" if plain["path"] else "path")
                if not plain["mix"]:
                    del plain["mix"], plain["share_labels"]
                for word in ("public", "public_share", "classes", "mean", "std"):
                    if not plain[word]:
                        del plain[word]
            out[name] = _plain(plain)
        return out

    def toml(self) -> str:
        """The resolved spec as TOML, itself a spec."""
        document = tomlkit.document()
        for name, value in self.tables().items():
            document[name] = value
        return tomlkit.dumps(document)


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, or one sentence about why they cannot be read."""
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}", key="spec") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text (UTF-8), so it is no spec", key="spec") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not TOML: {error}", key="spec") from error


def put(tables: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets `a.b.c` in nested tables, making tables on the way."""
    *way, last = dotted.split(".")
    at = tables
    for word in way:
        at = at.setdefault(word, {})
        if not isinstance(at, dict):
            raise UserError(f"{dotted}: {word} is a value, not a table", key=dotted)
    at[last] = value


def flat(tables: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys."""
    out: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            out.update(flat(value, f"{before}{name}."))
        else:
            out[f"{before}{name}"] = value
    return out


def override(tables: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Sets dotted keys; of two keys of which a spec gives one, the new one replaces the other."""
    for dotted, value in values.items():
        put(tables, dotted, value)
        where, _, twin = EITHER.get(dotted, "").partition(".")
        if twin and f"{where}.{twin}" not in values:
            tables[where].pop(twin, None)


def assignment(text: str) -> tuple[str, Any]:
    """`key=value` of `--set`: the value in TOML, or plain text where that does not parse."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise UserError(f'--set takes key=value, got "{text}"', key="set")
    try:
        return name.strip(), tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def _plain(value: Any) -> Any:
    """Nested dicts, lists and scalars, without None and without tomlkit's wrappers."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return value.unwrap() if hasattr(value, "unwrap") else value


__all__ = ["Spec", "assignment", "put", "read_toml", "unknown"]
