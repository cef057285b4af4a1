"""Lists are made in parts, between which others are served; what changes meanwhile breaks none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.controller import answers
from taskfc_ext.controller.answers import Answers
from taskfc_ext.controller.endpoint import MAX_STRIKES
from taskfc_ext.core.effects import SendList
from taskfc_ext.core.views import listing
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import Clear, ErrorKind, ListTasks, Ping, Refused, Reply
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.payloads import Outcome
from tests.controller.test_watching import make_ended, make_submitted
from tests.controller.wire import WireClient, WireFarm

N_TASKS = 40


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_ROWS_OF_PART", 4)


@pytest.fixture
def ended(farm: WireFarm) -> WireFarm:
    """A farm of which many tasks have ended, each with a row of its own."""
    for _ in range(N_TASKS):
        farm.alice.submit(b"x", name="many")
        farm.pump()
    return farm


def turn(farm: WireFarm) -> None:
    farm.controller.turn()
    farm.alice.receive()
    farm.bob.receive()


def turns_until_answered(farm: WireFarm, client: WireClient, seq: int) -> int:
    n = 0
    while seq not in client.answers:
        turn(farm)
        n += 1
        assert n < 10 * N_TASKS
    return n


def list_beside_others(farm: WireFarm, **fields: Any) -> object:
    """Return the answer to a list of bob's; alice is answered at once while it is made."""
    listed = farm.bob.ask(ListTasks, **fields)
    turn(farm)
    for _ in range(3):
        ping = farm.alice.ask(Ping)
        assert turns_until_answered(farm, farm.alice, ping) == 1
        assert listed not in farm.bob.answers
    turns_until_answered(farm, farm.bob, listed)
    return farm.bob.answers[listed]


def ids(answer: object) -> list[int]:
    assert isinstance(answer, Reply)
    return [info.taskid if isinstance(info, TaskInfo) else info["taskid"] for info in answer.value]


def test_others_are_answered_while_a_list_is_made(ended: WireFarm) -> None:
    assert ids(list_beside_others(ended, limit=1000)) == list(range(N_TASKS))


def test_a_task_that_ends_between_two_parts_is_listed_as_it_was(ended: WireFarm) -> None:
    ended.alice.submit(b"long")
    ended.pump()
    ids_asked = tuple(range(N_TASKS + 1))
    listing = ended.bob.ask(ListTasks, taskids=ids_asked, limit=1000)
    turn(ended)
    assert listing not in ended.bob.answers
    (worker,) = ended.workers.values()
    worker.end(Outcome.OK, b"done")
    ended.alice.ask(Ping)
    turns_until_answered(ended, ended.bob, listing)
    assert ids(ended.bob.answers[listing]) == list(ids_asked)


def test_the_end_of_a_task_passes_a_list_that_is_not_ready(ended: WireFarm) -> None:
    ended.alice.submit(b"long")
    ended.pump()
    listing = ended.alice.ask(ListTasks, limit=1000)
    turn(ended)
    ended.workers[0].end(Outcome.OK, b"done")
    turn(ended)
    assert ended.alice.ends[N_TASKS] == ("", b"done")
    assert listing not in ended.alice.answers
    turns_until_answered(ended, ended.alice, listing)


def test_the_requests_of_a_client_are_answered_in_their_order(ended: WireFarm) -> None:
    listing = ended.bob.ask(ListTasks, limit=1000)
    ping = ended.bob.ask(Ping)
    last = ended.bob.ask(ListTasks, name="many", limit=3)
    turns_until_answered(ended, ended.bob, last)
    assert list(ended.bob.answers)[-3:] == [listing, ping, last]
    assert ids(ended.bob.answers[last]) == [N_TASKS - 3, N_TASKS - 2, N_TASKS - 1]


@pytest.mark.parametrize("cleared", [range(N_TASKS - 8), range(N_TASKS), range(N_TASKS - 8, N_TASKS)])
def test_tasks_that_are_cleared_between_two_parts_are_left_out(ended: WireFarm, cleared: range) -> None:
    listing = ended.bob.ask(ListTasks, limit=1000)
    turn(ended)
    assert listing not in ended.bob.answers
    ended.alice.ask(Clear, taskids=tuple(cleared))
    turn(ended)
    turns_until_answered(ended, ended.bob, listing)
    left = set(ids(ended.bob.answers[listing]))
    assert left.isdisjoint(cleared) or cleared[0] > 0, "only what was read before may still be there"
    assert left >= set(range(N_TASKS)) - set(cleared)


def test_damage_in_a_later_part_is_reported(ended: WireFarm) -> None:
    listing = ended.bob.ask(ListTasks, limit=1000)
    turn(ended)
    ended.store._db.execute("UPDATE journal SET body = x'c1' WHERE kind = 2 AND first = 0")
    turns_until_answered(ended, ended.bob, listing)
    refusal = ended.bob.answers[listing]
    assert isinstance(refusal, Refused)
    assert (refusal.error, "of tasks 0 to 0" in refusal.message) == (ErrorKind.STORE, True)


def test_a_connection_that_is_lost_or_cut_off_meanwhile_leaves_nothing(ended: WireFarm) -> None:
    ended.bob.ask(ListTasks, limit=1000)
    turn(ended)
    ended.bob.connect()  # the old connection is void
    ended.pump()
    ended.bob.ask(ListTasks, limit=1000)
    turn(ended)
    for _ in range(MAX_STRIKES):
        ended.clients_end.arrive_frame(ended.bob.identity, b"junk")
    ended.controller.turn()
    n_turns = 1
    while ended.controller._timeout_ms() == 0:
        ended.controller.turn()
        n_turns += 1
        assert n_turns < 10 * N_TASKS, "it goes on and on"
    bob = ended.clients.pop(ended.bob.session)
    ended.alice.submit(b"x")
    ended.pump()
    assert N_TASKS in ended.alice.ends, "others are served"
    told = ended.clients_end.take(bob.identity, codec.from_controller)
    assert [type(message) for message in told if not isinstance(message, Reply)] == [Refused] * MAX_STRIKES


def test_the_last_part_of_a_list_is_charged_as_a_part(ended: WireFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    reception, charged = ended.controller._reception, list[bool]()
    charge = reception.turns.charge

    def note(connection: bytes, cost: float, now: float, *, can_rest: bool = True, is_part: bool = False) -> None:
        if connection == ended.bob.identity:
            charged.append(is_part)
        charge(connection, cost, now, can_rest=can_rest, is_part=is_part)

    monkeypatch.setattr(reception.turns, "charge", note)
    listing = ended.bob.ask(ListTasks, limit=1000)
    turn(ended)
    charged.clear()
    turns_until_answered(ended, ended.bob, listing)
    assert set(charged) == {True}
    ended.bob.ask(Ping)
    turn(ended)
    assert not any(charged[-2:])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "other")
    yield store
    store.close()


def test_a_part_ends_with_its_tasks_its_records_or_its_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_BYTES_OF_PART", 3000)
    monkeypatch.setattr(answers, "_ROWS_OF_RECORD", 0)
    value = bytes(1000)
    store.commit([make_submitted(range(12)), *[make_ended(range(i, i + 1), value) for i in range(12)]])
    wanted = SendList(3, (), None, None, None, None, 1000)

    def n_parts() -> int:
        *parts, reply = Answers(store, lambda _: True).complete_for_client(wanted)
        assert ids(reply) == list(range(12))
        assert set(parts) == {None}
        return len(parts)

    assert n_parts() == 4
    monkeypatch.setattr(answers, "_ROWS_OF_PART", 2)
    assert n_parts() == 6
    monkeypatch.setattr(answers, "_ROWS_OF_RECORD", 1)
    assert n_parts() == 12


@pytest.fixture
def small_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_LOOKED_AT", 3)
    monkeypatch.setattr(listing, "_MADE", 2)


@pytest.mark.usefixtures("small_searches")
@pytest.mark.parametrize("name", ["many", "none"])
def test_others_are_answered_while_unfinished_tasks_are_searched(farm: WireFarm, name: str) -> None:
    farm.alice.submit(*[b"long"] * N_TASKS, name="many")
    farm.pump()
    assert ids(list_beside_others(farm, name=name)) == (list(range(N_TASKS)) if name == "many" else [])


@pytest.mark.usefixtures("small_searches")
@pytest.mark.parametrize(
    "fields", [{}, {"taskids": tuple(range(20))}, {"states": ("running", "succeeded", "scheduled")}]
)
@pytest.mark.parametrize("n_turns", range(1, 14))
def test_each_task_is_listed_once_whenever_it_ends_and_others_come(farm: WireFarm, fields: dict, n_turns: int) -> None:
    farm.alice.submit(*[b"long"] * 20)
    farm.pump()
    asked = farm.bob.ask(ListTasks, limit=1000, **fields)
    for _ in range(n_turns):
        turn(farm)
    (worker,) = farm.workers.values()
    worker.end(Outcome.OK, b"done")
    farm.alice.submit(b"long", b"long")
    turns_until_answered(farm, farm.bob, asked)
    assert ids(farm.bob.answers[asked]) == list(range(20))


@pytest.mark.usefixtures("small_searches")
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 1000])
def test_a_search_in_parts_finds_the_newest(farm: WireFarm, limit: int) -> None:
    for i in range(20):
        farm.alice.submit(b"long", name="even" if i % 2 == 0 else "odd")
    farm.pump()
    for fields, wanted in (({}, range(20)), ({"name": "even"}, range(0, 20, 2)), ({"taskids": (3, 9, 5)}, (3, 5, 9))):
        asked = farm.bob.ask(ListTasks, limit=limit, **fields)
        turns_until_answered(farm, farm.bob, asked)
        assert ids(farm.bob.answers[asked]) == list(wanted)[-limit:]
