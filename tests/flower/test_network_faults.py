"""What may go wrong between a server and its sites: the round goes on or waits, nothing is lost, the folder says it.

Every fault is held against an undisturbed run in which the same sites are away in the same rounds: the same bits, at
the server and in the memories at the sites.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults_bed import SKETCH, Bed, Killed, bed, changed, told, with_array
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode

from disue.core.errors import UserError
from disue.flower import nodes as transport
from disue.flower.messages import Body, unpack

ONE, TWO = 10_007, 20_011  # clients of the conformance scenario
KEEPS = ["scaffold", "fedper", "disue"]


def absent(name: str, folder: Path, round: int, *clients: int, **given: Any) -> Bed:
    """The run in which these clients are away in this round."""
    it = bed(name, folder, **given)
    it.serve(at={round - 1: it.away(*clients), round: it.back})
    return it


def on(it: Bed, round: int, clients: tuple[int, ...], reply: Callable[[Message], list[Message]]) -> None:
    """What these clients answer to every message of this round but scores."""

    def fault(node: int, message: Message) -> list[Message] | None:
        kind, head = told(message)
        return reply(message) if (head.round, head.client in clients, kind == "score") == (round, True, False) else None

    it.grid.fault = fault


def failed(message: Message, code: int, reason: str) -> Message:
    return Message(Error(code, reason), reply_to=message)


# -- single exchanges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEEPS)
def test_a_node_that_dies_in_the_middle_of_a_round_is_absent_from_it(name: str, tmp_path: Path) -> None:
    """It has trained and written its memory, and its answer never comes: a late answer leaves no more trace."""
    it = bed(name, tmp_path / "a")

    def reply(message: Message) -> list[Message]:
        it.grid.deliver(message)
        it.grid.restart(it.node(ONE))
        return []

    on(it, 2, (ONE,), reply)
    it.serve()
    assert it.column("answered") == [0, 8, 7, 8]
    assert f"network: {ONE} did not answer in time: absent" in it.events()
    assert it.left() == absent(name, tmp_path / "b", 2, ONE).left()


def test_an_answer_too_late_leaves_no_trace_when_the_server_dies_after_it(tmp_path: Path) -> None:
    """The site holds a memory of the round that was not counted. The server's next death must not bring it back, nor
    take the one before it away."""
    it = bed("scaffold", tmp_path / "a", rounds=4)
    calls = {"train": 0}

    def fault(node: int, message: Message) -> list[Message] | None:
        kind, head = told(message)
        if kind != "train" or head.client != ONE:
            return None
        if head.round == 2:
            it.grid.deliver(message)
            return []
        if head.round == 3:
            calls["train"] += 1
            if calls["train"] == 1:
                it.grid.deliver(message)
                raise Killed
        return None

    it.grid.fault = fault
    assert it.serve_until_killed()
    assert not it.store(ONE).holds(1)  # of the answer that came too late: rounds of orders count from 0
    assert not it.serve_until_killed()
    assert it.left() == absent("scaffold", tmp_path / "b", 2, ONE, rounds=4).left()


def test_a_second_answer_is_not_counted(tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a")

    def reply(message: Message) -> list[Message]:
        first = it.grid.deliver(message)
        second = changed(it.grid.deliver(message), with_array("end", lambda end: end + 1))
        return [first, second]

    on(it, 2, (ONE,), reply)
    it.serve()
    assert f"network: {ONE} answered twice: the first answer counts" in it.events()
    undisturbed = bed("scaffold", tmp_path / "b")
    undisturbed.serve()
    assert it.left() == undisturbed.left()


def test_asked_twice_in_one_exchange_a_site_trains_once(tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a")

    def reply(message: Message) -> list[Message]:
        it.grid.deliver(message)  # this answer is lost on the way, and the message is sent again
        return [it.grid.deliver(message)]

    on(it, 2, (ONE, TWO), reply)
    it.serve()
    undisturbed = bed("scaffold", tmp_path / "b")
    undisturbed.serve()
    assert it.left() == undisturbed.left()
    assert it.events() == undisturbed.events()


DAMAGE: dict[str, tuple[Callable[[Body], Body], str]] = {
    "not finite": (with_array("end", lambda v: v * np.float32("nan")), f"client {ONE} left out of round 1"),
    "too short": (with_array("end", lambda v: v[:-1]), "end has shape"),
    "one number": (with_array("end", lambda v: v[:1]), "end has shape (1,)"),
    "nothing": (lambda body: Body("train"), f"the answer of {ONE} is damaged and left out (KeyError"),
    "words": (lambda body: Body("train", {**body.about, "steps": "many"}, body.arrays), "ValueError"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_an_answer_that_is_none_is_left_out_and_named(what: str, tmp_path: Path) -> None:
    change, sentence = DAMAGE[what]
    it = bed("scaffold", tmp_path / "a")
    on(it, 2, (ONE,), lambda message: [changed(it.grid.deliver(message), change)])
    it.serve()
    assert it.column("answered") == [0, 8, 7, 8]
    assert [text for text in it.events() if sentence in text and str(ONE) in text], it.events()
    assert it.left() == absent("scaffold", tmp_path / "b", 2, ONE).left()


def test_moments_and_scores_that_are_none_are_left_out(tmp_path: Path) -> None:
    it = bed("disue", tmp_path / "a")

    def fault(node: int, message: Message) -> list[Message] | None:
        kind, head = told(message)
        if head.client != ONE or kind not in ("measure", "score"):
            return None
        if kind == "measure":
            return [changed(it.grid.deliver(message), with_array("sums", lambda v: v * np.inf))]
        return [changed(it.grid.deliver(message), lambda body: Body("score", {"columns": {"local": "high"}}))]

    it.grid.fault = fault
    it.serve()
    damaged = [text for text in it.events() if f"the answer of {ONE} is damaged" in text]
    assert any("could not convert" in text or "invalid" in text for text in damaged), it.events()
    assert any("a number is not finite" in text for text in damaged)
    assert it.column("answered") == [0, 8, 8, 8]  # their updates count
    assert all(np.isfinite(value).all() for value in it.checkpoint()[1].values())


@pytest.mark.parametrize("code", [ErrorCode.CLIENT_APP_RAISED_EXCEPTION, ErrorCode.NODE_UNAVAILABLE])
def test_an_error_of_flowers_is_an_absence_with_its_reason(code: int, tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a")
    on(it, 2, (ONE,), lambda message: [failed(message, code, "the disk burns")])
    it.serve()
    assert it.column("answered") == [0, 8, 7, 8]
    assert f"network: {ONE} failed: the disk burns" in it.events()
    assert it.left() == absent("scaffold", tmp_path / "b", 2, ONE).left()


def test_an_exception_at_a_site_stops_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from disue.flower.visit import Visit

    train = Visit.train

    def broken(visit: Visit, body: Body) -> Body:
        if visit.head.client == ONE and visit.head.round == 2:
            raise RuntimeError("no memory left")
        return train(visit, body)

    monkeypatch.setattr(Visit, "train", broken)
    it = bed("scaffold", tmp_path / "a")
    it.serve()
    assert f"network: {ONE} failed: RuntimeError: no memory left" in it.events()
    assert it.left() == absent("scaffold", tmp_path / "b", 2, ONE).left()


# -- sites that may not -------------------------------------------------------------------------------------


def other(it: Bed, who: int, **change: Any) -> None:
    """This site's configuration is another from here on."""
    context = it.grid.contexts[it.node(who)]
    context.node_config = {**context.node_config, **change}


def test_a_site_whose_data_changed_shape_is_refused_by_its_models_fingerprint(tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a")

    def change() -> None:
        path = tmp_path / "a" / f"site-{ONE}.npz"
        held = dict(np.load(path))
        held["x_train"] = np.pad(held["x_train"], [(0, 0), (0, 0), (0, 1), (0, 1)])
        held["x_test"] = np.pad(held["x_test"], [(0, 0), (0, 0), (0, 1), (0, 1)])
        np.savez(path, **held)

    it.serve(at={1: change})
    assert [t for t in it.events() if f"{ONE} refused: site {ONE} makes another model of its data" in t], it.events()
    assert it.column("answered") == [0, 8, 7, 7]


def test_a_site_of_another_spec_or_version_is_refused_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bed("scaffold", tmp_path / "a")
    agreed = tmp_path / "agreed.toml"
    agreed.write_text(it.spec.toml().replace("rounds = 3", "rounds = 300"))
    other(it, ONE, spec=str(agreed))
    it.serve()
    assert [t for t in it.events() if t.startswith(f"network: a node takes no part: site {ONE} takes part in runs of")]
    assert it.column("answered") == [0, 7, 7, 7]

    versions = bed("scaffold", tmp_path / "b")
    from disue.flower import node

    deliver = versions.grid.deliver

    def old(message: Message) -> Message:
        monkeypatch.setattr(node, "__version__", "0.0.1" if message.metadata.dst_node_id == versions.node(TWO) else V)
        return deliver(message)

    V = node.__version__
    monkeypatch.setattr(versions.grid, "deliver", old)
    versions.serve()
    sentence = f"site {TWO} has disue 0.0.1, the server has {V}: install the same"
    assert f"network: a node takes no part: {sentence}" in versions.events()
    assert versions.column("answered") == [0, 7, 7, 7]


def test_all_sites_refused_is_one_sentence_with_their_reason(tmp_path: Path) -> None:
    it = bed("fedavg", tmp_path / "a", few=3)
    agreed = tmp_path / "agreed.toml"
    agreed.write_text(it.spec.toml().replace("rounds = 3", "rounds = 300"))
    for client in [int(c.node_config["client"]) for c in it.grid.contexts.values()]:
        other(it, client, spec=str(agreed))
    with pytest.raises(UserError, match=r"0 had come \(none\); a node takes no part: site .* takes part in runs of"):
        it.serve()


def test_a_second_node_of_the_same_name_takes_no_part(tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a")
    twin = it.grid.contexts[it.node(ONE)]
    config = {**twin.node_config, "store": str(tmp_path / "twin")}
    it.grid.contexts[1] = type(twin)(1, 1, config, type(twin.state)(), {}, 1)
    it.serve()
    assert f"network: a second node says that it is {ONE}; the first one stays" in it.events()
    undisturbed = bed("scaffold", tmp_path / "b")
    undisturbed.serve()
    assert it.state()["round"] == 3
    # the node of the smallest number speaks first, so here it is the twin whose answers count
    assert it.state() == undisturbed.state()


def test_a_node_that_became_another_client_is_not_taken_for_the_first(tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a")
    it.serve(at={1: lambda: other(it, ONE, client="777")})
    assert [t for t in it.events() if f"a message for {ONE} came to site 777" in t]
    assert it.column("answered") == [0, 8, 7, 7]


CONFIGS = [
    ({"client": ""}, "client is the site's stable name"),
    ({"client": "a name with spaces"}, "client is the site's stable name"),
    ({"data": ""}, "data is missing"),
    ({"data": "nowhere.npz"}, "nowhere.npz"),
    ({"data": "no.such.module:data"}, "cannot be imported"),
    ({"data": "disue.flower:check"}, "disue.flower:check failed: TypeError"),
    ({"dta": "x.npz"}, 'unknown name "dta"'),
    ({"spec": "nowhere.toml"}, "nowhere.toml"),
]


@pytest.mark.parametrize(("change", "sentence"), CONFIGS)
def test_a_bad_configuration_is_one_sentence(change: dict[str, str], sentence: str, tmp_path: Path) -> None:
    it = bed("fedavg", tmp_path / "a", few=3, rounds=1)
    other(it, int(next(iter(it.grid.contexts.values())).node_config["client"]), **change)
    it.serve()
    (said,) = [t for t in it.events() if t.startswith("network: a node takes no part: ")]
    assert sentence in said
    assert "\n" not in said
    assert it.column("answered") == [0, 2]


# -- what a site keeps --------------------------------------------------------------------------------------


def test_a_store_that_is_gone_is_said_and_the_site_begins_anew(tmp_path: Path) -> None:
    import shutil

    it = bed("scaffold", tmp_path / "a")
    it.serve(at={1: lambda: shutil.rmtree(it.store(ONE).folder)})
    assert f"network: {ONE} has lost its memory of the run with its store, and goes on without" in it.events()
    assert it.column("answered") == [0, 8, 8, 8]
    undisturbed = bed("scaffold", tmp_path / "b")
    undisturbed.serve()
    assert undisturbed.events() == [t for t in it.events() if str(ONE) not in t]
    assert it.state() != undisturbed.state()


def test_vectors_that_a_site_lost_in_an_exchange_are_sent_again(tmp_path: Path) -> None:
    """The second question of a round names vectors that came with the first."""
    it = bed("disue", tmp_path / "a")
    asked: list[str] = []

    def fault(node: int, message: Message) -> list[Message] | None:
        kind, head = told(message)
        if kind == "measure" and head.client == ONE:
            asked.append(kind)
            if len(asked) == 1:
                (it.store(ONE).folder / "last.safetensors").unlink()
        return None

    it.grid.fault = fault
    it.serve()
    undisturbed = bed("disue", tmp_path / "b")
    undisturbed.serve()
    assert it.state() == undisturbed.state()


@pytest.mark.parametrize("file", ["last.safetensors", "memory-00000.safetensors"])
def test_a_damaged_store_is_one_sentence_and_an_absence(file: str, tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a")
    it.serve(at={1: lambda: (it.store(ONE).folder / file).write_bytes(b"torn")})
    (said,) = {t for t in it.events() if "is damaged" in t and "refused" in t}
    assert file in said
    assert "\n" not in said
    assert it.column("answered") == [0, 8, 7, 7]


# -- too few answer -----------------------------------------------------------------------------------------


def test_below_the_minimum_a_run_stops_and_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    it = bed("scaffold", tmp_path / "a", network={"answers": 0.75})
    everyone = [int(c.node_config["client"]) for c in it.grid.contexts.values()]
    with pytest.raises(UserError, match=r"network: 5 of 8 sites answered, 6 must; .*Nothing is lost"):
        it.serve(at={1: it.away(*everyone[:3])})
    it.back()
    it.serve()
    undisturbed = bed("scaffold", tmp_path / "b", network={"answers": 0.75})
    undisturbed.serve()
    assert it.left() == undisturbed.left()
    assert "network: the server was started again, and goes on after round 1" in it.events()


def test_refusals_are_no_answers(tmp_path: Path) -> None:
    it = bed("fedavg", tmp_path / "a", few=4, network={"answers": 0.75})

    def rename() -> None:
        for client in (10_007, 20_011):
            other(it, client, client="777")

    with pytest.raises(UserError, match="network: 2 of 4 sites answered, 3 must"):
        it.serve(at={1: rename})
    assert len([t for t in it.events() if "refused: a message for" in t]) == 2


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "POLL", 0.005)
    monkeypatch.setattr(transport, "LOOK", 0.01)
    monkeypatch.setattr(transport, "GREET", 0.02)


HURRY = {"clients": 4, "gather": 5.0, "deadline": 0.4, "patience": 20.0, "answers": 0.75}


def test_all_nodes_gone_and_back_the_round_waits_for_them(tmp_path: Path, hurried: None) -> None:
    """The server looks for them, greets them, asks them again."""
    it = bed("scaffold", tmp_path / "a", few=4, network=HURRY)
    everyone = [int(c.node_config["client"]) for c in it.grid.contexts.values()]
    looks = {"away": 0}
    ids = it.grid.get_node_ids

    def counting() -> list[int]:
        looks["away"] += bool(it.grid.away)
        if looks["away"] == 60:
            it.back()
        return ids()

    it.grid.get_node_ids = counting  # type: ignore[method-assign]
    it.serve(local=False, at={1: it.away(*everyone)})
    assert looks["away"] == 60
    assert [t for t in it.events() if t.startswith("network: 0 of 4 answered in time, 3 must: waiting for 10007")]
    assert it.column("answered") == [0, 4, 4, 4]
    undisturbed = bed("scaffold", tmp_path / "b", few=4, network=HURRY)
    undisturbed.serve()
    assert it.left() == undisturbed.left()


def test_a_node_that_lost_the_message_is_asked_again_before_the_deadline(tmp_path: Path, hurried: None) -> None:
    """Killed and started again at once, it is the same node to Flower, and nobody says that the message is gone."""
    it = bed("scaffold", tmp_path / "a", few=4, network=HURRY)
    seen: list[str] = []

    def fault(node: int, message: Message) -> list[Message] | None:
        kind, head = told(message)
        if (kind, head.round, head.client) == ("train", 2, ONE):
            seen.append(head.exchange)
            return [] if len(seen) == 1 else None
        return None

    it.grid.fault = fault
    it.serve(local=False)
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert it.column("answered") == [0, 4, 4, 4]
    undisturbed = bed("scaffold", tmp_path / "b", few=4, network=HURRY)
    undisturbed.serve()
    assert it.left() == undisturbed.left()


def test_late_nodes_are_absent_above_the_minimum(tmp_path: Path, hurried: None) -> None:
    it = bed("scaffold", tmp_path / "a", few=4, network=HURRY)

    def late(message: Message) -> list[Message]:
        it.grid.deliver(message)
        return []

    on(it, 2, (ONE,), late)
    it.serve(local=False)
    assert f"network: {ONE} did not answer in time: absent" in it.events()
    assert it.column("answered") == [0, 4, 3, 4]
    assert it.left() == absent("scaffold", tmp_path / "b", 2, ONE, few=4, network=HURRY).left()


# -- the server dies ----------------------------------------------------------------------------------------


def killed_at(it: Bed, at: int, *, delivered: bool) -> None:
    """The server is killed at this message, once: before it is sent, or when the node has done its work."""
    count = {"messages": 0}

    def fault(node: int, message: Message) -> list[Message] | None:
        count["messages"] += 1
        if count["messages"] == at:
            if delivered:
                it.grid.deliver(message)
            raise Killed
        return None

    it.grid.fault = fault


DIES = [  # every so many messages
    ("scaffold", {}, 5),
    ("disue", {}, 13),
    ("ifca", {}, 13),
    ("fedsoft", {}, 13),
    ("fedper", {}, 13),
    ("fedavg", {"privacy": SKETCH}, 19),
    pytest.param("disue", {"privacy": SKETCH, "few": 6}, 61, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "changes", "step"), DIES)
def test_a_server_killed_at_any_message_ends_with_the_same_bits(
    name: str, changes: dict[str, Any], step: int, tmp_path: Path
) -> None:
    given = {"few": 4, "rounds": 2, **changes}
    undisturbed = bed(name, tmp_path / "undisturbed", **given)
    undisturbed.serve()
    wanted = undisturbed.left()
    at, killed = step, True
    while killed:
        it = bed(name, tmp_path / str(at), **given)
        killed_at(it, at, delivered=at % 2 == 1)
        killed = it.serve_until_killed()
        if killed:
            it.serve()
            assert it.left() == wanted, f"killed at message {at}"
        at += step
    assert at > 20


@pytest.mark.slow
def test_a_server_killed_again_and_again_gets_to_the_end(tmp_path: Path) -> None:
    undisturbed = bed("disue", tmp_path / "undisturbed", few=6, rounds=2, privacy=SKETCH)
    undisturbed.serve()
    it = bed("disue", tmp_path / "it", few=6, rounds=2, privacy=SKETCH)
    for at in (25, 61, 37):
        killed_at(it, at, delivered=True)
        if not it.serve_until_killed():
            break
    it.grid.fault = None
    it.serve()
    assert it.left() == undisturbed.left()


EXIT = """
import os, sys
from pathlib import Path
sys.path[:0] = {path!r}
from faults_bed import bed
it = bed("scaffold", Path(sys.argv[1]), few=4, rounds=2)
deliver, count = it.grid.deliver, []
def dies(message):
    count.append(message)
    if len(count) == 21:
        deliver(message)
        os._exit(9)
    return deliver(message)
it.grid.deliver = dies
it.serve()
"""


def test_a_server_whose_process_ends_at_once_ends_with_the_same_bits(tmp_path: Path) -> None:
    """No `finally` runs in it, no file is closed."""
    code = EXIT.format(path=[str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "it")], check=False)
    assert done.returncode == 9
    it, undisturbed = (bed("scaffold", tmp_path / name, few=4, rounds=2) for name in ("it", "undisturbed"))
    assert it.checkpoint()[0]["round"] == 1
    it.serve()
    undisturbed.serve()
    assert it.left() == undisturbed.left()


# -- the protected protocol ---------------------------------------------------------------------------------


def protected(folder: Path) -> Bed:
    return bed("fedavg", folder, few=5, rounds=2, privacy=SKETCH)


def at_messages(it: Bed, round: int, act: Callable[[int, Message], list[Message] | None]) -> None:
    """What happens at the messages of the protocol to ONE in this round, by their number from 0."""
    count = {"messages": -1}

    def fault(node: int, message: Message) -> list[Message] | None:
        kind, head = told(message)
        if (kind, head.round, head.client) != ("protocol", round, ONE):
            return None
        count["messages"] += 1
        return act(count["messages"], message)

    it.grid.fault = fault


def test_protected_a_node_that_restarts_in_a_round_is_out_of_that_round_alone(tmp_path: Path) -> None:
    it = protected(tmp_path / "a")

    def act(at: int, message: Message) -> None:
        if at == 1:
            it.grid.restart(it.node(ONE))

    at_messages(it, 1, act)
    it.serve()
    assert f"network: {ONE} lost the keys of the round with its node, and is out of it" in it.events()
    beside = protected(tmp_path / "b")
    beside.serve(at={0: beside.away(ONE), 1: beside.back})
    assert it.state() == beside.state()


def test_protected_a_message_sent_twice_is_answered_with_the_same_bytes(tmp_path: Path) -> None:
    """As where a node is slow and is asked again at half of the deadline, or its answer is lost."""
    it = protected(tmp_path / "a")
    same: list[bool] = []

    def act(at: int, message: Message) -> list[Message]:
        first, second = it.grid.deliver(message), it.grid.deliver(message)
        one, other = unpack(first.content), unpack(second.content)
        same.append(
            {n: v.tobytes() for n, v in one.arrays.items()} == {n: v.tobytes() for n, v in other.arrays.items()}
        )
        return [second]

    at_messages(it, 2, act)
    it.serve()
    beside = protected(tmp_path / "b")
    beside.serve()
    assert len(same) > 3
    assert all(same)
    assert it.left() == beside.left()
    assert it.events() == beside.events()


def test_protected_a_site_answers_no_round_twice(tmp_path: Path) -> None:
    """Whatever else it has lost: only protocol.json is left, and a node of its own that knows nothing."""
    it = protected(tmp_path / "a")
    opened: list[Message] = []

    def act(at: int, message: Message) -> None:
        if at == 0:
            opened.append(message)

    at_messages(it, 1, act)
    it.serve()
    store = it.store(ONE)
    for path in store.folder.glob("*.safetensors"):
        path.unlink()
    it.grid.restart(it.node(ONE))
    again = unpack(it.grid.deliver(opened[0]).content)
    assert any("is not after the last one that was answered" in text for text in again.about["refusals"])
    (store.folder / "said.safetensors").unlink()
    (store.folder / "protocol.json").write_text("torn")
    third = unpack(it.grid.deliver(opened[0]).content)
    assert "without it the site takes no part" in third.about["refused"]
