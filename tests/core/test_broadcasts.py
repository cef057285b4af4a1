"""Broadcasts: every worker runs them once, before its tasks; a problem is noted and holds up no task."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, SendCode, WorkerSend
from taskfc_ext.core.events import FromParent
from taskfc_ext.protocol.client_messages import (
    AwaitBroadcast,
    Broadcast,
    ClearBroadcasts,
    Define,
    ErrorKind,
    GetWorkers,
    Reply,
    Scale,
    Unwait,
)
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.infos import BroadcastReport
from taskfc_ext.protocol.limits import MAX_BROADCASTS
from taskfc_ext.protocol.records import BroadcastDeath, Broadcasted, BroadcastsCleared
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from taskfc_ext.protocol.worker_messages import Prepare, Ready, SetUp
from tests.core.conversation import ALICE, Conversation, dispatched_in, messages_to

FIELDS = {"code_kind": Kind.STRING, "label": "x = 1", "code": b"x = 1", "body": b"names"}


def prepare(number: int, worker: int) -> WorkerSend:
    return WorkerSend(worker, Prepare(number=number, kind=Kind.STRING, code=b"x = 1", body=b"names"))


def broadcasts_sent(effects: Effects) -> list[tuple[int, int]]:
    """Return (worker, number) of what was sent."""
    return [(s.worker, s.message.number) for s in effects.sends if isinstance(getattr(s, "message", None), Prepare)]


def die(talk: Conversation, worker: int, **fields: object) -> Effects:
    down = {"worker": worker, "pid": 1, "started": 0, "running": False, "note": "SIGSEGV", **fields}
    return talk.handle(FromParent(WorkerDown(**down)))


def test_it_is_committed_then_answered_and_sent_to_every_worker_that_is_ready():
    talk = Conversation(workers=2)
    talk.up(2)
    assert talk.ask(Broadcast, **FIELDS) == Effects(
        records=(
            Broadcasted(number=1, session=ALICE, seq=1, kind=Kind.STRING, label="x = 1", code=b"x = 1", body=b"names"),
        ),
        sends=(ClientSend(ALICE, Reply(1, 1)), prepare(1, 0), prepare(1, 1)),
    )
    assert broadcasts_sent(talk.ready(2)) == [(2, 1)]


def test_the_code_around_a_broadcast_reaches_every_worker_before_it():
    talk = Conversation(workers=1)
    talk.up(1)
    context, module = Define(b"x" * 16, b"a folder"), Define(b"m" * 16, b"source")
    effects = talk.ask(Broadcast, **FIELDS, context=context, modules=(module,))
    assert effects.records[:2] == (module, context)
    around = {"context": context.digest, "modules": (module.digest,)}
    expected = Prepare(number=1, kind=Kind.STRING, code=b"x = 1", body=b"names", **around)
    for worker, sent in ((0, effects), (1, talk.ready(1))):
        messages = [send.message for send in sent.sends if isinstance(send, WorkerSend) and send.worker == worker]
        assert messages == [SendCode(module.digest), SendCode(context.digest), expected]


def test_a_worker_gets_no_task_before_it_has_reported():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.ask(Broadcast, **FIELDS)
    talk.submit(1)
    assert talk.leases_of(0) == []
    assert dispatched_in(talk.worker(0, SetUp(1))) == []
    assert dispatched_in(talk.worker(0, SetUp(2, "ValueError: no data"))) == [(0, 0)], "a failure holds up no task"


def test_a_retry_does_not_go_to_another_worker_that_is_being_set_up():
    talk = Conversation(workers=2)
    talk.submit(1, retries=1)
    talk.ask(Broadcast, **FIELDS)
    talk.worker(0, SetUp(1))
    assert dispatched_in(talk.finish(0, outcome=1)) == [(0, 0)]


def test_a_wait_is_answered_with_the_results_when_all_workers_have_run_it():
    talk = Conversation(workers=2)
    talk.ask(Broadcast, **FIELDS)
    assert messages_to(talk.ask(AwaitBroadcast, number=1)) == []
    answer = talk.reply(BroadcastReport(1, {1: "ValueError: no data"}))
    assert messages_to(talk.worker(0, SetUp(1))) == []
    assert messages_to(talk.worker(1, SetUp(1, "ValueError: no data"))) == [answer]
    assert talk.farm.broadcast_waits == {}
    assert messages_to(talk.ask(AwaitBroadcast, number=1)) == [talk.reply(answer.value)]


def test_with_no_worker_no_broadcast_is_awaited():
    talk = Conversation()
    talk.ask(Broadcast, **FIELDS)
    assert messages_to(talk.ask(AwaitBroadcast, number=1)) == [talk.reply(BroadcastReport(0))]


@pytest.mark.parametrize("end", ["unwait", "lost"])
def test_a_wait_can_be_given_up(end):
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.ask(AwaitBroadcast, number=1)
    if end == "unwait":
        talk.ask(Unwait, barrier=talk.seqs[ALICE])
    else:
        talk.lose_client()
    assert talk.farm.broadcast_waits == {}


def test_it_is_part_of_the_store():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.ask(Broadcast, **FIELDS)
    talk.restart(alive=(0,))
    told = Ready(protocol=PROTOCOL, worker=0, pid=1, python="3.11", broadcasts={1: "ValueError: no data"})
    assert broadcasts_sent(talk.worker(0, told)) == [(0, 2)]
    assert broadcasts_sent(talk.join(1)) == [(1, 1), (1, 2)]
    (workers,) = messages_to(talk.ask(GetWorkers))
    assert [worker.problem for worker in workers.value] == ["broadcast 1: ValueError: no data", ""]


def test_a_worker_that_has_not_run_it_yet_when_the_controller_comes_back_is_not_sent_it_again():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.restart(alive=(0,))
    assert (
        broadcasts_sent(talk.worker(0, Ready(protocol=PROTOCOL, worker=0, pid=1, python="3", broadcasts={1: None})))
        == []
    )
    talk.submit(1)
    assert talk.leases_of(0) == []
    assert dispatched_in(talk.worker(0, SetUp(1))) == [(0, 0)]


def test_a_report_that_comes_twice_has_no_effect():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.worker(0, SetUp(1, "ValueError: no data"))
    talk.worker(0, SetUp(1))
    talk.worker(0, SetUp(7))
    assert talk.farm.workers[0].set_up == {1: "ValueError: no data"}


def test_a_broadcast_that_three_workers_died_in_is_skipped():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.ask(AwaitBroadcast, number=1)
    for worker in range(3):
        effects = die(talk, worker)
        assert effects.records == (BroadcastDeath(1),)
        if worker < 2:
            assert messages_to(effects) == [], "a replacement will run it"
            assert broadcasts_sent(talk.join(worker + 1)) == [(worker + 1, 1)]
    skipped = "3 workers died in it (x = 1), so it is skipped"
    assert messages_to(effects) == [talk.reply(BroadcastReport(0, {}, skipped))]
    assert broadcasts_sent(talk.join(3)) == []
    talk.restart(alive=(3,))
    assert broadcasts_sent(talk.ready(3)) == []
    (workers,) = messages_to(talk.ask(GetWorkers))
    assert [worker.problem for worker in workers.value] == [f"broadcast 1: {skipped}"]


@pytest.mark.parametrize("fields", [{"running": True}, {"planned": True}])
def test_a_death_of_something_else_is_no_fault_of_a_broadcast(fields):
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    assert die(talk, 0, **fields).records == ()


def test_a_wait_for_replacements_ends_when_there_will_be_none():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.ask(AwaitBroadcast, number=1)
    answer = talk.reply(BroadcastReport(0))
    die(talk, 0)
    assert answer in messages_to(talk.ask(Scale, n=0))


def test_workers_that_join_skip_cleared_broadcasts_and_numbers_go_on():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    effects = talk.ask(ClearBroadcasts)
    assert effects == Effects(records=(BroadcastsCleared(ALICE, 2),), sends=(ClientSend(ALICE, Reply(2, 1)),))
    assert broadcasts_sent(talk.join(1)) == []
    talk.worker(0, SetUp(1))
    assert messages_to(talk.ask(Broadcast, **FIELDS)) == [talk.reply(2)]


def test_the_list_shows_the_worker_that_is_being_set_up():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    (workers,) = messages_to(talk.ask(GetWorkers))
    assert [worker.state for worker in workers.value] == ["setting up"]


def test_a_repeat_is_answered_the_same_and_runs_nothing_twice():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    assert talk.client(ALICE, Broadcast(seq=1, **FIELDS)) == Effects(sends=(ClientSend(ALICE, Reply(1, 1)),))
    talk.restart(alive=(0,))
    assert messages_to(talk.client(ALICE, Broadcast(seq=1, **FIELDS))) == [Reply(1, 1)]


def test_their_number_is_bounded():
    talk = Conversation()
    talk.checked = False
    for _ in range(MAX_BROADCASTS):
        talk.ask(Broadcast, **FIELDS)
    (refusal,) = messages_to(talk.ask(Broadcast, **FIELDS))
    assert refusal.error is ErrorKind.TOO_MUCH


def test_after_a_restart_a_wait_is_open_until_the_workers_have_come_back():
    talk = Conversation(workers=1)
    talk.ask(Broadcast, **FIELDS)
    talk.restart(alive=(0,))
    assert messages_to(talk.ask(AwaitBroadcast, number=1)) == [], "it has yet to say what it has run"
    answers = messages_to(talk.worker(0, Ready(protocol=PROTOCOL, worker=0, pid=1, python="3.11", broadcasts={1: ""})))
    assert [answer.value for answer in answers] == [BroadcastReport(1)]


def test_modules_without_a_context_are_kept_as_well():
    talk = Conversation(workers=1)
    effects = talk.ask(Broadcast, **FIELDS, modules=(Define(b"m" * 16, b"modules"),))
    assert Define(b"m" * 16, b"modules") in effects.records
    assert WorkerSend(0, SendCode(b"m" * 16)) in effects.sends
    talk.restart(alive=[0])
    assert b"m" * 16 in talk.farm.codes


def test_a_worker_that_reports_broadcasts_to_come_is_sent_them_when_they_come():
    talk = Conversation()
    talk.up(0)
    ready = Ready(protocol=PROTOCOL, worker=0, pid=100, python="3.11", broadcasts={7: None})
    talk.worker(0, ready)
    assert broadcasts_sent(talk.ask(Broadcast, **FIELDS)) == [(0, 1)]


def test_a_worker_that_lacks_an_earlier_broadcast_is_sent_it():
    talk = Conversation()
    for _ in range(2):
        talk.ask(Broadcast, **FIELDS)
    talk.up(0)
    effects = talk.worker(0, Ready(protocol=PROTOCOL, worker=0, pid=100, python="3.11", broadcasts={2: None}))
    assert broadcasts_sent(effects) == [(0, 1)]
    assert talk.farm.workers[0].pending == [1, 2]
