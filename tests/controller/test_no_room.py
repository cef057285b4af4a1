"""A store without room: at every commit of every script, and what clients are told meanwhile.

The store fails as a full disk does: nothing is written, and the same commit may succeed later.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from taskfc_ext.controller import room as controller_room
from taskfc_ext.core.effects import ClientSend, Effects, SendSnapshot
from taskfc_ext.core.journal import baseline
from taskfc_ext.drivers import room
from taskfc_ext.drivers.payload_files import LARGE, PayloadFiles
from taskfc_ext.drivers.uploads import LargePayloads
from taskfc_ext.errors import StorageFull
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.client_messages import Ended, ErrorKind, Reply
from taskfc_ext.protocol.records import Held, Leased, Submitted
from taskfc_ext.protocol.snapshots import Counts, QueueDelta
from taskfc_ext.protocol.spec import Kind
from tests.controller.crash_scripts import SCRIPTS, check
from tests.controller.test_watching import EMPTY
from tests.controller.wire import CrashingStore, WireFarm

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullStore(CrashingStore):
    """A store that fails `n_failures` times from the `full_at`th commit on, at the end of the transaction."""

    full_at = 0
    n_failures = 0
    n_tries = 0

    def commit(self, records) -> None:
        self.n_tries += 1
        super().commit(records)

    def _append(self, record, **options) -> None:
        super()._append(record, **options)
        if 0 < self.full_at <= self.n_tries and self.n_failures:
            self.n_failures -= 1
            raise FULL


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Try again in the next turn; write baselines in short scripts; keep a small reserve."""
    monkeypatch.setattr(baseline, "AFTER_CLEAR", 3)
    monkeypatch.setattr(controller_room, "TRY_AGAIN", 0.0)
    monkeypatch.setattr(room, "LOW", 4096)
    monkeypatch.setattr(room, "RESERVE", 4096)


def make_farm(path, full_at=0, n_failures=0, **options) -> WireFarm:
    def make_store(path, crash_at, when):
        store = FullStore(path, crash_at, when)
        store.full_at, store.n_failures = full_at, n_failures
        return store

    return WireFarm(path, make_store=make_store, **options)


def check_promises(farm: WireFarm) -> None:
    """Check that all that clients and workers were told is in the store."""
    ended = {taskid for record in farm.committed if isinstance(record, Ended) for taskid in record.ids}
    submitted = sum(len(record.bodies) for record in farm.committed if isinstance(record, Submitted))
    leases = sum(len(record.ids) for record in farm.committed if isinstance(record, Leased))
    for client in farm.clients.values():
        client.receive()
        assert client.ends.keys() <= ended, "an end was told too early"
        assert all(taskid < submitted for taskid in client.mine), "an id was told too early"
    for worker in list(farm.workers.values()):
        worker.work()
        assert worker.started <= leases, "a task was started too early"


def pump_until_room(farm: WireFarm) -> None:
    farm.pump()
    while farm.controller._room.text and not farm.ended:
        if farm.controller._room.is_stuck:
            check_promises(farm)
        farm.controller.turn()
        farm.ended = farm.controller._ended
        farm.pump()


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(("n_failures", "has_reserve"), [(1, True), (1, False), (4, True)])
def test_a_script_goes_on_when_there_is_room_again(tmp_path, name, n_failures, has_reserve):
    script = SCRIPTS[name]
    undisturbed = make_farm(tmp_path / "undisturbed")
    for step in script.steps:
        step(undisturbed)
        undisturbed.pump()
    undisturbed.close()
    for full_at in range(3, undisturbed.n_commits + 1):
        farm = make_farm(tmp_path / f"{full_at}", full_at, n_failures)
        if has_reserve:
            assert farm.store.reserve.make()
        try:
            for step in script.steps:
                step(farm)
                pump_until_room(farm)
            check(script, farm)
            assert farm.n_crashes == 0
        finally:
            farm.close()


class Disk:
    """The bytes that the store seems to have free."""

    def __init__(self, monkeypatch) -> None:
        self.free = 10**9
        monkeypatch.setattr(room.Reserve, "free_beside", lambda reserve: self.free)
        monkeypatch.setattr(room, "free_bytes", lambda folder: self.free)
        monkeypatch.setattr(controller_room, "LOOK_EVERY", 0.0)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def farm(tmp_path, disk):
    farm = make_farm(tmp_path / "journal")
    yield farm
    farm.close()


def full_forever(farm: WireFarm) -> None:
    """Let no commit succeed from now on."""
    farm.store.full_at, farm.store.n_failures = farm.store.n_tries + 1, 10**9
    farm.store.reserve.give_back()


def test_a_submission_that_has_no_room_is_refused_and_a_small_one_is_accepted(farm, disk):
    disk.free = 7 * controller_room.LOW
    farm.alice.submit(bytes(60_000), *[bytes(60_000)] * (disk.free // 100_000))
    farm.pump()
    answer = farm.alice.answers[farm.alice.seq]
    assert answer.error is ErrorKind.STORAGE_FULL
    assert "has no room for" in answer.message
    assert not farm.store.n_tries - farm.store.n_commits
    pump_until_room(farm)
    farm.alice.submit(b"a")
    farm.pump()
    assert farm.alice.ends == {0: ("", b"value of a")}


def test_results_and_deaths_wait_until_there_is_room(farm, disk):
    farm.alice.submit(b"long", b"long", b"next")
    farm.pump()
    disk.free = 0
    farm.controller.turn()
    first, second = farm.workers.values()
    first.end(0, b"done")
    farm.kill(second)
    for _ in range(3):
        farm.controller.turn()
    assert farm.alice.ends == {}
    assert len(first.unacked) == 1
    assert farm.scheduler.farm.counts["running"] == 2
    disk.free = 10**9
    pump_until_room(farm)
    assert farm.alice.ends == {0: ("", b"done"), 2: ("", b"value of next")}
    assert farm.starts[1] == 2


def test_a_large_result_without_room_for_its_file_waits(farm, monkeypatch):
    farm.alice.submit(b"long")
    farm.pump()

    def fail(files, body):
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(PayloadFiles, "write", fail)
        next(worker for worker in farm.workers.values() if worker.running).end(0, bytes(LARGE))
        farm.controller.turn()
        farm.controller.turn()
        assert farm.alice.ends == {}
    pump_until_room(farm)
    farm.pump()
    assert farm.alice.ends == {0: ("", bytes(LARGE))}


def test_a_large_argument_without_room_for_its_file_is_refused(farm, monkeypatch):
    def fail(files, body):
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(PayloadFiles, "write", fail)
        farm.alice.submit(bytes(LARGE))
        farm.pump()
    assert farm.alice.answers[farm.alice.seq].error is ErrorKind.STORAGE_FULL


def test_a_large_broadcast_without_room_for_its_row_is_refused_and_others_go_on(farm, disk):
    file = LargePayloads(lambda: farm.path, "c1").write([bytes(10**7)], what="it")
    fields = {"code_kind": Kind.STRING, "label": "x", "code": b"x", "body": file.upload}
    disk.free = 10**7 + controller_room.LOW  # it is written twice
    seq = farm.alice.ask(said.Broadcast, **fields)
    farm.pump()
    assert farm.alice.answers[seq].error is ErrorKind.STORAGE_FULL
    pump_until_room(farm)
    farm.alice.submit(b"a")
    farm.pump()
    assert farm.alice.ends == {0: ("", b"value of a")}
    disk.free = 10**9
    seq = farm.alice.ask(said.Broadcast, **fields)
    farm.pump()
    assert isinstance(farm.alice.answers[seq], Reply)


def test_a_clear_has_the_room_of_the_reserve(farm, disk):
    farm.alice.submit(b"a", b"b")
    farm.pump()
    assert farm.store.reserve.make()
    disk.free = 0
    farm.controller.turn()
    farm.store.full_at, farm.store.n_failures = farm.store.n_tries + 1, 1
    seq = farm.alice.ask(said.Clear)
    farm.pump()
    assert farm.alice.answers[seq] == Reply(seq, 2)
    assert not farm.store.reserve.exists
    disk.free = 10**9
    pump_until_room(farm)
    assert farm.store.reserve.exists


def test_while_a_commit_waits_questions_are_answered_and_changes_refused(farm):
    full_forever(farm)
    submitted = farm.alice.submit(b"a")
    farm.pump()
    counts, cleared = farm.bob.ask(said.QueueStatus), farm.bob.ask(said.Clear)
    farm.pump()
    assert farm.bob.answers[counts].value["no_room"]
    assert farm.bob.answers[cleared].error is ErrorKind.STORAGE_FULL
    assert submitted not in farm.alice.answers
    asked = farm.bob.ask(said.GetResults, taskids=(0,), watch=True)
    farm.pump()
    assert asked not in farm.bob.answers
    farm.store.n_failures = 0
    pump_until_room(farm)
    assert farm.bob.answers[asked] == Reply(asked, [0])
    assert farm.alice.ends == farm.bob.ends == {0: ("", b"value of a")}


def test_a_stop_gives_up_what_waits_and_nothing_accepted_is_lost(farm):
    farm.alice.submit(b"long", b"a")
    farm.pump()
    full_forever(farm)
    farm.bob.submit(b"never accepted")
    farm.pump()
    stop = farm.alice.ask(said.Stop)
    farm.pump()
    assert farm.alice.answers[stop] == Reply(stop)
    assert farm.bob.stopped
    assert farm.ended
    farm.make_store = CrashingStore
    farm.start_again()
    assert farm.scheduler.farm.next_id == 3  # the submission was repeated, as it had no answer
    assert farm.bob.ends == {2: ("", b"value of never accepted")}
    assert farm.alice.ends == {1: ("", b"value of a")}


def test_a_controller_that_cannot_record_its_begin_says_why(tmp_path):
    farm = make_farm(tmp_path / "journal")
    full_forever(farm)
    with pytest.raises(StorageFull, match=r"store is full|cannot be written"):
        farm.controller.begin()
    farm.close()


class NoStore:
    """A store that takes nothing until there is room."""

    class reserve:
        exists = False
        size = 0

        @staticmethod
        def give_back() -> bool:
            return False

    has_room = False

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store"

    def commit(self, records) -> None:
        if not self.has_room:
            raise StorageFull


def changed(seq: int) -> said.Changed:
    return said.Changed(QueueDelta(seq=seq, farm="t", wall=9.0, counts=Counts(), n_workers=0))


def sent(effects: list[Effects]) -> list[tuple[str, object]]:
    return [(send.session, send.message) for effect in effects for send in effect.sends]


def test_a_subscriber_that_misses_changes_is_told_before_later_ones_pass_them(tmp_path):
    store = NoStore(tmp_path)
    room = controller_room.Room(store, lambda no_room: None, lambda: False)
    reply = ClientSend("alice", Reply(1, None))
    waits = Effects(sends=(reply, ClientSend("bob", changed(5))), wake_at=3.0)
    assert sent(room.commit([Held((), True, "alice", 1)], [waits], 0.0)) == [("bob", said.Resync())]
    free = Effects(sends=(ClientSend("bob", changed(7)),), is_free=True)
    snapshot = Effects(sends=(ClientSend("carol", SendSnapshot(1, EMPTY, ())), ClientSend("bob", changed(6))))
    told = sent(room.commit([], [snapshot, free], 0.0))
    assert set(told[:2]) == {("bob", said.Resync()), ("carol", said.Resync())}
    assert told[2:] == [("bob", changed(7))]
    store.has_room = True
    assert sent(room.commit([], [], 9.0)) == [("alice", Reply(1, None))], "the rest was asked again"


def test_who_is_sent_the_queue_while_the_store_is_behind_is_told_when_it_no_longer_is(tmp_path):
    """The ends that wait for room are missing in the snapshot, and no later change has them."""
    store = NoStore(tmp_path)
    room = controller_room.Room(store, lambda no_room: None, lambda: False)
    room.commit([Held((), True, "alice", 1)], [Effects(sends=(ClientSend("alice", Reply(1, None)),))], 0.0)
    snapshot = Effects(sends=(ClientSend("bob", SendSnapshot(1, EMPTY, ())),), is_free=True)
    assert sent(room.commit([], [snapshot], 0.0)) == sent([snapshot])
    store.has_room = True
    assert sent(room.commit([], [], 9.0)) == [("bob", said.Resync()), ("alice", Reply(1, None))]
    assert sent(room.commit([Held((), True, "alice", 2)], [], 18.0)) == [], "once"


def test_what_a_stop_has_given_up_leaves_no_deadline_for_which_the_loop_would_turn(tmp_path):
    room = controller_room.Room(NoStore(tmp_path), lambda no_room: None, lambda: True)
    assert room.commit([Held((), True, "alice", 1)], [Effects(wake_at=3.0)], 0.0)
    assert room.is_stuck
    assert room.wake_at is None
