from __future__ import annotations

import errno
import gc
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.processes import Page
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.payloads import Outcome, PayloadRef, Upload
from taskfc_ext.protocol.worker_messages import (
    Committed,
    Finished,
    ForgetCode,
    Output,
    Progress,
    PropertiesChanged,
    Ready,
    Return,
    Returned,
    Started,
)
from taskfc_ext.serialize import dump_call, join
from taskfc_ext.worker import loop
from taskfc_ext.worker.context.leftovers import SHORTEST_RUN
from taskfc_ext.worker.link import FRAME_TARGET
from taskfc_ext.worker.output import progress
from taskfc_ext.worker.output.progress import track
from taskfc_ext.worker.run import room
from tests.processes import DEADLINE

GATE = threading.Event()
NOW: list[Any] = []  # the bench of the test, for tasks in this process


@pytest.fixture(autouse=True)
def now(bench: Any) -> Any:
    NOW[:] = [bench]
    yield bench
    NOW.clear()


def double(x: int) -> int:
    return 2 * x


def leave_thread() -> bytes:
    """Return a large value, and leave a thread behind."""
    threading.Thread(target=GATE.wait, daemon=True).start()
    time.sleep(2 * SHORTEST_RUN)
    return bytes(LARGE)


def interrupt_lease(lease: int) -> str:
    """Interrupt as the supervisor does: write the word, then signal."""
    NOW[0].page.words[Page.INTERRUPT] = lease
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


def interrupt_and_swallow(lease: int) -> str:
    try:
        interrupt_lease(lease)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)  # the second signal finds no order
    return "swallowed"


def act(lease: int, text: str) -> str:
    """Act as the helper thread in the middle of this task."""
    print(text)
    NOW[0].loop.act_for(lease, wants_output=True)
    return text


def test_attempts_received_together_are_reported_together(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "HOLD_BACK", DEADLINE)  # however slow this machine is
    leases = bench.give(bench.spec(double), *(dump_call((i,), {}, what="f") for i in range(5)))
    bench.turn()
    opening, finished = bench.sent
    assert opening == Ready(protocol=PROTOCOL, worker=3, pid=os.getpid(), python="3")
    assert isinstance(finished, Finished)
    assert (finished.seq, finished.leases, finished.outcomes) == (1, tuple(leases), (0,) * 5)
    assert finished.outputs == {}


def test_the_page_has_the_running_lease(bench: Any) -> None:
    bench.call(page_words)
    assert bench.result() == [1, 0]
    assert not bench.page.running


def page_words() -> list[int]:
    return list(NOW[0].page.words[:2])


def test_an_interrupt_ends_the_attempt_it_names(bench: Any) -> None:
    bench.call(interrupt_lease, 1)
    bench.call(double, 4)
    (outcome, failure), following = bench.collect()
    assert outcome == Outcome.INTERRUPTED
    assert "interrupt_lease" in failure.traceback
    assert following == (Outcome.OK, 8)


def test_an_interrupt_for_another_lease_is_dropped(bench: Any) -> None:
    bench.call(double, 1)
    bench.call(interrupt_lease, 1)
    assert bench.collect()[1] == (Outcome.OK, "went on")


def test_a_task_may_swallow_its_interrupt_and_gets_one_only(bench: Any) -> None:
    bench.call(interrupt_and_swallow, 1)
    assert bench.result() == "swallowed"


def test_an_attempt_that_was_interrupted_before_it_began_does_not_run(bench: Any) -> None:
    bench.page.words[Page.INTERRUPT] = 2
    for i in range(3):
        bench.call(double, i)
    assert [outcome for outcome, _ in bench.collect()] == [Outcome.OK, Outcome.INTERRUPTED, Outcome.OK]


def test_an_interrupt_between_tasks_is_dropped(bench: Any) -> None:
    bench.call(double, 1)
    assert bench.result() == 2
    interrupt_lease(1)
    interrupt_lease(2)
    bench.page.words[Page.INTERRUPT] = 0
    bench.call(double, 2)
    assert bench.result() == 4


class InterruptsWhenPickled:
    def __reduce__(self) -> Any:
        interrupt_lease(1)
        return InterruptsWhenPickled, ()


def test_an_interrupt_while_the_result_is_pickled_belongs_to_the_attempt(bench: Any) -> None:
    bench.call(InterruptsWhenPickled)
    assert [outcome for outcome, _ in bench.collect()] == [Outcome.INTERRUPTED]


class Striker:
    """Trace function that sends the interrupt at the `step`-th instruction of this package during the first lease."""

    def __init__(self, bench: Any, step: int) -> None:
        self.bench = bench
        self.countdown = step

    def __call__(self, frame: Any, event: str, _: object) -> Any:
        if "taskfc_ext" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and self.bench.loop.lease == self.bench.next_lease - 2:
            self.countdown -= 1
            if self.countdown == 0:
                interrupt_lease(self.bench.loop.lease)
        return self


def strike_at_each_instruction(
    bench: Any, give: Callable[[], object], *, at_most: int = sys.maxsize
) -> list[list[tuple[int, object]]]:
    """Return what the attempts that `give` gives come to, with an interrupt of the last but one at each instruction.

    The last time there is none, unless `at_most` ends it before.
    """
    found: list[list[tuple[int, object]]] = []
    is_struck = True
    while is_struck and len(found) < at_most:
        give()
        striker = Striker(bench, len(found) + 1)
        sys.settrace(striker)
        try:
            list(call_in_generator(bench.turn))
        finally:
            sys.settrace(None)
        found.append(bench.collect())
        assert not bench.page.running
        is_struck = striker.countdown <= 0  # else there are no more instructions
    return found


def call_in_generator(turn: Callable[[], None]) -> Iterator[None]:
    """Call `turn` in a generator, which has its own stack of handled exceptions.

    If the interrupt hits the last instructions of an `except`, CPython leaves the exception on the stack, where it
    would be the context of all later exceptions in this thread.
    """
    yield turn()


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12 does not trace all instructions")
@pytest.mark.parametrize("function", [double, str.upper])  # the second one fails: it gets an int
def test_an_interrupt_at_any_instruction_of_ours_is_attributed_or_dropped(bench: Any, function: Any) -> None:
    bench.call(double, 1)
    bench.collect()
    found = strike_at_each_instruction(bench, lambda: (bench.call(function, 1), bench.call(double, 2)))
    assert [second for _, second in found] == [(Outcome.OK, 4)] * len(found)
    seen = {first[0] for first, _ in found}
    assert seen == {Outcome.INTERRUPTED, Outcome.OK if function is double else Outcome.ERROR}
    assert len(found) > 100


def test_a_handler_that_a_task_left_behind_is_replaced(bench: Any) -> None:
    bench.call(signal.signal, signal.SIGINT, signal.SIG_IGN)
    bench.collect()
    bench.call(interrupt_lease, 2)
    assert bench.collect()[0][0] == Outcome.INTERRUPTED


def test_the_handler_of_interrupts_is_ours_in_each_attempt_of_a_turn(bench: Any) -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # as the end of the attempt before it may leave it
    try:
        assert bench.guard.call(1, signal.getsignal, signal.SIGINT) == bench.guard._on_signal
    finally:
        signal.signal(signal.SIGINT, before)


def test_streams_that_a_task_left_behind_are_replaced(bench: Any) -> None:
    bench.call(setattr, sys, "stdout", None)
    bench.call(print, "heard")
    bench.turn()
    outputs = [m.outputs for m in bench.sent if isinstance(m, Finished) and m.outputs]  # one or two, by the load
    assert outputs == [{2: ("heard\n",)}]


def test_the_start_of_a_task_with_a_timeout_is_reported(bench: Any) -> None:
    bench.call(double, 1)
    bench.call(double, 1, timeout=5.0)
    bench.turn()
    kinds = [type(message) for message in bench.sent]
    assert kinds == [Ready, Finished, Started, Finished]
    assert isinstance(bench.sent[2], Started)
    assert bench.sent[2].lease == 2


def test_the_helper_thread_reports_a_long_task(bench: Any) -> None:
    bench.call(double, 1)
    bench.call(act, 2, "hello")
    bench.call(double, 3)
    bench.call(double, 4)
    bench.turn()
    before, started, output, returned, finished = bench.sent[1:]
    assert before.leases == (1,)
    assert (type(started), started.lease) == (Started, 2)
    assert output == Output(2, ("hello\n",))
    assert returned == Returned((3, 4))
    assert (finished.leases, finished.outputs) == ((2,), {2: ("hello\n",)})


def act_and_receive(lease: int, n: int = 1, asked: int = 0) -> None:
    NOW[0].loop.act_for(lease, wants_output=True)
    for _ in range(n):
        NOW[0].call(double, 5)
    if asked:
        NOW[0].connection.inbox.append(Return(asked))
    NOW[0].loop.act_for(lease, wants_output=True)


def last_as_long_as_results_wait(lease: int) -> None:
    started = time.perf_counter()
    while time.perf_counter() - started <= loop.HOLD_BACK:
        pass


def step_and_act(lease: int) -> None:
    for _ in track(range(3)):
        NOW[0].loop.act_for(lease, wants_output=False)
        NOW[0].loop.act_for(lease, wants_output=True)
        NOW[0].loop.act_for(lease, wants_output=True)


@pytest.mark.parametrize(("every", "heard"), [(0.0, [0, 1, 2]), (600.0, [0])])
def test_progress_is_reported_when_it_changes_and_not_too_often(
    bench: Any, monkeypatch: pytest.MonkeyPatch, every: float, heard: list[int]
) -> None:
    monkeypatch.setattr(loop, "PROGRESS_EVERY", every)
    monkeypatch.setattr(progress, "_outermost", None)
    monkeypatch.setattr(progress, "_running", lambda: bench.loop.lease)
    bench.call(step_and_act, 1)
    bench.turn()
    assert [said for said in bench.sent if isinstance(said, Progress)] == [Progress(1, n, 3) for n in heard]


@pytest.mark.parametrize(
    ("n", "asked", "keep", "returned"),
    [
        (1, 0, DEADLINE, []),
        (1, 0, 0.0, [Returned((2,))]),
        (1, 1, DEADLINE, []),
        (1, 2, DEADLINE, [Returned((2,))]),
        (2, 0, DEADLINE, [Returned((2, 3))]),
    ],
    ids=["one is kept", "not for long", "not if asked for earlier ones", "not if asked for", "not several"],
)
def test_leases_received_during_a_long_task_are_returned(
    bench: Any, monkeypatch: pytest.MonkeyPatch, n: int, asked: int, keep: float, returned: list[Returned]
) -> None:
    monkeypatch.setattr(loop, "KEEP_ONE", keep)
    bench.call(act_and_receive, 1, n, asked)
    bench.turn()
    assert (type(bench.sent[1]), bench.sent[1].lease) == (Started, 1)
    assert [message for message in bench.sent if isinstance(message, Returned)] == returned
    finished = [lease for message in bench.sent if isinstance(message, Finished) for lease in message.leases]
    assert finished == ([1] if returned else [1, 2])


def test_the_result_of_a_longer_task_leaves_before_the_next_one_starts(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "HOLD_BACK", 0.05)
    bench.call(last_as_long_as_results_wait, 1)
    bench.call(double, 2)
    bench.call(double, 3)
    bench.turn()
    assert [message.leases for message in bench.sent if isinstance(message, Finished)] == [(1,), (2, 3)]


def revoke(until: int) -> list[int]:
    """Revoke as the supervisor does, in the middle of a task; return what has started, and has ended."""
    NOW[0].page.words[Page.REVOKED] = until
    words = NOW[0].page.words
    return [words[Page.STARTED], words[Page.ENDED]]


def test_revoked_attempts_do_not_run_and_are_returned(bench: Any) -> None:
    bench.call(revoke, 3)
    for i in range(3):
        bench.call(double, i)
    bench.turn()
    finished = [message for message in bench.sent if isinstance(message, Finished)]
    assert [lease for message in finished for lease in message.leases] == [1, 4]
    assert [message for message in bench.sent if isinstance(message, Returned)] == [Returned((2, 3), is_busy=False)]
    assert not bench.page.running
    os.write(bench.order, b"r")
    bench.turn()
    assert bench.sent[0].leases == (1, 4), "a new controller is not told of them"


def test_the_page_names_no_revoked_attempt_as_started(bench: Any) -> None:
    bench.call(revoke, 2)
    bench.call(double, 1)
    bench.turn()
    assert bench.page.started == 1
    assert not bench.page.running
    bench.call(page_words)
    assert bench.collect()[-1] == (Outcome.OK, [3, 1])


def print_and_return(x: int) -> int:
    print(x)
    return x


def fail() -> None:
    raise ValueError


def kept_results() -> list[int]:
    """Return the leases of the results in the page, as the supervisor reads them in the middle of a task."""
    return [lease for lease, _, _ in NOW[0].watched.results()]


def test_results_that_are_not_sent_are_in_the_page(bench: Any) -> None:
    bench.call(double, 1)
    bench.call(print_and_return, 2)
    bench.call(double, "a long result " * 5)
    bench.call(fail)
    bench.call(double, 4)
    bench.call(kept_results)
    assert bench.collect()[-1] == (Outcome.OK, [1, 5]), "others have output, an error, or are too long"


def reconnect_after_a_revocation(lease: int) -> None:
    revoke(lease + 1)
    reconnect(lease)


def test_revoked_attempts_that_a_new_controller_was_told_of_are_returned(bench: Any) -> None:
    bench.call(reconnect_after_a_revocation, 1)
    bench.call(double, 2)
    bench.turn()
    assert bench.sent[0].leases == (1, 2)
    assert Returned((2,), is_busy=False) in bench.sent
    assert [message.leases for message in bench.sent if isinstance(message, Finished)] == [(1,)]


def end_and_answer(lease: int) -> None:
    """Let the attempt end while the helper thread acts for it, and let the controller send the next one."""
    bench = NOW[0]
    connection = bench.connection
    receive = connection.receive

    def receive_when_it_has_ended() -> list[Any]:
        bench.loop.lease = 0
        bench.call(double, 5)
        connection.receive = receive
        return receive()

    connection.receive = receive_when_it_has_ended
    bench.loop.act_for(lease, wants_output=False)


def test_leases_received_when_the_task_has_just_ended_stay(bench: Any) -> None:
    bench.call(end_and_answer, 1)
    bench.turn()
    assert not any(isinstance(said, Returned) for said in bench.sent)
    assert [said.leases for said in bench.sent if isinstance(said, Finished)][-1][-1] == 2


def test_the_helper_thread_reports_nothing_of_a_lease_that_has_ended(bench: Any) -> None:
    bench.call(double, 1)
    bench.turn()
    before = list(bench.sent)
    bench.loop.act_for(1, wants_output=True)
    assert bench.sent == before


def test_a_reconnect_reports_held_leases_and_sends_uncommitted_results_again(bench: Any) -> None:
    for _ in range(2):
        bench.call(double, 1)
        bench.turn()
    bench.connection.inbox.append(Committed(1))
    bench.turn()
    old, unacked = bench.connection, bench.sent[-1]
    os.write(bench.order, b"r")
    bench.turn()
    assert old.is_closed
    assert [(m.leases, m.connection) for m in bench.sent if isinstance(m, Ready)] == [((2,), 1)]
    assert bench.sent[1:] == [unacked]
    os.write(bench.order, b"rr")
    bench.turn()
    bench.connection.inbox.append(Committed(2))
    bench.turn()
    os.write(bench.order, b"r")
    bench.turn()
    assert bench.sent == [Ready(protocol=PROTOCOL, worker=3, pid=os.getpid(), python="3", connection=3)]


def test_code_is_kept_until_the_controller_drops_it(bench: Any) -> None:
    executor = bench.loop._executor
    bench.link.report_codes(lambda: executor.codes)
    spec = bench.spec(double)
    bench.give(spec, dump_call((1,), {}, what="f"))
    bench.turn()
    os.write(bench.order, b"r")
    bench.turn()
    assert bench.sent[0].codes == (spec.code,), "a new controller need not send it again"
    bench.connection.inbox.append(ForgetCode((spec.code, b"x" * 16)))
    bench.turn()
    assert executor.codes == ()
    bench.give(spec, dump_call((1,), {}, what="f"))
    bench.turn()
    (failure,) = [m for m in bench.sent if isinstance(m, Finished)][-1:]
    assert failure.outcomes == (Outcome.FINAL_ERROR,), "neither its body nor what was loaded of it is left"
    assert bench.spec(double).code == spec.code
    bench.give(spec, dump_call((1,), {}, what="f"))
    bench.turn()
    assert bench.sent[-1].outcomes == (Outcome.OK,)


def reconnect(lease: int) -> None:
    os.write(NOW[0].order, b"r")
    NOW[0].loop.act_for(lease, wants_output=False)


def test_a_reconnect_while_user_code_runs(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "KEEP_ONE", 0.0)
    bench.call(reconnect, 1)
    bench.call(double, 2)
    bench.turn()
    assert len(bench.connections) == 2
    assert bench.sent[0].leases == (1, 2)
    assert Returned((2,)) in bench.sent
    assert bench.sent[-1].leases == (1,)


def test_results_are_queued_while_the_connection_is_full(bench: Any) -> None:
    bench.connection.is_full = True
    bench.call(double, 1)
    bench.turn()
    assert bench.link.is_stalled
    bench.connection.is_full = False
    assert bench.collect() == [(Outcome.OK, 2)]
    assert not bench.link.is_stalled


def test_a_change_of_properties_is_reported(bench: Any) -> None:
    bench.properties["a"] = 1
    bench.turn()
    bench.turn()
    assert bench.sent[1:] == [PropertiesChanged()]


def test_no_frame_of_results_is_over_the_target(bench: Any) -> None:
    n = FRAME_TARGET // (LARGE - 100) + 2
    bench.give(bench.spec(bytes), *[dump_call((LARGE - 100,), {}, what="f")] * n)
    bench.turn()
    frames = [message for message in bench.sent if isinstance(message, Finished)]
    assert sum(len(frame.leases) for frame in frames) == n
    assert max(sum(map(len, frame.values)) for frame in frames) <= FRAME_TARGET


def test_a_large_result_is_sent_in_a_file_which_stays_until_it_is_committed(bench: Any) -> None:
    bench.give(bench.spec(bytes), dump_call((LARGE,), {}, what="f"))
    bench.turn()
    (finished,) = (message for message in bench.sent if isinstance(message, Finished))
    (value,) = finished.values
    file = bench.uploads / value.folder / value.file
    assert isinstance(value, Upload)
    assert pickle.loads(file.read_bytes()) == bytes(LARGE)
    assert file.stat().st_size == value.size
    bench.connection.inbox.append(Committed(finished.seq))
    bench.turn()
    assert not file.exists()


def test_a_task_that_leaves_a_thread_behind_keeps_no_result_in_memory(bench: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        bench.call(leave_thread)
        bench.turn()
        (finished,) = (message for message in bench.sent if isinstance(message, Finished))
        bench.connection.inbox.append(Committed(finished.seq))
        bench.turn()
        assert not [path for path in bench.uploads.rglob("*") if path.is_file()]
    finally:
        gc.enable()
        GATE.set()


def test_a_result_without_room_waits_with_its_task_until_there_is_some(bench: Any, monkeypatch: Any) -> None:
    writev, fails = os.writev, iter([True, True])

    def write(*args: Any) -> int:
        if next(fails, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return writev(*args)

    monkeypatch.setattr(os, "writev", write)
    monkeypatch.setattr(room, "LOOK_AGAIN", 0.0)
    bench.call(bytes, LARGE)
    bench.turn()
    (finished,) = (message for message in bench.sent if isinstance(message, Finished))
    assert bench.content(finished.values[0])
    printed = "".join(text for printed in finished.outputs.values() for text in printed)
    assert printed.count("the task waits for room") == 1


def test_a_result_that_its_disk_can_never_hold_is_a_failure_that_says_so(bench: Any, monkeypatch: Any) -> None:
    def write(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", write)
    monkeypatch.setattr(room, "can_ever_hold", lambda folder, n: False)
    bench.call(bytes, LARGE)
    failure = bench.failure()
    assert failure.type_name == "taskfc_ext.errors.StorageFull"
    assert failure.message.startswith("there is no room for the result of bytes in ")
    assert not [path for path in Path(bench.folder.name).rglob("*") if path.is_file()]


def test_a_large_argument_is_mapped_from_its_file_and_can_be_written_to(bench: Any) -> None:
    def write_to(array: Any) -> Any:
        array[0] += 1
        return array[:2]

    bench.payloads.mkdir()
    body = dump_call((np.zeros(LARGE),), {}, what="f")
    bench.payloads.joinpath("1").write_bytes(join(body))
    for _ in range(2):  # a second attempt finds it as it was
        bench.call_with(write_to, PayloadRef("1", len(body)))
        assert list(bench.result()) == [1.0, 0.0]


def test_an_argument_whose_file_is_gone_is_a_failure_of_loading(bench: Any) -> None:
    bench.call_with(abs, PayloadRef("1", LARGE))
    failure = bench.failure(Outcome.FINAL_ERROR)
    assert failure.message.startswith("loading abs on the worker failed: FileNotFoundError")
