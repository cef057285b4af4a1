"""Every promise of the seed's interface, through a real controller and real workers, for both clients."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from taskfc_ext import MapTask, StringTask, TaskResult, start
from taskfc_ext.client.start import Controller
from taskfc_ext.errors import DependencyFailed, TaskAborted, TaskRejectError, TaskTimeout, UnknownTasks
from tests.processes import DEADLINE, until

from .conftest import AsyncFace, BlockingFace

Face = BlockingFace | AsyncFace


def double(x: float) -> float:
    return 2 * x


def fail(text: str = "no luck") -> None:
    raise ValueError(text)


def wait_for_file(path: str) -> str:
    """Run until `path` exists."""
    while not os.path.exists(path):
        time.sleep(0.005)
    return "done"


def fail_first(path: str, times: int) -> int:
    """Fail until it was called `times` times; each call leaves a line in `path`."""
    with open(path, "a") as file:
        file.write("x\n")
    calls = Path(path).read_text().count("x")
    if calls <= times:
        raise OSError(f"call {calls}")
    return calls


# run and get_task_result


def test_run_returns_an_id_that_counts_up(face: Face) -> None:
    first = face.run(MapTask(double, (2,)))
    second = face.run(MapTask(double, [3]))
    assert isinstance(first, int)
    assert second > first
    assert face.get_task_result(first, block=True) == 4
    assert face.get_task_result(second, block=True) == 6


def test_run_block_returns_the_result(face: Face) -> None:
    assert face.run(MapTask(double, kwargs={"x": 5}), block=True) == 10


@pytest.mark.parametrize("thing", [double, "1 + 1", None, 3, {"function": double}])
def test_run_takes_tasks_only(face: Face, thing: object) -> None:
    with pytest.raises(TypeError, match="MapTask"):
        face.run(thing)


def test_an_unfinished_result_is_none(face: Face, tmp_path: Path) -> None:
    taskid = face.run(MapTask(wait_for_file, (str(tmp_path / "go"),)))
    assert face.get_task_result(taskid) is None
    (tmp_path / "go").touch()
    assert face.get_task_result(taskid, block=True) == "done"
    assert face.get_task_result(taskid) == "done"


def test_a_map_task_raises_its_own_exception(face: Face) -> None:
    taskid = face.run(MapTask(fail, ("bad luck",)))
    with pytest.raises(ValueError, match="bad luck"):
        face.get_task_result(taskid, block=True)


def test_a_remote_traceback_names_the_line(face: Face) -> None:
    with pytest.raises(ValueError, match="no luck") as caught:
        face.run(MapTask(fail), block=True)
    shown = "".join(getattr(caught.value, "__notes__", [])) + str(caught.value.__cause__)
    assert "raise ValueError(text)" in shown
    assert "taskfc_ext" not in shown


@pytest.mark.parametrize("taskid", [10**6, -1])
def test_an_unknown_id_is_an_index_error(face: Face, taskid: int) -> None:
    for call in (face.get_task_result, face.abort):
        with pytest.raises(IndexError, match=str(taskid)):
            call(taskid)


def test_string_task(face: Face) -> None:
    task = StringTask("c = a * b\nd = [c] * 2", push={"a": 6, "b": 7}, pull=["c", "d"])
    before = datetime.now(UTC)
    taskid = face.run(task)
    result = face.get_task_result(taskid, block=True)
    assert isinstance(result, TaskResult)
    assert result.taskid == taskid
    assert result.results == {"c": 42, "d": [42, 42]}
    assert (result["c"], result.ns.c, result.ns["d"]) == (42, 42, [42, 42])
    assert list(result.keys()) == ["c", "d"] if callable(result.keys) else list(result.keys) == ["c", "d"]
    assert result.failure is None
    result.raise_exception()
    assert isinstance(result.engineid, int)
    assert result.attempts == 1
    assert 0 <= result.duration < 60
    assert result.submitted.tzinfo is not None
    assert abs((result.submitted - before).total_seconds()) < 60
    assert result.completed >= result.submitted


def test_string_task_pulls_one_name(face: Face) -> None:
    result = face.run(StringTask("x = 'one'", pull="x"), block=True)
    assert result["x"] == "one"


@pytest.mark.parametrize(
    ("code", "pull", "error"),
    [("1 +", None, SyntaxError), ("x_ = 1", ["not_there"], NameError), ("1/0", None, ZeroDivisionError)],
)
def test_a_string_task_holds_its_own_exception(face: Face, code: str, pull: object, error: type) -> None:
    result = face.run(StringTask(code, pull=pull), block=True)
    assert isinstance(result.failure, error)
    for raises in (result.raise_exception, lambda: result["x"], lambda: result.ns.x):
        with pytest.raises(error):
            raises()


def test_string_tasks_share_a_workers_namespace_and_clear_it(face: Face) -> None:
    kept = face.run(StringTask("import os; kept = os.getpid()", pull="kept"), block=True)["kept"]
    for clear_before in (False, True):
        look = StringTask(
            "seen = 'kept' in dir()",
            pull="seen",
            clear_before=clear_before,
            depend=lambda properties: os.getpid() == kept,
        )
        assert face.run(look, block=True)["seen"] is not clear_before


def test_a_string_task_of_another_client_is_a_result_too(face: Face, shared_farm: Controller) -> None:
    good = face.run(StringTask("x = 1", pull="x"))
    bad = face.run(StringTask("1/0", pull="x"))
    with shared_farm.client() as other:
        assert other.get_task_result(good, block=True)["x"] == 1
        assert isinstance(other.get_task_result(bad, block=True).failure, ZeroDivisionError)


def test_clear_after_also_clears_after_a_failure(module_home: Path) -> None:
    with start(1, name="alone") as farm, farm.client() as client:
        look = StringTask("seen = sorted(n for n in dir() if n.startswith('kept'))", pull="seen")

        def read_seen() -> list[str]:
            return client.run(look, block=True)["seen"]

        client.run(StringTask("kept = kept_too = 1"))
        assert read_seen() == ["kept", "kept_too"]
        assert isinstance(client.run(StringTask("1/0", clear_after=True), block=True).failure, ZeroDivisionError)
        assert read_seen() == []
        client.run(StringTask("kept = 1"))
        client.run(StringTask("kept_too = 2", clear_before=True))
        assert read_seen() == ["kept_too"]


# abort


def test_abort_of_a_queued_task_removes_it(face: Face, tmp_path: Path) -> None:
    gates = [face.run(MapTask(wait_for_file, (str(tmp_path / "go"),))) for _ in range(2)]
    until(lambda: face.queue_status()["pending"] == 2, "both workers are busy")
    taskid = face.run(MapTask(wait_for_file, (str(tmp_path / "never"),)))
    face.abort(taskid)
    (tmp_path / "go").touch()
    face.barrier(gates, timeout=DEADLINE)
    with pytest.raises(TaskAborted):
        face.get_task_result(taskid, block=True)
    with pytest.raises(IndexError, match=str(taskid)):
        face.abort(taskid)


def test_abort_of_a_running_task_stops_it(face: Face, tmp_path: Path) -> None:
    taskid = face.run(MapTask(wait_for_file, (str(tmp_path / "never"),)))
    until(lambda: taskid in face.queue_status(verbose=True)["pending"], "it runs")
    face.abort(taskid)
    with pytest.raises(TaskAborted):
        face.get_task_result(taskid, block=True)
    assert taskid in face.queue_status(verbose=True)["aborted"]


@pytest.mark.parametrize("taskid", ["1", 1.0, None, [1]])
def test_abort_wants_an_int(face: Face, taskid: object) -> None:
    with pytest.raises(TypeError, match="int"):
        face.abort(taskid)


# barrier


def test_barrier_returns_when_all_have_ended_whatever_they_ended_in(face: Face) -> None:
    taskids = [face.run(MapTask(double, (1,))), face.run(MapTask(fail)), face.run(StringTask("1/0"))]
    assert face.barrier(taskids) is None
    assert face.barrier(taskids[0]) is None
    assert face.barrier(tuple(taskids)) is None
    assert face.barrier() is None
    status = face.queue_status(verbose=True)
    assert not set(taskids) & {*status["scheduled"], *status["pending"], *status["waiting"]}


def test_barrier_times_out_and_harms_nothing(face: Face, tmp_path: Path) -> None:
    taskid = face.run(MapTask(wait_for_file, (str(tmp_path / "go"),)))
    with pytest.raises(TimeoutError):
        face.barrier([taskid], timeout=0.05)
    (tmp_path / "go").touch()
    assert face.get_task_result(taskid, block=True) == "done"


def test_barrier_on_an_unknown_id(face: Face) -> None:
    with pytest.raises(IndexError, match="999999"):
        face.barrier([999_999])


# spin, queue_status, clear


def test_queue_status(face: Face, tmp_path: Path) -> None:
    gates = [face.run(MapTask(wait_for_file, (str(tmp_path / "go"),))) for _ in range(2)]
    until(lambda: set(gates) <= set(face.queue_status(verbose=True)["pending"]), "both run")
    queued = face.run(MapTask(double, (1,)))
    status = face.queue_status(verbose=True)
    assert {"scheduled", "pending", "succeeded", "failed", "waiting", "aborted"} <= set(status)
    assert queued in status["scheduled"]
    assert {key: len(ids) for key, ids in status.items()} == face.queue_status()
    (tmp_path / "go").touch()
    face.barrier([*gates, queued])
    assert {*gates, queued} <= set(face.queue_status(verbose=True)["succeeded"])


def test_clear(face: Face, tmp_path: Path) -> None:
    done = [face.run(MapTask(double, (i,))) for i in range(3)]
    face.barrier(done)
    assert face.clear(done[:1]) == 1
    with pytest.raises(IndexError, match=str(done[0])):
        face.get_task_result(done[0])
    with pytest.raises(KeyError) as caught:
        face.clear([done[1], done[0], 999_999])
    assert isinstance(caught.value, UnknownTasks)
    assert set(caught.value.taskids) == {done[0], 999_999}
    assert caught.value.n_cleared == 1
    assert "999999" in str(caught.value)
    unfinished = face.run(MapTask(wait_for_file, (str(tmp_path / "go"),)))
    assert face.clear() >= 1
    (tmp_path / "go").touch()
    assert face.get_task_result(unfinished, block=True) == "done"
    assert face.clear([]) == 0


# map, mapper, parallel


def test_map(face: Face) -> None:
    assert face.map(double, range(20)) == [2 * i for i in range(20)]
    assert face.map(lambda a, b: a + b, [1, 2], (10, 20)) == [11, 22]
    assert face.map(double, []) == []


def test_map_of_unequal_length(face: Face) -> None:
    with pytest.raises(ValueError, match=r"3.*2"):
        face.map(lambda a, b: a, [1, 2, 3], [1, 2])


def test_map_waits_for_all_and_raises_the_first_failure(face: Face) -> None:
    def picky(i: int) -> int:
        if i in (3, 5):
            raise LookupError(f"item {i}")
        return i

    with pytest.raises(LookupError, match="item 3") as caught:
        face.map(picky, range(8))
    notes = "\n".join(caught.value.__notes__)
    assert "5" in notes
    assert "2 failed" in notes


def test_mapper(face: Face) -> None:
    mapper = face.mapper(retries=2, block=True)
    assert (mapper.retries, mapper.block) == (2, True)
    assert mapper.task_controller is not None
    assert face.mapped(mapper, double, range(4)) == [0, 2, 4, 6]
    taskids = face.mapped(face.mapper(block=False), double, range(3))
    assert [face.get_task_result(taskid, block=True) for taskid in taskids] == [0, 2, 4]


def test_parallel(face: Face) -> None:
    @face.parallel()
    def triple(x: int) -> int:
        return 3 * x

    result = triple(range(4))
    assert (face.runner.run(result) if isinstance(face, AsyncFace) else result) == [0, 3, 6, 9]


# retries, recovery, depend, reject


def test_retries(face: Face, tmp_path: Path) -> None:
    path = str(tmp_path / "calls")
    assert face.run(MapTask(fail_first, (path, 2), retries=2), block=True) == 3
    with pytest.raises(OSError, match="call 2"):
        face.run(MapTask(fail_first, (path + "2", 5), retries=1), block=True)
    assert Path(path + "2").read_text().count("x") == 2


def test_recovery_runs_under_the_same_id_after_the_retries(face: Face, tmp_path: Path) -> None:
    path = str(tmp_path / "calls")
    recovery = MapTask(lambda: "recovered")
    taskid = face.run(MapTask(fail_first, (path, 9), retries=1, recovery_task=recovery))
    assert face.get_task_result(taskid, block=True) == "recovered"
    assert Path(path).read_text().count("x") == 2


def test_depend_is_asked_on_the_worker(face: Face) -> None:
    task = MapTask(os.getpid, depend=lambda properties: True)
    assert face.run(task, block=True) in [worker.pid for worker in face.workers()]


def test_a_rejecting_task_is_tried_elsewhere_and_again(face: Face, tmp_path: Path) -> None:
    def not_yet(path: str) -> str:
        with open(path, "a") as file:
            file.write("x\n")
        if Path(path).read_text().count("x") < 4:
            raise TaskRejectError("not yet")
        return "accepted"

    taskid = face.run(MapTask(not_yet, (str(tmp_path / "calls"),)))
    assert face.get_task_result(taskid, block=True) == "accepted"


def test_spin_asks_again(face: Face, tmp_path: Path) -> None:
    flag = str(tmp_path / "flag")
    task = MapTask(double, (4,), depend=lambda properties: os.path.exists(flag))
    taskid = face.run(task)
    refused = "all workers refuse it"
    until(lambda: face.list_tasks(taskids=[taskid])[0].message.startswith(refused), "both workers have refused it")
    (tmp_path / "flag").touch()
    assert face.get_task_result(taskid) is None
    assert face.spin() is None
    assert face.get_task_result(taskid, block=True) == 8


# submit and its options


def test_submit(face: Face) -> None:
    future = face.submit(double, 4)
    assert face.result(future) == 8
    assert isinstance(future.taskid, int)
    assert face.get_task_result(future.taskid) == 8


def test_timeout_consumes_a_retry_and_fails(face: Face, tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    future = face.with_options(timeout=0.2, retries=1, name="slow").submit(wait_for_file, never)
    with pytest.raises(TaskTimeout, match=r"0\.2 s"):
        face.result(future)
    assert future.attempts == 2


def test_after_and_dependency_failure(face: Face) -> None:
    good = face.submit(double, 1)
    bad = face.submit(fail)
    assert face.result(face.with_options(after=[good]).submit(double, 5)) == 10
    with pytest.raises(DependencyFailed) as caught:
        face.result(face.with_options(after=[good, bad]).submit(double, 5))
    assert caught.value.parent == bad.taskid
    assert face.result(face.with_options(after=[bad], after_any=True).submit(double, 6)) == 12


def test_a_future_as_argument_is_its_result(face: Face) -> None:
    first = face.submit(double, 21)
    assert face.result(face.submit(double, first)) == 84


def test_a_nested_future_is_refused(face: Face) -> None:
    first = face.submit(double, 21)
    with pytest.raises(TypeError, match="future"):
        face.submit(double, [first])


def test_names(face: Face) -> None:
    future = face.with_options(name="fit.1").submit(double, 8)
    face.result(future)
    assert [info.taskid for info in face.list_tasks(name="fit.1")][-1] == future.taskid


def test_prints_are_kept(face: Face) -> None:
    def speak() -> None:
        print("hello from a task")

    future = face.submit(speak)
    face.result(future)
    assert "hello from a task" in face.log(future.taskid)


def test_client_name(face: Face) -> None:
    assert isinstance(face.get_client_name(), str)
