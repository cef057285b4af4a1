"""Promises about the deaths of processes: real ones, killed with `kill -9`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from taskfc_ext import MapTask, StringTask, TaskClient, start
from taskfc_ext.drivers.processes import process_alive
from taskfc_ext.errors import ControllerStopped, TaskAborted, WorkerLost
from tests.processes import DEADLINE, await_workers, kill_and_wait, until

from ..conftest import processes_of
from .conftest import kill


def sleep_then(seconds: float, value: object) -> object:
    time.sleep(seconds)
    return value


def note_pid(path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return os.getpid()


def kill_myself_until(path: str, times: int) -> int:
    """Kill this worker, until that was done `times` times."""
    note_pid(path)
    calls = len(Path(path).read_text().splitlines())
    if calls <= times:
        os.kill(os.getpid(), 9)
    return calls


def note_and_wait(path: str, gate: str) -> str:
    note_pid(path)
    while not os.path.exists(gate):
        time.sleep(0.005)
    return "done"


def calls(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


# workers


def test_a_worker_killed_in_a_task_is_replaced_and_the_task_runs_again(home: Path) -> None:
    log, gate = home / "log", home / "gate"
    with start(2) as farm, farm.client() as client:
        future = client.submit(note_and_wait, str(log), str(gate))
        until(lambda: calls(log) == 1, "it runs")
        before = set(farm.worker_pids)
        victim = int(log.read_text())
        kill(victim)
        until(lambda: calls(log) == 2, "it runs again")
        gate.touch()
        assert future.result(DEADLINE) == "done"
        await_workers(client, 2)
        assert victim not in farm.worker_pids, "the dead worker is replaced"
        assert victim in before
        assert future.attempts == 2


def test_a_task_that_kills_its_workers_is_poisoned_and_harms_no_other(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        others = [client.submit(abs, -i) for i in range(200)]
        poison = client.submit(kill_myself_until, str(home / "log"), 99)
        more = [client.submit(abs, -i) for i in range(200)]
        with pytest.raises(WorkerLost, match="last of 3 workers") as caught:
            poison.result(DEADLINE)
        assert "SIGKILL" in caught.value.note
        assert [f.result(DEADLINE) for f in others + more] == [*range(200), *range(200)]
        assert calls(home / "log") == 3


def close_everything() -> None:
    os.closerange(3, 1000)


def test_a_task_that_breaks_its_workers_is_poisoned_though_its_own_code_ends(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        poison = client.submit(close_everything)
        others = [client.submit(abs, -i) for i in range(200)]
        with pytest.raises(WorkerLost, match="last of 3 workers"):
            poison.result(DEADLINE)
        assert [f.result(DEADLINE) for f in others] == list(range(200))


def test_deaths_do_not_consume_retries(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        future = client.submit(kill_myself_until, str(home / "log"), 2)
        assert future.result(DEADLINE) == 3


def test_on_lost_fail_runs_at_most_once(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        once = client.with_options(on_lost="fail")
        future = once.submit(kill_myself_until, str(home / "log"), 99)
        behind = [once.submit(abs, -i) for i in range(20)]
        with pytest.raises(WorkerLost):
            future.result(DEADLINE)
        assert calls(home / "log") == 1
        assert [f.result(DEADLINE) for f in behind] == list(range(20))


def test_all_workers_at_once(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        futures = [client.submit(sleep_then, 0.02, i) for i in range(60)]
        futures[0].result(DEADLINE)
        for pid in farm.worker_pids:
            kill(pid)
        assert [f.result(DEADLINE) for f in futures] == list(range(60))


def test_the_only_worker_of_a_failing_task_with_retries(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        future = client.with_options(retries=3).submit(kill_myself_until, str(home / "log"), 1)
        failing = client.with_options(retries=3).submit(divmod, 1, 0)
        assert future.result(DEADLINE) == 2
        with pytest.raises(ZeroDivisionError):
            failing.result(DEADLINE)
        assert failing.attempts == 4


# files


def test_sockets_that_vanish_come_back_and_nobody_is_cut_off(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        assert client.submit(abs, -1).result(DEADLINE) == 1
        for socket in (home / "r/taskfc").glob("*.[cw]"):
            socket.unlink()
        with farm.client() as newcomer:
            assert newcomer.submit(abs, -2).result(DEADLINE) == 2
        assert client.map(abs, range(50)) == list(range(50))
        kill(farm.worker_pids[0])
        assert client.map(abs, range(50)) == list(range(50))
        until(lambda: len(farm.worker_pids) == 2, "the new worker finds the socket")


def test_a_connection_file_that_vanishes_is_written_again(home: Path) -> None:
    with start(1) as farm:
        pid = farm.supervisor_pid
        farm.connection_file.unlink()
        assert farm.supervisor_pid == pid  # at once
        with TaskClient() as client:
            assert client.submit(abs, -1).result(DEADLINE) == 1
        until(farm.connection_file.exists, "the file is back")


# abort


def test_abort_of_code_that_swallows_interrupts(home: Path) -> None:
    def stubborn(path: str) -> None:
        note_pid(path)
        while True:
            try:
                time.sleep(60)
            except BaseException:
                continue

    with start(1) as farm, farm.client() as client:
        future = client.submit(stubborn, str(home / "log"))
        until(lambda: calls(home / "log") == 1, "it runs")
        client.abort(future.taskid)
        with pytest.raises(TaskAborted):
            future.result(DEADLINE)
        assert client.submit(abs, -1).result(DEADLINE) == 1


def test_abort_takes_the_childs_of_the_task_with_it(home: Path) -> None:
    code = f"""
        import subprocess, sys, time, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(home / "child")!r}, "w").write(str(child.pid))
        while True:
            time.sleep(60)
    """
    with start(1) as farm, farm.client() as client:
        taskid = client.run(StringTask(textwrap.dedent(code)))
        child = int(until(lambda: (home / "child").exists() and (home / "child").read_text(), "it has a child"))
        client.abort(taskid)
        with pytest.raises(TaskAborted):
            client.get_task_result(taskid, block=True)
        until(lambda: not process_alive(child, None), "the child is gone")


def test_an_interrupt_hits_only_the_attempt_it_names(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        for i in range(30):
            slow = client.run(MapTask(sleep_then, (0.01, i)))
            fast = [client.submit(sleep_then, 0.0, i) for i in range(5)]
            time.sleep(i * 0.0005)  # so that the interrupt comes before, in and after the attempt
            try:
                client.abort(slow)
            except IndexError:
                pass  # it had ended
            assert [f.result(DEADLINE) for f in fast] == list(range(5))


# controller


def test_the_controller_killed_ten_times_while_tasks_flow(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        futures = []
        for i in range(2000):
            futures.append(client.submit(sleep_then, 0.001, i))
            if i % 200 == 100:
                client.flush(DEADLINE)
                pid = farm.pid
                kill(pid)
                until(lambda pid=pid: farm.pid not in (None, pid), "the controller is back")
        assert [f.result(DEADLINE) for f in futures] == list(range(2000))
        status = client.queue_status()
        assert (status["succeeded"], status["failed"], status["scheduled"], status["pending"]) == (2000, 0, 0, 0)


def test_a_result_that_came_while_the_controller_was_down_is_delivered(home: Path) -> None:
    log, gate = home / "log", home / "gate"
    with start(1) as farm, farm.client() as client:
        future = client.submit(note_and_wait, str(log), str(gate))
        until(lambda: calls(log) == 1, "it runs")
        kill_and_wait(farm.pid)
        gate.touch()
        assert future.result(DEADLINE) == "done"
        assert calls(log) == 1, "the worker went on with it: it did not run twice"


def test_a_running_task_goes_on_under_a_new_controller_and_can_be_aborted(home: Path) -> None:
    log = home / "log"
    with start(1) as farm, farm.client() as client:
        future = client.submit(note_and_wait, str(log), str(home / "never"))
        until(lambda: calls(log) == 1 and client.queue_status()["pending"] == 1, "it runs")
        old = farm.pid
        kill(old)
        until(lambda: farm.pid not in (None, old), "the controller is back")
        until(lambda: client.queue_status()["pending"] == 1, "the new controller knows that it runs")
        client.abort(future.taskid)
        with pytest.raises(TaskAborted):
            future.result(DEADLINE)
        assert calls(log) == 1


def test_a_barrier_outlives_the_controller(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        taskids = [client.run(MapTask(sleep_then, (0.3, i))) for i in range(4)]
        kill(farm.pid)
        assert client.barrier(taskids, timeout=DEADLINE) is None
        assert [client.get_task_result(taskid) for taskid in taskids] == list(range(4))


# supervisor


def test_the_supervisor_killed_with_open_futures(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        log, gate = home / "log", home / "gate"
        futures = [client.submit(sleep_then, 0.02, i) for i in range(20)]
        futures += [client.submit(note_and_wait, str(log), str(gate)) for _ in range(3)]
        until(lambda: calls(log) == 2, "both workers are in a task")
        old, controller, workers = farm.supervisor_pid, farm.pid, farm.worker_pids
        kill_and_wait(old)
        until(lambda: not process_alive(controller, None), "it follows")  # else it may bring results
        gate.touch()
        assert [f.result(DEADLINE) for f in futures] == [*range(20), *["done"] * 3]
        assert farm.supervisor_pid != old
        until(lambda: not any(process_alive(pid, None) for pid in workers), "its workers are dead")


def test_two_clients_that_restart_a_dead_farm_at_once_end_up_with_one(home: Path) -> None:
    with start(1) as farm, farm.client() as one, farm.client() as two:
        for n in range(3):
            gate = home / f"gate{n}"
            futures = [client.submit(note_and_wait, str(home / "log"), str(gate)) for client in (one, two)]
            one.flush(DEADLINE)
            two.flush(DEADLINE)
            controller = farm.pid
            kill_and_wait(farm.supervisor_pid)
            until(lambda: not process_alive(controller, None), "it follows")  # noqa: B023 - else it may bring results
            gate.touch()
            assert [f.result(DEADLINE) for f in futures] == ["done", "done"], f"round {n}"
            until(lambda: len([p for p in processes_of(home) if _is_supervisor(p)]) == 1, "there is one supervisor")


def _is_supervisor(pid: int) -> bool:
    try:
        return b"taskfc_ext.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_everything_killed_and_started_again(home: Path) -> None:
    farm = start(2)
    with farm.client() as client:
        done = client.submit(abs, -1)
        assert done.result(DEADLINE) == 1
        taskids = [client.run(MapTask(sleep_then, (0.05, i))) for i in range(20)]
    for pid in processes_of(home):
        with suppress(ProcessLookupError):  # the supervisor's children die with it
            kill(pid)
    until(lambda: not processes_of(home), "all are dead")
    with start(2) as farm, farm.client() as client:
        assert [client.get_task_result(taskid, block=True) for taskid in taskids] == list(range(20))
        assert client.get_task_result(done.taskid) == 1


# clients


def test_a_killed_client_loses_only_what_was_not_accepted(home: Path) -> None:
    code = """
        import sys, time
        from taskfc_ext import TaskClient
        client = TaskClient()
        futures = [client.submit(abs, -i) for i in range(500)]
        client.flush()
        print(futures[0].taskid, flush=True)
        time.sleep(600)
    """
    with start(2) as farm:
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            first = int(process.stdout.readline())
            process.kill()
        with farm.client() as client:
            client.barrier(timeout=DEADLINE)
            assert [client.get_task_result(first + i) for i in range(500)] == list(range(500))


# stop


def test_stop_gives_unfinished_work_back_and_a_start_carries_on(home: Path) -> None:
    log, gate = home / "log", home / "gate"
    farm = start(1)
    client = farm.client()
    running = client.submit(note_and_wait, str(log), str(gate))
    queued = client.submit(abs, -7)
    client.flush(DEADLINE)
    until(lambda: calls(log) == 1, "it runs")
    farm.stop()
    with pytest.raises(ControllerStopped):
        running.result(DEADLINE)
    assert not processes_of(home), "stop leaves no process"
    gate.touch()
    with start(1) as farm, farm.client() as other:
        assert other.get_task_result(running.taskid, block=True) == "done"
        assert other.get_task_result(queued.taskid, block=True) == 7
    client.close()
