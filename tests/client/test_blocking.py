"""The client against a controller over a real socket, through deaths and stops of that controller."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.client.session.registry import flush_all, register, unregister
from taskfc_ext.client.submit import submitter
from taskfc_ext.errors import (
    ControllerStopped,
    ControllerUnavailable,
    FarmError,
    RequestRefused,
    StartFailed,
    TaskAborted,
    UnknownTask,
    UnpicklableArgument,
    UnpicklableResult,
)
from taskfc_ext.protocol.client_messages import (
    Abort,
    Accepted,
    Barrier,
    Define,
    Ended,
    ErrorKind,
    GetResults,
    Hello,
    Refused,
    Resync,
    Stop,
    Stopping,
    Submit,
    Unwait,
)
from taskfc_ext.serialize import dump_value
from taskfc_ext.tasks import MapTask
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE


def double(x: int) -> int:
    return 2 * x


def print_and_double(x: int) -> int:
    print("printed")
    return 2 * x


def invert(x: int) -> float:
    return 1 / x


def in_thread(function: Callable[[], Any]) -> concurrent.futures.Future[Any]:
    """Call `function` in a thread of its own."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# submitting


def test_a_submission_comes_back(client: BlockingTaskClient) -> None:
    future = client.submit(print_and_double, 21)
    assert future.result(DEADLINE) == 42
    assert future.taskid == 0
    assert future.accepted
    assert future.state == "succeeded"
    assert future.attempts == 1
    assert future.stdout == "printed\n"


def test_many_go_in_few_messages_and_their_code_goes_once(farm: FakeFarm, client: BlockingTaskClient) -> None:
    assert client.map(double, range(10_000)) == [2 * i for i in range(10_000)]
    submits = [message for message in farm.controller.received if isinstance(message, Submit)]
    assert len(submits) < 1000
    assert sum(len(message.bodies) for message in submits) == 10_000
    defined = [message.digest for message in farm.controller.wait_for(Define)]
    assert sorted(defined) == sorted(submits[0].spec.bodies)  # the function, its context, the modules beside it


def test_a_future_as_an_argument_is_its_result(client: BlockingTaskClient) -> None:
    assert client.submit(double, client.submit(double, 5)).result(DEADLINE) == 20
    assert client.submit(double, x=client.submit(double, 5)).result(DEADLINE) == 20


def test_a_nested_future_is_refused(client: BlockingTaskClient) -> None:
    with pytest.raises(UnpicklableArgument, match="argument of its own"):
        client.submit(len, [client.submit(double, 5)])


def test_the_futures_of_a_refused_submission_raise(farm: FakeFarm, client: BlockingTaskClient) -> None:
    def refuse(message: Any) -> Any:
        return [Refused(message.seq, ErrorKind.TOO_MUCH, "too much")] if isinstance(message, Submit) else None

    farm.controller.rule = refuse
    future = client.submit(double, 1)
    with pytest.raises(RequestRefused, match="too much"):
        future.result(DEADLINE)
    assert not future.accepted
    assert future.state == "failed"
    with pytest.raises(RequestRefused):
        client.run(MapTask(double, [1]))


def returns_what_exits() -> object:
    class ExitsWhenLoaded:
        def __reduce__(self) -> Any:
            return sys.exit, (3,)

    return ExitsWhenLoaded()


def test_a_result_that_would_end_the_program_when_it_is_rebuilt(client: BlockingTaskClient) -> None:
    with pytest.raises(UnpicklableResult, match="SystemExit"):
        client.submit(returns_what_exits).result(DEADLINE)


def test_a_body_that_no_frame_can_carry_is_the_callers_error_and_harms_nothing_else(
    farm: FakeFarm, client: BlockingTaskClient
) -> None:
    with pytest.raises(UnknownTask, match="so large a number"):
        client.with_options(after=2**80)
    for ask in (client.get_task_result, client.abort, client.barrier, client.clear, client.log, client.future):
        with pytest.raises(UnknownTask, match="so large a number"):
            ask(2**60)
    with pytest.raises(OverflowError):
        client.list_tasks(limit=2**80)
    with pytest.raises(UnicodeEncodeError):
        client.list_tasks(name="\udcff")
    farm.controller.running = False  # so that there is something to abort
    client.submit_cell("'\udcff'").abort()
    farm.controller.running = True
    assert client.submit(double, 3).result(DEADLINE) == 6


@pytest.mark.parametrize("timeout", [-1, float("nan"), 1e300])
def test_impossible_timeouts_of_waits(client: BlockingTaskClient, timeout: float) -> None:
    for wait in (client.barrier, client.flush):
        with pytest.raises(ValueError, match="timeout is a number of seconds"):
            wait(timeout=timeout)
        with pytest.raises(TypeError, match="timeout is a number of seconds"):
            wait(timeout="3")  # type: ignore[arg-type]
        assert wait(timeout=float("inf")) is None


def test_map_raises_the_first_failure_and_names_the_others(client: BlockingTaskClient) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        client.map(invert, [1, 0, 2, 0])
    assert caught.value.__notes__ == ["item 1 of 4 in a map, counted from 0; 2 failed, the others: 3"]


def test_a_map_of_one_future_draws_its_numbers_once(client: BlockingTaskClient) -> None:
    rng = random.Random(1)

    def add_noise(x: int) -> float:
        return x + rng.random()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (result,) = client.map(add_noise, [client.submit(double, 2)])
    assert result == 4 + random.Random(1).random()


@pytest.mark.parametrize("chunksize", [1, 3, 10, 10**30])
def test_a_map_in_chunks_gives_the_same(client: BlockingTaskClient, chunksize: int) -> None:
    numbers = range(10)
    assert client.map(double, numbers, chunksize=chunksize) == [2 * x for x in numbers]
    assert client.map(pow, (x for x in numbers), iter([2] * 10), chunksize=chunksize) == [x**2 for x in numbers]
    assert client.map(double, [], chunksize=chunksize) == []
    assert {task.label for task in client.list_tasks()} == {"double", "pow"}
    with pytest.raises(ValueError, match="different lengths: 10, 2"):
        client.map(pow, numbers, [1, 2], chunksize=chunksize)


def test_a_map_of_more_tasks_than_a_client_may_have_is_an_error_before_any_is_sent(
    client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskfc_ext.client.mapper.MAX_UNFINISHED", 10)
    with pytest.raises(ValueError, match=r"the map has 11 tasks, and .* 10 unfinished ones: give chunksize=2 or more"):
        client.map(double, range(11))
    assert client.list_tasks() == []
    assert client.map(double, range(11), chunksize=2) == list(range(0, 22, 2))


def test_a_task_beyond_the_quota_is_refused_and_the_others_run(
    farm: FakeFarm, client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskfc_ext.core.state.quotas.MAX_UNFINISHED", 2)
    farm.running = False
    accepted = [client.submit(double, number) for number in range(2)]
    client.flush()
    refused = client.submit(double, 2)
    with pytest.raises(RequestRefused, match="this client has 2 unfinished tasks"):
        refused.result(DEADLINE)
    farm.running = True
    assert [future.result(DEADLINE) for future in accepted] == [0, 2]
    assert client.submit(double, 2).result(DEADLINE) == 4


def test_a_chunk_is_one_task(client: BlockingTaskClient) -> None:
    client.map(double, range(10), chunksize=4)
    assert client.queue_status()["succeeded"] == 3


def test_an_error_in_a_chunk_names_its_item_and_the_other_chunks(client: BlockingTaskClient) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        client.map(divmod, [1] * 10, [1, 2, 3, 4, 0, 6, 0, 8, 9, 0], chunksize=3)
    assert caught.value.__notes__ == [
        "item 4 in a map",
        "chunk 1 of 4 in a map, counted from 0; 3 failed, the others: 2, 3",
    ]


@pytest.mark.parametrize(
    ("chunksize", "error", "words"),
    [(0, ValueError, "at least 1, not 0"), (-1, ValueError, "at least 1, not -1"), ("2", TypeError, "int, not '2'")],
)
def test_a_wrong_chunksize_is_refused(
    client: BlockingTaskClient, chunksize: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.map(double, [1], chunksize=chunksize)
    assert client.list_tasks() == []


def test_a_future_in_a_chunk_is_refused(client: BlockingTaskClient) -> None:
    with pytest.raises(UnpicklableArgument, match="TaskFuture"):
        client.map(double, [client.submit(double, 1), 2], chunksize=2)


def test_map_refuses_unequal_lengths(client: BlockingTaskClient) -> None:
    with pytest.raises(ValueError, match="2, 3"):
        client.map(pow, [1, 2], [1, 2, 3])
    with pytest.raises(TypeError, match="a sequence for each"):
        client.map(double)


def submit_twice(client: BlockingTaskClient, function: Callable[..., Any]) -> None:
    for _ in range(2):
        client.submit(function, 1)


def map_twice(client: BlockingTaskClient, function: Callable[..., Any]) -> None:
    client.map(function, range(2))


@pytest.mark.parametrize("call", [submit_twice, map_twice])
def test_a_warning_about_large_objects_points_at_the_line_that_submits(
    client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch, call: Callable[..., None]
) -> None:
    monkeypatch.setattr(submitter, "LARGE_LOAD", 1)
    with pytest.warns(UserWarning, match="each task of range loads") as found:
        call(client, range)
    assert [warning.filename for warning in found] == [__file__]


def test_mapper_and_parallel(client: BlockingTaskClient) -> None:
    mapper = client.mapper(retries=2, block=False)
    assert mapper.task_controller is client
    assert mapper.retries == 2
    assert mapper.map(double, [1, 2]) == [0, 1]
    assert client.parallel()(double)([3, 4]) == [6, 8]


# asking


def test_run_and_results(client: BlockingTaskClient) -> None:
    taskid = client.run(MapTask(double, [4]))
    assert client.get_task_result(taskid, block=True) == 8
    assert client.get_task_result(taskid) == 8
    assert client.run(MapTask(invert, [4]), block=True) == 0.25
    with pytest.raises(IndexError):
        client.get_task_result(99)
    with pytest.raises(TypeError, match="'x'"):
        client.get_task_result("x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="MapTask"):
        client.run(double)  # type: ignore[arg-type]


def test_an_unfinished_result_is_none(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    taskid = client.run(MapTask(double, [4]))
    assert client.get_task_result(taskid) is None
    farm.controller.run_tasks()
    assert client.get_task_result(taskid, block=True) == 8


def test_a_question_for_a_future_that_is_cancelled_at_once_harms_nothing(
    farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    farm.controller.running = False
    taskid = client.run(MapTask(double, [4]))
    template, gate = client.future(taskid)._template, threading.Event()
    remote._in_loop(gate.wait)
    for ask in (remote.follow, remote.peek):
        assert ask(template, taskid).cancel()
    gate.set()
    assert client.get_task_result(taskid) is None
    assert caplog.records == []


def test_a_task_of_another_client(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    taskid = client.run(MapTask(double, [4]))
    other = RemoteController(farm)
    stranger = BlockingTaskClient(FCTaskClient(other))
    assert stranger.get_task_result(taskid) is None
    waiting = in_thread(lambda: stranger.get_task_result(taskid, block=True))
    farm.controller.wait_for(GetResults, 2)
    farm.controller.run_tasks()
    assert waiting.result(DEADLINE) == 8
    stranger.close()


def test_barrier(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 1)
    client.flush()  # so that only the barrier is unanswered
    barriers: list[Barrier] = []
    timeout = 0.01
    while not barriers:  # on a loaded machine the time may be over before the controller is asked
        with pytest.raises(TimeoutError, match="unfinished"):
            client.barrier(timeout=timeout)
        barriers = [message for message in farm.controller.received if isinstance(message, Barrier)]
        timeout *= 4
    unwait = farm.controller.wait_for(Unwait)[0]
    assert (unwait.barrier, unwait.acked) == (barriers[0].seq, unwait.seq)
    waiting = in_thread(lambda: client.barrier([future]))
    farm.controller.wait_for(Barrier, 2)
    farm.controller.run_tasks()
    assert waiting.result(DEADLINE) is None


def test_interrupting_a_wait_harms_nothing(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 1)

    def interrupt() -> None:
        farm.controller.wait_for(Barrier)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        client.barrier()
    interrupting.result(DEADLINE)
    farm.controller.wait_for(Unwait)
    farm.controller.run_tasks()
    assert future.result(DEADLINE) == 2


# cancel and abort


def test_cancel_asks_the_controller(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 1)
    client.flush()
    assert future.cancel()
    assert future.cancelled()
    assert future.state == "aborted"
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(DEADLINE)
    assert farm.controller.wait_for(Abort)[0].queued_only  # type: ignore[union-attr]


def test_cancel_of_a_finished_task_is_false(client: BlockingTaskClient) -> None:
    future = client.submit(double, 1)
    assert future.result(DEADLINE) == 2
    assert not future.cancel()
    assert not future.cancelled()


def test_cancel_before_sending_is_decided_here(farm: FakeFarm) -> None:
    farm.controller.rule = lambda message: [] if isinstance(message, Hello) else None  # never a Welcome
    remote = RemoteController(farm)
    client = BlockingTaskClient(FCTaskClient(remote))
    future, other = client.submit(double, 1), client.submit(double, 2)
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(DEADLINE)
    other.abort()
    with pytest.raises(TaskAborted):
        other.result(DEADLINE)
    assert other.state == "aborted"
    assert not other.cancelled()
    remote.close()
    assert not [message for message in farm.controller.received if isinstance(message, Submit)]


def test_abort(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future, other = client.submit(double, 1), client.submit(double, 2)
    client.flush()
    future.abort()
    with pytest.raises(TaskAborted):
        future.result(DEADLINE)
    assert not future.cancelled()
    with pytest.raises(UnknownTask):
        future.abort()
    assert other.taskid is not None
    client.abort(other.taskid)
    assert other.exception(DEADLINE) is not None
    with pytest.raises(TypeError):
        client.abort(None)  # type: ignore[arg-type]


# the controller comes and goes


def test_a_dead_controller_comes_back(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = farm.controller.running = False
    accepted = client.submit(double, 1)
    client.flush()
    waiting = in_thread(client.barrier)
    farm.controller.wait_for(Barrier)
    farm.kill(then=Condition.ALIVE)
    unsent = client.submit(invert, 2)
    farm.revive()
    farm.controller.wait_for(GetResults)
    farm.controller.wait_for(Barrier)
    client.flush()
    farm.controller.run_tasks()
    assert accepted.result(DEADLINE) == 2
    assert unsent.result(DEADLINE) == 0.5
    assert waiting.result(DEADLINE) is None
    assert isinstance(farm.controller.received[0], Hello)


def test_a_lost_answer_does_not_double_the_task(farm: FakeFarm, client: BlockingTaskClient) -> None:
    client.flush()
    farm.running, farm.controller.lost = False, (Accepted,)
    future = client.submit(double, 1)
    farm.controller.wait_for(Submit)
    farm.kill(then=Condition.ALIVE)
    farm.revive()
    farm.controller.run_tasks()
    assert future.result(DEADLINE) == 2
    assert future.taskid == 0
    assert farm.controller.n_accepted == 1


def test_results_of_tasks_that_ended_meanwhile_are_delivered(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running, farm.controller.lost = False, (Ended,)
    future = client.submit(double, 7)
    client.flush()
    farm.controller.run_tasks()
    client.barrier([future])
    assert not future.done()
    farm.kill(then=Condition.ALIVE)
    farm.revive()
    assert future.result(DEADLINE) == 14
    assert farm.controller.n_accepted == 1


def test_a_cleared_task_ends_its_future(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    gone, there = client.submit(double, 1), client.submit(double, 2)
    client.flush()
    farm.controller.lost = (Ended,)
    with farm.client() as other:
        other.abort(0)
        other.clear([0])
    farm.controller.lost = ()
    farm.controller.send(Resync())
    with pytest.raises(UnknownTask):
        gone.result(DEADLINE)
    farm.controller.run_tasks()
    assert there.result(DEADLINE) == 4


def test_an_unknown_session_greets_again(farm: FakeFarm, client: BlockingTaskClient) -> None:
    forgot = [True]

    def forget(message: Any) -> Any:
        if isinstance(message, Submit) and forgot:
            forgot.clear()
            return [Refused(message.seq, ErrorKind.SAY_HELLO, "who are you?")]
        return None

    farm.controller.rule = forget
    assert client.submit(double, 1).result(DEADLINE) == 2
    assert len(farm.controller.wait_for(Hello, 2)) == 2


def test_a_client_whose_welcome_is_lost_greets_again(farm: FakeFarm, client: BlockingTaskClient) -> None:
    """The queue to it was full when the welcome came, and its connection is that of its first greeting."""
    lose: list[type[Any]] = [Hello, Submit]

    def lose_welcome(message: Any) -> Any:
        if lose and isinstance(message, lose[-1]):
            kind = lose.pop()
            return [Resync()] if kind is Hello else [Refused(message.seq, ErrorKind.SAY_HELLO, "who are you?")]
        return None

    farm.controller.rule = lose_welcome
    assert client.submit(double, 1).result(DEADLINE) == 2
    assert len(farm.controller.wait_for(Hello, 3)) == 3


def test_a_dead_farm_is_restarted_by_a_client_that_waits(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 1)
    client.flush()
    farm.kill(then=Condition.DEAD)
    farm.running = True
    again = client.submit(double, 2)
    assert again.result(DEADLINE) == 4
    assert farm.revivals == 1
    assert future.result(DEADLINE) == 2


def test_a_farm_that_cannot_be_restarted_says_why(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 1)
    client.flush()
    farm.broken = "no room"
    farm.kill(then=Condition.DEAD)
    with pytest.raises(StartFailed, match="no room"):
        future.result(DEADLINE)


def test_a_stop_ends_open_waits_and_a_submission_starts_again(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 1)
    waiting = in_thread(client.barrier)
    farm.controller.wait_for(Barrier)
    farm.state = Condition.STOPPED
    farm.controller.send(Stopping())
    with pytest.raises(ControllerStopped):
        future.result(DEADLINE)
    with pytest.raises(ControllerStopped):
        waiting.result(DEADLINE)
    with pytest.raises(ControllerStopped):
        client.queue_status()
    farm.controller.close()
    assert farm.revivals == 0
    farm.running = True
    assert client.submit(double, 3).result(DEADLINE) == 6
    assert farm.revivals == 1
    assert client.get_task_result(0, block=True) == 2


@pytest.mark.parametrize("error", [FarmError("too few"), OSError(24, "too few")])
def test_a_connection_that_cannot_be_opened_ends_the_waits(
    farm: FakeFarm, client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*arguments: object) -> None:
        raise error

    farm.running = False
    future = client.submit(double, 1)
    client.flush()
    with monkeypatch.context() as patch:
        patch.setattr("taskfc_ext.client.session.connection.Link", refuse)
        farm.kill(then=Condition.ALIVE)
        with pytest.raises(type(error), match="too few"):
            future.result(DEADLINE)
    farm.running = True
    farm.revive()
    assert client.submit(double, 3).result(20) == 6


def test_a_revival_without_a_thread_for_it_ends_the_waits(
    farm: FakeFarm, client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    farm.running = False
    future = client.submit(double, 1)
    client.flush()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        farm.kill(then=Condition.DEAD)
        with pytest.raises(FarmError, match="a start of the farm needs a thread"):
            future.result(DEADLINE)
    farm.running = True
    assert client.submit(double, 3).result(DEADLINE) == 6


def test_a_flush_alone_starts_no_farm_that_was_stopped(farm: FakeFarm, client: BlockingTaskClient) -> None:
    assert client.submit(double, 3).result(DEADLINE) == 6
    for _ in range(2):  # by somebody else; the farm runs in between, and then nothing is asked of it
        farm.state = Condition.STOPPED
        farm.controller.send(Stopping())
        with pytest.raises(ControllerStopped):
            client.queue_status()
        farm.controller.close()
        farm.revive()
        client.flush()
    assert farm.revivals == 2


def test_stopping_it_ourselves(farm: FakeFarm, client: BlockingTaskClient) -> None:
    client.stop()
    farm.controller.wait_for(Stop)
    farm.state = Condition.STOPPED
    client.stop()
    with pytest.raises(ControllerStopped):
        client.spin()


def test_another_version_is_refused(farm: FakeFarm, client: BlockingTaskClient) -> None:
    client.flush()
    farm.controller.rule = lambda message: [Refused(0, ErrorKind.VERSION, "protocol 2")]
    with pytest.raises(Exception, match="protocol 2"):
        client.queue_status()


# the end


def test_a_closed_client_says_so(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 1)
    client.close()
    client.close()
    for call in (lambda: client.submit(double, 1), client.queue_status, lambda: future.result(DEADLINE)):
        with pytest.raises(ControllerUnavailable, match="closed"):
            call()
    assert farm.controller.n_accepted == 1


class ClosedJustNow:
    """A client that another thread closes as soon as it has been found to be open."""

    farm_name = "fake"
    n_unaccepted = 0

    def flush(self) -> concurrent.futures.Future[None]:
        raise ControllerUnavailable("this client is closed")

    def close(self) -> None: ...

    def disown(self) -> None: ...


def test_all_are_flushed_though_one_of_them_is_closed_meanwhile(farm: FakeFarm, client: BlockingTaskClient) -> None:
    other = ClosedJustNow()
    register(other)
    future = client.submit(double, 3)
    flush_all("fake")
    unregister(other)
    assert future.accepted


def test_blocking_in_the_io_thread_is_refused(client: BlockingTaskClient) -> None:
    answer = in_thread(lambda: None)
    loop = client._client.remote_reference._thread.loop
    answer = concurrent.futures.Future()

    def ask() -> None:
        try:
            client.queue_status()
        except RuntimeError as error:
            answer.set_result(str(error))

    loop.call_soon_threadsafe(ask)
    assert "deadlock" in answer.result(DEADLINE)


def test_a_forked_child_gets_a_clear_error(client: BlockingTaskClient) -> None:
    client.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            client.submit(double, 1)
        except ControllerUnavailable as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert b"forked" in pipe.read()
    assert client.submit(double, 1).result(DEADLINE) == 2


def test_the_async_client_in_a_loop_of_its_own(farm: FakeFarm, remote: RemoteController) -> None:
    async def use() -> None:
        client = FCTaskClient(remote)
        assert await client.map(double, [1, 2]) == [2, 4]
        assert await client.submit(double, 4) == 8
        farm.controller.running = False
        future = client.submit(double, 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)
        assert not future.done()
        with pytest.raises(TimeoutError):
            await client.barrier(timeout=0.01)
        waiting = asyncio.wrap_future(future)
        farm.controller.run_tasks()
        assert await waiting == 10

    asyncio.run(use())


# two faces


def public_names(cls: type) -> set[str]:
    return {name for name, value in inspect.getmembers(cls, callable) if not name.startswith("_")}


def test_both_faces_have_the_same_methods() -> None:
    assert public_names(FCTaskClient) == public_names(BlockingTaskClient)


@pytest.mark.parametrize("name", sorted(public_names(FCTaskClient)))
def test_both_faces_agree(name: str) -> None:
    asynchronous, blocking = getattr(FCTaskClient, name), getattr(BlockingTaskClient, name)
    assert asynchronous.__doc__
    assert blocking.__doc__ == asynchronous.__doc__
    ours, theirs = inspect.signature(blocking), inspect.signature(asynchronous)
    assert ours.parameters == theirs.parameters
    if inspect.iscoroutinefunction(asynchronous):
        assert ours.return_annotation == theirs.return_annotation
    assert not inspect.iscoroutinefunction(blocking)


def test_accepted_twice_is_no_harm(farm: FakeFarm, client: BlockingTaskClient) -> None:
    future = client.submit(double, 1)
    assert future.result(DEADLINE) == 2
    ended = Ended(
        ids=(0,), reasons=("",), values=(dump_value(2, what="it"),), workers=(0,), attempts=(1,), submitted=(1.0,),
        completed=2.0, seconds=(0.5,),
    )  # fmt: skip
    farm.controller.send(Accepted(1, 0), ended)
    assert client.submit(double, 2).result(DEADLINE) == 4


def test_repairs_are_counted(farm: FakeFarm, client: BlockingTaskClient) -> None:
    assert client.repairs() == 0
    farm.controller._scheduler.farm.n_repairs = 3
    assert client.repairs() == 3
