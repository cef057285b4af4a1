"""Tasks that submit tasks and wait for them, on fewer workers than there are such tasks: each way of waiting ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import BlockingTaskClient, MapTask, TaskClient, attach, start
from taskfc_ext.cli import main
from taskfc_ext.client.start import Controller
from taskfc_ext.errors import RequestRefused
from tests.processes import DEADLINE, until

from .conftest import Session, kill


@pytest.fixture
def client(lone_farm: Controller) -> Iterator[BlockingTaskClient]:
    with lone_farm.client() as client:
        yield client
        for task in client.list_tasks(states=("waiting", "scheduled", "running")):
            client.abort(task.taskid)
        client.barrier(timeout=DEADLINE)


def square(x: int) -> int:
    return x * x


def with_result(x: int) -> int:
    with TaskClient() as client:
        return client.submit(square, x).result()


def with_a_timeout(x: int) -> int:
    with TaskClient() as client:
        return client.submit(square, x).result(DEADLINE)


def with_exception(x: int) -> int:
    with TaskClient() as client:
        error = client.submit(int, "no number").exception()
        return x * x if isinstance(error, ValueError) else -1


def with_map(x: int) -> int:
    with TaskClient() as client:
        return sum(client.map(square, [x, 0, 0]))


def with_a_mapper(x: int) -> int:
    with TaskClient() as client:
        return sum(client.mapper(retries=1).map(square, [x, 0]))


def with_a_parallel_function(x: int) -> int:
    with TaskClient() as client:
        return sum(client.parallel()(square)([x, 0]))


def with_a_barrier(x: int) -> int:
    with TaskClient() as client:
        future = client.submit(square, x)
        client.barrier(future)
        assert future.done()
        return future.result()


def with_a_barrier_for_all(x: int) -> int:
    with TaskClient() as client:
        future = client.submit(square, x)
        client.barrier()
        return future.result()


def with_run(x: int) -> int:
    with TaskClient() as client:
        return client.run(MapTask(square, [x]), block=True)


def with_get_task_result(x: int) -> int:
    with TaskClient() as client:
        return client.get_task_result(client.run(MapTask(square, [x])), block=True)


def with_names_of_a_cell(x: int) -> int:
    with TaskClient() as client:
        return client.submit_cell("y = x * x", {"x": x}, ["y"]).ns.y


def with_task_result(x: int) -> int:
    with TaskClient() as client:
        future = client.submit(square, x)
        assert future.task_result().failure is None
        return future.result()


def with_the_future_of_another_client(x: int) -> int:
    with TaskClient() as client, TaskClient() as other:
        return other.future(client.run(MapTask(square, [x]))).result()


def with_concurrent_wait(x: int) -> int:
    with TaskClient() as client:
        done, _ = concurrent.futures.wait([client.submit(square, x) for _ in range(3)])
        return done.pop().result()


def with_the_first_of_several(x: int) -> int:
    with TaskClient() as client:
        futures = [client.submit(square, x) for _ in range(3)]
        done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
        return done.pop().result()


def with_concurrent_as_completed(x: int) -> int:
    with TaskClient() as client:
        futures = [client.submit(square, n) for n in (0, 0, x)]
        return sum(future.result() for future in concurrent.futures.as_completed(futures))


def with_a_callback(x: int) -> int:
    with TaskClient() as client:
        called, future = threading.Event(), client.submit(square, x)
        future.add_done_callback(lambda _: called.set())
        called.wait()
        return future.result()


def with_a_thread(x: int) -> int:
    with TaskClient() as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: client.submit(square, x).result()).result()


def with_what_comes_after(x: int) -> int:
    with TaskClient() as client:
        first = client.submit(square, 1)
        return client.with_options(after=first).submit(square, x).result()


def with_a_future_as_an_argument(x: int) -> int:
    with TaskClient() as client:
        return client.submit(square, client.submit(int, x)).result()


def after_a_wait_that_timed_out(x: int) -> int:
    with TaskClient() as client:
        slow = client.submit(time.sleep, 0.2)
        try:
            slow.result(0.01)
        except TimeoutError:
            return client.submit(square, x).result()
    return -1


def with_a_broadcast(x: int) -> int:
    with TaskClient() as client:
        client.broadcast("import math")
        client.clear_broadcasts()
    return x * x


async def with_await(x: int) -> int:
    async with await start().async_client() as client:
        result: int = await client.submit(square, x)
        return result


async def with_asyncio_wait(x: int) -> int:
    async with await start().async_client() as client:
        done, _ = await asyncio.wait([client.submit(square, x), client.submit(square, x)])
        return done.pop().result()


async def with_gather(x: int) -> int:
    async with await start().async_client() as client:
        return sum(await asyncio.gather(client.submit(square, x), client.submit(square, 0)))


async def with_wrap_future(x: int) -> int:
    async with await start().async_client() as client:
        result: int = await asyncio.wrap_future(client.submit(square, x))
        return result


async def with_an_async_map(x: int) -> int:
    async with await start().async_client() as client:
        return sum(await client.map(square, [x, 0]))


def with_a_program(x: int) -> int:
    code = "import sys; from taskfc_ext import TaskClient\nwith TaskClient() as c: print(c.submit(pow, 3, 2).result())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) - 9 + x * x


WAYS = [value for name, value in list(globals().items()) if name.startswith(("with_", "after_"))]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_more_wait_than_there_are_workers(client: BlockingTaskClient, way: Callable[[int], Any]) -> None:
    futures = [client.submit(way, x) for x in (3, 4)]
    assert [future.result(DEADLINE) for future in futures] == [9, 16]


def nested(depth: int) -> int:
    if depth == 0:
        return 0
    with TaskClient() as client:
        return int(client.submit(nested, depth - 1).result()) + 1


def fibonacci(n: int) -> int:
    if n < 2:
        return n
    with TaskClient() as client:
        first, second = client.submit(fibonacci, n - 1), client.submit(fibonacci, n - 2)
        return int(first.result()) + int(second.result())


def sum_of_three(x: int) -> int:
    with TaskClient() as client:
        return sum(future.result() for future in [client.submit(square, x) for _ in range(3)])


def test_any_depth_ends_on_one_worker(client: BlockingTaskClient) -> None:
    assert client.submit(nested, 4).result(DEADLINE) == 4


def test_many_parents_take_few_workers_and_leave_none(client: BlockingTaskClient) -> None:
    before = max(worker.worker for worker in client.workers())
    futures = [client.submit(sum_of_three, x) for x in range(20)]
    assert [future.result(DEADLINE) for future in futures] == [3 * x * x for x in range(20)]
    assert max(worker.worker for worker in client.workers()) <= before + 3
    until(lambda: len(client.workers()) == 1, "only the worker is left that was asked for")
    assert [(worker.state, worker.is_substitute) for worker in client.workers()] == [("idle", False)]


def wait_for_file(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.01)
    return path


def wait_for_a_child(path: str) -> str:
    with TaskClient() as client:
        return str(client.with_options(name="child").submit(wait_for_file, path).result())


def test_lists_say_who_waits_for_what_and_who_stands_in(
    client: BlockingTaskClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go = tmp_path / "go"
    until(lambda: len(client.workers()) == 1, "the substitutes of other tests have ended")
    parent = client.submit(wait_for_a_child, str(go))
    until(lambda: client.queue_status()["pending"] == 2, "the child runs")
    (child,) = client.list_tasks(name="child", states=("running",))
    (info,) = client.list_tasks(taskids=[parent.taskid])
    assert (info.state, info.waits_for, parent.state) == ("running", (child.taskid,), "running")
    assert info.message == f"waiting for task {child.taskid} (child)"
    waiting, standing_in = client.workers()
    assert (waiting.state, waiting.waits_for, waiting.is_substitute) == ("waiting", (child.taskid,), False)
    assert (standing_in.state, standing_in.is_substitute) == ("busy", True)
    capsys.readouterr()
    main(["status"])
    main(["tasks", str(parent.taskid)])
    shown = capsys.readouterr().out
    assert "1 worker and 1 substitute" in shown or client.engine() is not None
    assert f"waiting for task {child.taskid}" in shown
    assert f"waiting for task {child.taskid} (child)" in shown
    assert "busy (substitute)" in shown
    go.touch()
    assert parent.result(DEADLINE) == str(go)


def test_a_recursion_takes_as_many_workers_as_it_is_deep(client: BlockingTaskClient) -> None:
    before = max(worker.worker for worker in client.workers())
    assert client.submit(fibonacci, 6).result(DEADLINE) == 8  # 25 tasks, 12 of which wait
    # one a level, and a few on a loaded machine, where a wait is heard of after the next task was given out
    assert max(worker.worker for worker in client.workers()) <= before + 10


def wait_for_itself(path: str, way: str) -> str:
    with TaskClient() as client:
        taskid = int(Path(wait_for_file(path)).read_text())
        future = client.future(taskid)
        try:
            match way:
                case "result":
                    future.result()
                case "barrier":
                    client.barrier(taskid)
                case "get_task_result":
                    client.get_task_result(taskid, block=True)
                case "wait":
                    (done,), _ = concurrent.futures.wait([future])
                    done.result()
                case "await":

                    async def wait() -> None:
                        await asyncio.wait([future])
                        await future

                    asyncio.run(wait())
        except RequestRefused as error:
            return error.message
    return "it has waited for itself"


@pytest.mark.parametrize("way", ["result", "barrier", "get_task_result", "wait", "await"])
def test_a_task_that_waits_for_itself_is_told_so(client: BlockingTaskClient, tmp_path: Path, way: str) -> None:
    future = client.submit(wait_for_itself, str(tmp_path / "id"), way)
    client.flush()
    (tmp_path / "new").write_text(str(future.taskid))
    (tmp_path / "new").rename(tmp_path / "id")
    assert "would wait for its own end" in future.result(DEADLINE)


def test_an_abort_and_a_timeout_reach_a_task_that_waits(client: BlockingTaskClient, tmp_path: Path) -> None:
    for options in ({}, {"timeout": 0.5}):
        go = tmp_path / f"go{len(options)}"
        parent = client.with_options(**options).submit(wait_for_a_child, str(go))
        until(lambda: client.list_tasks(name="child", states=("running",)), "the child runs")
        if not options:
            parent.abort()
        assert type(parent.exception(DEADLINE)).__name__ == ("TaskTimeout" if options else "TaskAborted")
        go.touch()
        (child,) = client.list_tasks(name="child", limit=1)
        assert client.future(child.taskid).result(DEADLINE) == str(go)


def test_waits_outlive_the_controller(client: BlockingTaskClient, lone_farm: Controller, tmp_path: Path) -> None:
    go = tmp_path / "go"
    parent = client.submit(wait_for_a_child, str(go))
    until(lambda: client.list_tasks(name="child", states=("running",)), "the child runs")
    kill(lone_farm.pid)
    until(lambda: [worker.state for worker in client.workers()].count("waiting") == 1, "the task says it waits again")
    (info,) = client.list_tasks(taskids=[parent.taskid])
    assert len(info.waits_for) == 1
    go.touch()
    assert parent.result(DEADLINE) == str(go)


def test_a_cell_and_its_card(session: Session) -> None:
    session.ip.user_ns.update(square=square)
    session.run("%task start -n 1")
    cell = "from taskfc_ext import TaskClient\nwith TaskClient() as c:\n    value = c.submit(square, 3).result()\nvalue"
    futures = [session.run(f"%%task cell{n} -i square\n{cell}") for n in range(2)]
    assert [future.result(DEADLINE) for future in futures] == [9, 9]


def test_a_client_outside_lends_nothing(client: BlockingTaskClient) -> None:
    with attach() as other:
        assert other.submit(square, 3).result(DEADLINE) == 9
        assert other._client.remote_reference.lending is None
