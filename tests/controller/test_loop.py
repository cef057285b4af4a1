"""Tests of the controller's turns: the order in which it receives, and the connections to which it answers."""

from __future__ import annotations

import time

import msgspec
import pytest

from taskfc_ext.controller import reception
from taskfc_ext.controller.endpoint import MAX_STRIKES
from taskfc_ext.controller.listening import REST
from taskfc_ext.controller.loop import Controller, SupervisorLost
from taskfc_ext.controller.rare_log import FIRST
from taskfc_ext.controller.reception import PROBE_AFTER
from taskfc_ext.core.effects import SendRun
from taskfc_ext.core.events import Now
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import (
    Clear,
    ErrorKind,
    GetDetails,
    GetLog,
    GetOutputs,
    GetSubmission,
    ListTasks,
    Refused,
    Reply,
    Retry,
)
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.infos import Details, SubmittedTask
from taskfc_ext.protocol.limits import MAX_UNHANDLED
from taskfc_ext.protocol.payloads import Failure, Outcome, PayloadRef, Reason, Upload, decode_failure, encode_failure
from taskfc_ext.protocol.spec import Kind, OnLost, Recovery, Spec
from taskfc_ext.protocol.worker_messages import Finished, PropertiesChanged, Ready, Run
from tests.controller.wire import CODE, ERROR, PYTHON, WireFarm, WireWorker


class HeldClock:
    """The clock of a controller, which stands still but for `advance`, until it is released."""

    def __init__(self, controller: Controller) -> None:
        self.now = controller._now()
        self._controller, self._now = controller, controller._now
        controller._now = lambda: self.now

    def release(self) -> None:
        self._controller._now = self._now

    def advance(self, seconds: float) -> None:
        self.now = Now(self.now.mono + seconds, self.now.wall + seconds)


def runs(farm: WireFarm, identity: bytes) -> list[Run]:
    return [message for message in farm.workers_end.take(identity, codec.to_worker) if isinstance(message, Run)]


def test_messages_for_an_old_connection_never_reach_the_new_one(farm):
    """The worker's new `Ready` does not list the lease, so the worker must not receive it."""
    worker = farm.workers[0]
    old = worker.identity
    farm.alice.submit(b"long", b"x", on_lost=OnLost.FAIL)
    farm.pump()
    worker.end(Outcome.OK, b"done")  # upon which it is given task 1 ...
    worker.unacked.clear()
    worker.connect()  # ... which, on this connection, it does not hold
    farm.controller.turn()
    (lost,), (given,) = runs(farm, old), runs(farm, worker.identity)
    assert lost.ids == given.ids == (1,)
    assert given.first_lease > lost.first_lease


def test_a_late_greeting_of_an_older_connection_takes_no_answers_from_the_newer_one(farm):
    older, newer = farm.fresh_identity(), farm.alice.identity
    farm.alice.submit(b"long")
    farm.pump()
    greeting = said.Hello(PROTOCOL, "0", PYTHON, farm.alice.session)
    farm.clients_end.arrive(older, [greeting])
    farm.controller.turn()
    (refused,) = farm.clients_end.take(newer, codec.from_controller)
    assert (refused.seq, refused.error) == (0, ErrorKind.SAY_HELLO)
    farm.alice.send(greeting)
    farm.workers[0].end(Outcome.OK, b"done")
    farm.pump()
    assert farm.alice.ends == {0: ("", b"done")}


def test_a_result_that_was_sent_before_its_worker_died_counts(farm):
    worker = farm.workers[0]
    farm.alice.submit(b"long", on_lost=OnLost.FAIL)
    farm.pump()
    worker.end(Outcome.OK, b"just in time")
    farm.kill(worker)
    farm.pump()
    assert farm.alice.ends == {0: ("", b"just in time")}


def test_no_event_is_dated_before_its_message_is_received(farm):
    """A retry would come too early if the clock were read before the messages."""
    worker, arrived = farm.workers[0], farm.workers_end.receive
    farm.alice.submit(b"long", retries=1, backoff=100.0)
    farm.pump()
    reported = []

    def receive_what_comes_now(at_most: int, **_: object) -> list[tuple[bytes, bytes]]:
        worker.end(Outcome.ERROR, ERROR)
        reported.append(time.monotonic())
        return arrived(at_most)

    worker.send(PropertiesChanged())
    farm.workers_end.receive = receive_what_comes_now
    farm.controller.turn()
    assert farm.scheduler.farm.tasks[0].past().not_before >= reported[0] + 100.0


def test_a_worker_that_joins_with_the_death_of_another_is_received(farm):
    farm.kill(farm.workers[0])
    farm.alice.submit(b"x")
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value of x")


def test_a_report_that_contradicts_itself_is_ignored(farm):
    worker = farm.workers[0]
    farm.alice.submit(b"long")
    farm.pump()
    lease = worker.running[0]
    worker.send(Finished(seq=1, leases=(lease, lease), outcomes=(0, 0), values=(b"", b""), seconds=(0.0, 0.0)))
    worker.send(said.Ping(seq=1))
    farm.pump()
    assert farm.alice.ends == {}
    worker.end(Outcome.OK, b"value")
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value")


def test_a_late_ready_of_an_older_connection_takes_no_task_back(farm):
    """The task may run only once, and the worker of which the older connection knows nothing runs it."""
    worker = farm.workers[0]
    newer, older = farm.fresh_identity(), farm.fresh_identity()
    worker.identity = newer
    ready = Ready(protocol=PROTOCOL, worker=worker.worker, pid=1, python="3.11", connection=1)
    farm.workers_end.arrive(newer, [ready])
    farm.alice.submit(b"long", on_lost=OnLost.FAIL)
    farm.pump()
    assert worker.running
    farm.workers_end.arrive(older, [msgspec.structs.replace(ready, connection=0)])
    farm.pump()
    assert runs(farm, older) == []
    assert farm.scheduler.farm.tasks[0].lease
    worker.end(Outcome.OK, b"value")
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value")


def test_a_ready_of_a_worker_that_there_is_not_does_not_make_its_junk_heard(farm):
    farm.workers_end.arrive(b"stranger", [Ready(protocol=PROTOCOL, worker=999, pid=1, python="3.11")])
    farm.workers_end.arrive_frame(b"stranger", b"\xc1junk")
    farm.pump()
    assert farm.controller._worker_connections.is_ignored(b"stranger")


def test_the_room_for_the_small_frames_of_a_turn_is_that_for_their_sum(farm, monkeypatch):
    expected: list[int] = []
    monkeypatch.setattr(farm.controller._reception, "_expect", lambda n_bytes, mono: expected.append(n_bytes))
    frame = codec.encode([said.Ping(seq=1)])
    for _ in range(100):
        farm.clients_end.arrive_frame(farm.alice.identity, frame)
    farm.controller.turn()
    assert max(expected) == 100 * len(frame)


def test_a_worker_of_another_protocol_is_ignored(farm):
    identity = farm.fresh_identity()
    ready = Ready(protocol=99, worker=0, pid=1, python="3.11")
    farm.workers_end.arrive(identity, [ready])
    farm.alice.submit(b"x")
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value of x"), "the real one goes on"
    assert runs(farm, identity) == []


def test_a_connection_that_has_sent_junk_is_heard_no_more_and_a_worker_is(farm):
    worker = farm.workers[0]
    for identity in (b"stranger", worker.identity):
        farm.workers_end.arrive_frame(identity, b"\xc1junk")
    farm.pump()
    farm.workers_end.arrive(b"stranger", [Ready(protocol=PROTOCOL, worker=worker.worker, pid=1, python="3.11")])
    farm.alice.submit(b"x")
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value of x"), "the real one goes on"
    assert runs(farm, b"stranger") == []


def test_junk_on_the_workers_socket_leaves_it_alone_and_workers_are_heard(farm):
    farm.pump()
    clock = HeldClock(farm.controller)
    for _ in range(2):
        farm.workers_end.arrive_frame(b"stranger", b"\xc1junk")
        farm.controller.turn()
    assert farm.workers_end.arrived  # the socket rests
    clock.release()
    farm.alice.submit(b"x")
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value of x")
    assert not farm.workers_end.arrived


def test_a_worker_without_a_ready_is_ignored(farm):
    farm.workers_end.arrive(b"stranger", [Finished(seq=1, leases=(), outcomes=(), values=(), seconds=())])
    farm.pump()
    assert farm.workers_end.take(b"stranger", codec.to_worker) == []


def test_the_controller_ends_with_its_supervisor(farm):
    farm.supervisor.shutdown(2)
    with pytest.raises(SupervisorLost):
        farm.controller.turn()


def test_every_hello_is_answered_by_a_welcome(farm):
    farm.alice.connect()
    farm.controller.turn()
    welcome, *_ = farm.clients_end.take(farm.alice.identity, codec.from_controller)
    assert isinstance(welcome, said.Welcome)
    assert (welcome.name, welcome.incarnation, welcome.supervisor_pid, welcome.n_workers) == ("t", 1, 1, 1)


def test_junk_from_a_client_is_refused_and_others_do_not_notice(farm):
    farm.clients_end.arrived.append((b"stranger", b"junk"))
    farm.alice.submit(b"x")
    farm.pump()
    (refusal,) = farm.clients_end.take(b"stranger", codec.from_controller)
    assert refusal.error is ErrorKind.PROTOCOL
    assert farm.alice.ends[0] == ("", b"value of x")


def test_a_lost_client_is_forgotten_until_its_next_hello(farm):
    farm.alice.submit(b"long")
    farm.pump()
    farm.clients_end.gone.add(farm.alice.identity)
    farm.workers[0].end(Outcome.OK, b"value")
    farm.pump()
    assert not farm.scheduler.farm.sessions[farm.alice.session].connected
    farm.alice.connect()
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value")


def test_an_old_connection_of_a_session_is_void_once_it_has_a_new_one(farm):
    old = farm.alice.identity
    farm.alice.connect()
    farm.pump()
    farm.clients_end.arrive(old, [said.Ping(seq=900)])
    farm.pump()
    refusals = farm.clients_end.take(old, codec.from_controller)
    assert [refusal.error for refusal in refusals] == 2 * [ErrorKind.SAY_HELLO]


# data of the store


def list_ids(farm: WireFarm, **filters) -> list[int]:
    seq = farm.alice.ask(ListTasks, **filters)
    farm.pump()
    return [info["taskid"] for info in farm.alice.answers[seq].value]


def test_lists_show_finished_and_live_tasks_in_order_and_no_cleared_ones(farm):
    farm.alice.submit(b"a", b"fail", b"long", name="fit")
    farm.bob.submit(b"d")
    farm.pump()
    assert list_ids(farm) == [0, 1, 2, 3]
    assert list_ids(farm, limit=3) == [1, 2, 3]
    assert list_ids(farm, states=("failed",)) == [1]
    assert list_ids(farm, states=("running",)) == [2]
    assert list_ids(farm, name="fit", states=("failed", "succeeded")) == [0, 1]
    assert list_ids(farm, taskids=(0, 3, 77)) == [0, 3]
    farm.alice.ask(Clear, taskids=(0,))
    assert list_ids(farm) == [1, 2, 3]
    assert list_ids(farm, taskids=(0, 1)) == [1]


def test_the_newest_tasks_are_those_of_the_largest_ids_whenever_they_ended(farm):
    farm.alice.submit(b"long", name="fit")
    farm.bob.submit(b"a", name="fit")
    farm.bob.submit(b"b")
    farm.pump()
    # an old task that still runs is not newer
    assert (list_ids(farm, limit=1), list_ids(farm, limit=2)) == ([2], [1, 2])
    assert list_ids(farm, name="fit", limit=1) == [1]
    farm.workers[0].end(Outcome.OK, b"late")
    farm.pump()
    assert (list_ids(farm, limit=1), list_ids(farm, limit=2)) == ([2], [1, 2])
    assert list_ids(farm, name="fit", limit=1) == [1]
    assert list_ids(farm, taskids=(0, 1, 2), limit=2) == [1, 2]


def test_a_task_that_ends_in_the_turn_of_the_request_is_listed_once(farm):
    farm.alice.submit(b"long", b"long", b"queued")
    farm.pump()
    seq = farm.alice.ask(ListTasks)
    farm.alice.ask(said.AbortTasks, taskids=(2,))
    farm.pump()
    assert [info["taskid"] for info in farm.alice.answers[seq].value] == [0, 1, 2]


def test_a_failed_task_is_listed_with_its_reason(farm):
    farm.alice.submit(b"fail", priority=3)
    farm.pump()
    seq = farm.alice.ask(ListTasks)
    farm.pump()
    (info,) = farm.alice.answers[seq].value
    assert {key: info[key] for key in ("state", "reason", "message", "worker", "attempts", "priority")} == {
        "state": "failed", "reason": "error", "message": "no luck", "worker": 0, "attempts": 1, "priority": 3,
    }  # fmt: skip


def test_the_log_of_a_finished_task_is_its_output_and_displays(farm):
    farm.alice.submit(b"long", b"quiet")
    farm.pump()
    farm.workers[0].end(Outcome.ERROR, ERROR, printed=("printed",), displays=(b"figure",))
    farm.pump()
    seqs = [farm.alice.ask(GetLog, taskid=taskid) for taskid in (0, 1)]
    farm.pump()
    assert [farm.alice.answers[seq] for seq in seqs] == [Reply(seqs[0], ["printed"]), Reply(seqs[1], [])]
    seqs = [
        farm.alice.ask(GetOutputs, taskid=taskid, known=known) for taskid, known in ((0, ""), (1, ""), (0, "final"))
    ]
    farm.pump()
    assert [farm.alice.answers[seq].value["outputs"] for seq in seqs] == [[b"figure"], [], None]


def test_details_of_a_finished_task_are_one_answer(farm):
    failure = Failure(Reason.ERROR, "no luck", type_name="ValueError", traceback="line 1", pickled=b"opaque")
    farm.alice.submit(b"long", b"quiet")
    farm.pump()
    farm.workers[0].end(Outcome.ERROR, encode_failure(failure), printed=("begin", "end"), displays=(b"figure",))
    farm.pump()
    seqs = [
        farm.alice.ask(GetDetails, taskid=0),
        farm.alice.ask(GetDetails, taskid=0, known="final", tail=4),
        farm.alice.ask(GetDetails, taskid=1, known="final"),
    ]
    farm.pump()
    whole, end, quiet = [msgspec.convert(farm.alice.answers[seq].value, Details) for seq in seqs]
    assert (whole.task.state, whole.task.message, whole.printed, whole.n_cut) == (
        "failed",
        "ValueError: no luck",
        ("begin", "end"),
        0,
    )
    assert (whole.version, whole.outputs) == ("final", (b"figure",))
    assert whole.failure == msgspec.structs.replace(failure, pickled=None)
    assert (end.printed, end.n_cut, end.outputs) == (("n", "end"), 4, None)
    assert (quiet.task.state, quiet.printed, quiet.failure) == ("succeeded", (), None)


def test_details_have_the_source_of_a_cell_and_the_size_of_a_result_where_they_are_asked_for(farm):
    farm.alice.submit(b"long", b"quiet", kind=Kind.CELL)
    farm.pump()
    farm.alice.submit(b"waits", after=(0,))
    farm.workers[0].end(Outcome.OK, b"a result")
    farm.pump()
    asked = ((0, 0), (0, 3), (1, 9), (2, 9))
    seqs = [farm.alice.ask(GetDetails, taskid=taskid, source=most) for taskid, most in asked]
    farm.pump()
    found = [msgspec.convert(farm.alice.answers[seq].value, Details) for seq in seqs]
    assert [(details.source, details.n_source_cut) for details in found] == [("", 0), ("cod", 1), ("code", 0), ("", 0)]
    assert found[1].size == len(b"a result")


def test_a_cell_has_its_source_while_its_recovery_function_runs(farm):
    recovery = Recovery(Spec(kind=Kind.FUNCTION, code=CODE, label="recover"), b"long")
    farm.alice.submit(b"long", kind=Kind.CELL, recovery=recovery)
    farm.pump()
    farm.workers[0].end(Outcome.ERROR, ERROR)
    farm.pump()
    assert farm.scheduler.farm.tasks[0].spec.kind is Kind.FUNCTION
    seq = farm.alice.ask(GetDetails, taskid=0, source=9)
    farm.pump()
    assert msgspec.convert(farm.alice.answers[seq].value, Details).source == "code"


def test_details_of_a_task_that_was_cleared_in_the_same_turn_are_refused(farm):
    farm.alice.submit(b"a")
    farm.pump()
    seq = farm.alice.ask(GetDetails, taskid=0)
    farm.bob.ask(Clear)
    farm.pump()
    assert farm.alice.answers[seq].error is ErrorKind.UNKNOWN_TASK


def test_retried_tasks_can_be_left_out_of_a_list(farm):
    farm.alice.submit(b"fail", b"fail")
    farm.pump()
    farm.alice.ask(Retry, taskid=0)
    farm.pump()
    seq = farm.alice.ask(ListTasks, states=("failed",), not_retried=True)
    farm.pump()
    assert [info["taskid"] for info in farm.alice.answers[seq].value] == [1, 2]


@pytest.mark.parametrize("cleared", [None, (0,), (1, 2)])
def test_results_that_are_cleared_in_the_turn_of_the_request_are_refused(farm, cleared):
    """Their ends are not in the store any more, and a client that has missed them waits for an answer."""
    for body in (b"a", b"b", b"c"):
        farm.alice.submit(body)
        farm.pump()
    seq = farm.bob.ask(said.GetResults, taskids=(0, 1, 2), watch=True)
    farm.alice.ask(Clear, taskids=cleared)
    farm.pump()
    gone = list(cleared or (0, 1, 2))
    answer = farm.bob.answers[seq]
    assert (answer.error, answer.value) == (ErrorKind.UNKNOWN_TASK, {"taskids": gone})
    assert farm.bob.ends.keys() >= {0, 1, 2} - set(gone)


def test_inputs_that_are_cleared_when_their_task_has_ended_in_the_same_turn_break_nothing(farm):
    farm.alice.submit(b"a")
    farm.pump()
    worker = farm.workers[0]
    farm.alice.submit(b"b", inputs=(0,), on_lost=OnLost.FAIL)
    worker.started = 10**6
    del farm.workers[0]
    farm.controller.turn()
    farm.workers[0] = worker
    farm.bob.ask(Clear)
    farm.kill(worker)
    farm.pump()
    assert farm.alice.ends[1][0] == "lost"


def test_only_small_code_is_kept_in_memory(farm):
    answers = farm.controller._answers
    big = b"b" * (17 * 2**20)
    digests = [b"%016d" % i for i in range(300)]
    small = b"s" * 60_000
    farm.alice.send(*[said.Define(digest, small) for digest in digests], said.Define(b"B" * 16, big))
    farm.pump()
    for digest in digests:
        assert answers._code(digest) == small
    reference = answers._code(b"B" * 16)  # its file is mapped by workers
    assert isinstance(reference, PayloadRef)
    assert farm.store.payload(reference) == big
    assert 0 < answers._recent_code.n_bytes <= 16 * 2**20
    assert b"B" * 16 not in answers._recent_code._entries
    assert answers._code(CODE) == b"code"


def test_a_damaged_store_is_reported(farm):
    farm.store._db.execute("UPDATE journal SET body = x'c1' WHERE kind = 7")
    with pytest.raises(StoreError, match="damaged"):
        list(farm.store.records())


DAMAGE = "UPDATE journal SET body = x'c1' WHERE kind = {kind} AND first = {taskid}"


@pytest.fixture
def damaged_farm(farm):
    """A farm with the ends of tasks 0 and 1, of which the second is damaged: each in a row of its own."""
    for body in (b"x", b"y"):
        farm.alice.submit(body)
        farm.pump()
    farm.store._db.execute(DAMAGE.format(kind=2, taskid=1))
    return farm


@pytest.mark.parametrize(
    "request_of",
    [
        lambda client: client.ask(ListTasks, taskids=(0, 1)),
        lambda client: client.ask(GetDetails, taskid=1),
        lambda client: client.ask(GetLog, taskid=1),
        lambda client: client.ask(GetOutputs, taskid=1),
        lambda client: client.ask(said.Watch),
    ],
)
def test_a_request_that_reads_damage_is_refused_with_the_row_and_its_task(damaged_farm, request_of):
    seq = request_of(damaged_farm.alice)
    damaged_farm.pump()
    refused = damaged_farm.alice.answers[seq]
    assert (refused.error, "of tasks 1 to 1," in refused.message) == (ErrorKind.STORE, True)
    assert "taskfc repair" in refused.hint
    well = damaged_farm.alice.ask(GetDetails, taskid=0)
    damaged_farm.pump()
    assert isinstance(damaged_farm.alice.answers[well], Reply), "it goes on"


def test_a_damaged_end_is_sent_as_one_that_says_so_and_the_others_as_they_are(damaged_farm):
    bob = damaged_farm.bob
    bob.ask(said.GetResults, taskids=(0, 1))
    damaged_farm.pump()
    assert bob.ends[0] == ("", damaged_farm.alice.ends[0][1])
    reason, value = bob.ends[1]
    assert reason == "error"
    assert "task 1 has ended, but the store" in decode_failure(value).message


def test_a_retry_of_a_task_whose_submission_is_damaged_is_refused(farm):
    farm.alice.submit(b"x")
    farm.pump()
    farm.store._db.execute(DAMAGE.format(kind=1, taskid=0))
    seq = farm.alice.ask(Retry, taskid=0)
    farm.pump()
    assert farm.alice.answers[seq].error is ErrorKind.STORE


def test_a_task_whose_input_is_damaged_gets_a_file_that_is_not_there(damaged_farm):
    farm = damaged_farm
    run = Run(spec=Spec(kind=Kind.FUNCTION, code=CODE, label="f"), first_lease=3, ids=(2,), bodies=(b"",))
    whole = farm.controller._answers.complete_for_worker(SendRun(run, (0, 1)))
    assert whole.inputs == (farm.alice.ends[0][1], PayloadRef("0", 1))


def test_a_new_worker_takes_over(farm):
    farm.alice.submit(b"die once", b"x", b"y")
    farm.pump()
    assert sorted(farm.alice.ends) == [0, 1, 2]
    assert isinstance(farm.workers[1], WireWorker)


def test_a_client_that_is_lost_silently_is_detected_by_a_probe(farm):
    farm.alice.submit(b"x")
    farm.pump()
    connections = farm.controller._reception.connections
    assert farm.alice.identity in connections
    farm.clients_end.gone.add(farm.alice.identity)
    for connection in connections.values():
        connection.received_at -= 2 * PROBE_AFTER
    farm.controller._next_housekeeping = 0.0
    farm.controller.turn()
    assert farm.alice.identity not in connections
    assert not farm.scheduler.farm.sessions[farm.alice.session].connected


def get_submission(farm: WireFarm, taskid: int) -> object:
    """Ask for a task's submission; return it, or the refusal."""
    seq = farm.alice.ask(GetSubmission, taskid=taskid)
    farm.pump()
    answer = farm.alice.answers[seq]
    return msgspec.convert(answer.value, SubmittedTask) if isinstance(answer, Reply) else answer


def test_a_submission_is_sent_with_its_code_and_its_inputs(farm):
    farm.alice.submit(b"a", b"b", b"fail")
    farm.alice.submit(b"c", b"d", name="fit", inputs=((1, 1), (1, 0)), retries=0)
    farm.pump()
    told = get_submission(farm, 4)
    spec = Spec(kind=Kind.FUNCTION, code=CODE, label="f")
    inputs = (b"value of b", b"value of a")
    assert told == SubmittedTask(taskid=4, name="fit", spec=spec, code=b"code", body=b"d", inputs=inputs)


def test_a_submission_whose_inputs_are_not_there_is_refused_with_the_reason(farm):
    farm.alice.submit(b"a", b"fail", b"long")
    farm.alice.submit(b"b", inputs=((1, 0),))
    farm.alice.submit(b"c", inputs=((1, 1),))
    farm.alice.submit(b"d", inputs=((1, 2),))
    farm.pump()
    farm.alice.ask(Clear, taskids=(0,))
    for taskid, parent, why in ((4, 1, "has not succeeded"), (5, 2, "has not succeeded")):
        refusal = get_submission(farm, taskid)
        assert isinstance(refusal, Refused)
        assert (refusal.error, refusal.value) == (ErrorKind.RESULT_EXPIRED, {"taskids": [parent]})
        assert refusal.message == f"task {taskid} takes the result of task {parent}, which {why}"
    farm.alice.ask(said.Abort, taskid=2)
    farm.pump()
    farm.alice.ask(Clear, taskids=(0,))
    assert get_submission(farm, 3).message == "task 3 takes the result of task 0, which was cleared"
    assert get_submission(farm, 9).error is ErrorKind.UNKNOWN_TASK


def test_a_task_that_ends_and_is_retried_in_one_turn_is_found_in_the_store(farm):
    farm.alice.submit(b"long")
    farm.alice.submit(b"x", after=((1, 0),))
    farm.pump()
    farm.workers[0].end(Outcome.ERROR, ERROR)
    seq = farm.alice.ask(Retry, taskid=0)
    farm.pump()
    assert farm.alice.answers[seq] == Reply(seq, [[0, 2], [1, 3]])


@pytest.mark.parametrize("size", [10, 2 * LARGE])
def test_the_code_of_a_retry_outlives_a_commit_before_its_tasks_are_recalled(farm, size):
    farm.alice.submit(b"x")
    farm.pump()
    seq = farm.alice.ask(Retry, taskid=0, context=said.Define(b"n" * 16, bytes(size)))
    farm.bob.submit(b"y")  # in the same turn
    farm.pump()
    assert farm.alice.answers[seq] == Reply(seq, [[0, 2]])
    farm.pump()
    assert farm.alice.ends[2] == ("", b"value of x")


def test_a_retry_whose_file_is_gone_is_refused(farm):
    farm.alice.submit(b"x")
    farm.pump()
    seq = farm.alice.ask(Retry, taskid=0, context=said.Define(b"n" * 16, Upload("c1", "1", LARGE)))
    farm.pump()
    refusal = farm.alice.answers[seq]
    assert (refusal.seq, refusal.error) == (seq, ErrorKind.NOT_ALLOWED)
    assert "the file with the code or the arguments is gone" in refusal.message
    farm.alice.submit(b"y")
    farm.pump()
    assert farm.alice.ends[1] == ("", b"value of y")


# peers without manners


def test_a_session_that_has_changed_nothing_is_forgotten_with_its_connection(farm):
    farm.alice.ask(said.Ping)
    farm.pump()
    assert farm.alice.session in farm.scheduler.farm.sessions
    farm.clients_end.gone.add(farm.alice.identity)
    farm.alice.ask(said.Ping)
    farm.pump()
    assert farm.alice.session not in farm.scheduler.farm.sessions


def test_a_connection_with_too_many_requests_ahead_is_cut_off_and_told(farm):
    farm.pump()
    identity, pings = farm.alice.identity, [said.Ping(seq=seq) for seq in range(1, MAX_UNHANDLED + 2)]
    for frame in codec.pack(pings):
        farm.controller._reception.unpack(identity, frame, Now(time.monotonic(), time.time()))
    farm.controller.turn()
    (refusal,) = farm.clients_end.take(identity, codec.from_controller)
    assert (refusal.seq, refusal.error) == (0, ErrorKind.TOO_MUCH)
    assert f"{MAX_UNHANDLED:,} requests" in refusal.message
    farm.alice.ask(said.Ping)
    farm.bob.ask(said.Ping)
    farm.controller.turn()
    assert farm.clients_end.take(identity, codec.from_controller) == []
    assert farm.clients_end.take(farm.bob.identity, codec.from_controller) != []


def test_junk_of_a_client_that_is_cut_off_leaves_its_socket_alone_and_others_are_served(farm):
    farm.pump()
    clock = HeldClock(farm.controller)
    for _ in range(MAX_STRIKES + 1):
        farm.clients_end.arrive_frame(b"stranger", b"\xc1junk")
    farm.controller.turn()
    farm.clients_end.take(b"stranger", codec.from_controller)
    farm.clients_end.arrive_frame(b"stranger", b"\xc1junk")
    for _ in range(2):
        farm.controller.turn()
        assert farm.clients_end.arrived  # the socket rests
        clock.advance(0.4 * REST)
    clock.advance(0.4 * REST)
    farm.controller.turn()
    assert not farm.clients_end.arrived
    clock.release()
    farm.alice.submit(b"x")
    farm.pump()
    assert farm.alice.ends[0] == ("", b"value of x")
    assert farm.clients_end.take(b"stranger", codec.from_controller) == []


def test_each_new_connection_lets_two_others_be_probed_once_there_are_many(farm, monkeypatch):
    monkeypatch.setattr(reception, "MANY", 5)
    monkeypatch.setattr(reception, "PROBE_OTHER_AFTER", 0.0)
    greeted = [bytes([9, i]) for i in range(10)]
    for i, identity in enumerate(greeted):
        farm.clients_end.arrive(identity, [said.Hello(PROTOCOL, "0", PYTHON, f"{i:016x}")])
    farm.pump()
    gone = greeted[:6]
    farm.clients_end.gone.update(gone)
    connections = farm.controller._reception.connections
    for i in range(10):
        farm.clients_end.arrive(bytes([8, i]), [said.Hello(PROTOCOL, "0", PYTHON, f"{100 + i:016x}")])
        farm.pump()
    assert not set(gone) & connections.keys()
    assert set(greeted[6:]) <= connections.keys()


def test_a_connection_has_one_session(farm):
    farm.pump()
    farm.clients_end.arrive(farm.alice.identity, [said.Hello(PROTOCOL, "0", PYTHON, "f" * 16)])
    farm.controller.turn()
    (refusal,) = farm.clients_end.take(farm.alice.identity, codec.from_controller)
    assert (refusal.error, refusal.message) == (ErrorKind.NOT_ALLOWED, "a connection has one session")
    assert "f" * 16 not in farm.scheduler.farm.sessions


def test_junk_of_workers_fills_no_log(farm, caplog):
    farm.pump()
    for number in range(100):
        farm.workers_end.arrive_frame(b"nobody %d" % number, b"junk")
    farm.controller.turn()
    assert len(caplog.records) == FIRST
