"""Real farms: started, attached to, killed, stopped and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import taskfc_ext
from taskfc_ext import MapTask, StringTask, TaskClient, attach, restart, start
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm import launch
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import Controller, farm_options, stop
from taskfc_ext.drivers.connection_file import process_alive, read_connection
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.stops import note_stop
from taskfc_ext.errors import (
    ControllerStopped,
    ControllerUnavailable,
    StartFailed,
    TaskAborted,
    UnknownTask,
    VersionMismatch,
)
from taskfc_ext.protocol.ids import PROTOCOL
from tests.processes import DEADLINE, await_workers, kill_and_wait

PACKAGE = Path(taskfc_ext.__file__).parent


def double(x: int) -> int:
    return 2 * x


def wait_for_file(path: str) -> str:
    import time
    from pathlib import Path

    while not Path(path).exists():
        time.sleep(0.01)
    return "seen"


@pytest.fixture
def controller(home: Path) -> Iterator[Controller]:
    with start(1) as controller:
        yield controller


@pytest.fixture
def client(controller: Controller) -> Iterator[BlockingTaskClient]:
    with controller.client() as client:
        yield client


def test_the_clients_modules_are_imported_while_the_farm_starts(home: Path) -> None:
    code = """
        import sys
        from taskfc_ext import start
        heavy = {"asyncio", "zmq", "cloudpickle"}
        print(heavy & set(sys.modules))
        with start(1):
            print(heavy - set(sys.modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stdout == "set()\nset()\n"


def test_a_farm_runs_all_kinds_of_tasks(controller: Controller, client: BlockingTaskClient) -> None:
    assert client.map(double, range(100)) == [2 * i for i in range(100)]
    assert client.submit(double, client.submit(double, 3)).result(DEADLINE) == 12
    taskid = client.run(StringTask("b = 2 * a", pull="b", push={"a": 4}))
    result = client.get_task_result(taskid, block=True)
    assert (result["b"], result.keys, result.failure) == (8, ["b"], None)
    assert client.get_task_result(taskid)["b"] == 8  # also when this client knew its end already
    failed = client.run(StringTask("1 / 0"), block=True)
    assert isinstance(failed.failure, ZeroDivisionError)
    cell = client.submit_cell("y = x + 1\nprint('hello')\ny * 2", {"x": client.submit(double, 1)}, "y")
    assert (cell.result(DEADLINE), cell.ns.y, cell.stdout) == (6, 3, "hello\n")
    assert len(controller.worker_pids) == 1
    assert client.queue_status()["succeeded"] == 105


def test_a_named_task_is_found_again(client: BlockingTaskClient) -> None:
    client.with_options(name="fit").submit(double, 1)
    newest = client.with_options(name="fit").submit(double, 2)
    newest.result(DEADLINE)
    found = client.future("fit")
    assert (found.result(DEADLINE), found.taskid, found.name, found.label) == (4, 1, "fit", "double")
    assert [task.name for task in client.list_tasks(name="fit")] == ["fit", "fit"]
    with pytest.raises(IndexError, match="'fat'"):
        client.future("fat")
    with pytest.raises(IndexError):
        client.future(99)


def test_attaching_stops_nothing(controller: Controller) -> None:
    with start(3) as again:
        assert again.attached
        assert again.pid == controller.pid
        assert again.supervisor_pid == controller.supervisor_pid
    assert controller.scale(2) == 1
    with attach() as client:
        assert client.submit(double, 1).result(DEADLINE) == 2

    async def use() -> None:
        async with await controller.async_client() as client:
            assert await client.submit(double, 4) == 8
            assert await client.map(double, [1]) == [2]

    asyncio.run(use())


def test_a_killed_controller_comes_back(controller: Controller, client: BlockingTaskClient, home: Path) -> None:
    flag = home / "flag"
    running = client.submit(wait_for_file, str(flag))
    client.flush()
    kill_and_wait(controller.pid)
    later = client.submit(double, 5)
    flag.touch()
    assert running.result(DEADLINE) == "seen"
    assert later.result(DEADLINE) == 10
    assert client.get_client_name()


def test_a_killed_supervisor_is_replaced_by_a_client_that_waits(
    controller: Controller, client: BlockingTaskClient, home: Path
) -> None:
    flag = home / "flag"
    assert client.submit(double, 1).result(DEADLINE) == 2
    running = client.submit(wait_for_file, str(flag))
    client.flush()
    before = controller.supervisor_pid
    kill_and_wait(before)
    later = client.submit(double, 4)
    flag.touch()
    assert running.result(DEADLINE) == "seen"
    assert later.result(DEADLINE) == 8
    assert client.get_task_result(0) == 2
    assert controller.supervisor_pid != before


def test_stop_leaves_nothing_of_a_farm_that_was_killed(home: Path) -> None:
    controller = start(1, name="killed")
    files = list((home / "r" / "taskfc").iterdir())
    assert files
    pid = controller.supervisor_pid
    os.kill(pid, signal.SIGKILL)
    controller.stop()
    assert not list((home / "r" / "taskfc").iterdir())
    assert not controller.connection_file.exists()


def test_a_dead_farm_is_started_again_by_the_next_call(controller: Controller, client: BlockingTaskClient) -> None:
    taskid = client.run(MapTask(double, [1]))
    client.barrier()
    before = controller.supervisor_pid
    os.kill(before, signal.SIGKILL)
    assert restart_is_seen(client, before)
    assert client.get_task_result(taskid) == 2
    assert controller.supervisor_pid != before


def restart_is_seen(client: BlockingTaskClient, before: int) -> bool:
    """Call until another supervisor's controller answers: the old one may still do, for some milliseconds."""
    while not client.workers() or (found := read_connection("default")) is None or found.supervisor_pid == before:
        pass
    return True


OTHER = """
from taskfc_ext import start
with start(1).client() as client:
    task = client.submit(abs, -6)
    assert task.result(60) == 6
    print(task.taskid)
"""


def start_another_version(folder: Path) -> int:
    """Start a farm from a copy of the package that speaks another protocol; return the id of what it has run."""
    if not folder.exists():
        ignored = shutil.ignore_patterns("__pycache__", "static", "labextension")
        shutil.copytree(PACKAGE, folder / "taskfc_ext", ignore=ignored)
        ids = folder / "taskfc_ext" / "protocol" / "ids.py"
        text = ids.read_text()
        ids.write_text(text.replace(f"PROTOCOL = {PROTOCOL}\n", "PROTOCOL = 99\n"))
        assert ids.read_text() != text
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-P", "-c", OTHER]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=2 * DEADLINE)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_farm_of_another_version_is_reported_and_restarted_in_ours_with_its_queue(home: Path, tmp_path: Path) -> None:
    taskid = start_another_version(tmp_path / "other")
    found = read_connection("default")
    assert found is not None
    words = rf"protocol {PROTOCOL} .*this controller 99\n.*taskfc restart"
    with pytest.raises(VersionMismatch, match=words), attach() as client:
        client.queue_status()
    restarted = restart()
    assert restarted.pid != found.pid
    with restarted.client() as client:
        assert client.get_task_result(taskid) == 6
    restarted.stop()
    start_another_version(tmp_path / "other")
    stop(LocalFarm("default"))
    assert LocalFarm("default").condition() is Condition.STOPPED


def test_abort_reaches_a_task_whose_wait_a_stop_has_ended(home: Path) -> None:
    with start(1) as controller, controller.client() as client:
        future = client.submit(wait_for_file, str(home / "flag"))
        client.flush()
        with restart():
            with pytest.raises(ControllerStopped):
                future.result(DEADLINE)
            future.abort()
            assert client.future(future.taskid).exception(DEADLINE).__class__ is TaskAborted
            with pytest.raises(UnknownTask, match="has ended"):
                future.abort()


def test_a_stop_ends_waits_and_a_submission_carries_on(home: Path) -> None:
    flag = home / "flag"
    with start(1) as controller, controller.client() as client:
        future = client.submit(wait_for_file, str(flag))
        taskid = client.run(MapTask(double, [4]))
        supervisor = controller.supervisor_pid
        client.stop()
        with pytest.raises(ControllerStopped):
            future.result(DEADLINE)
        flag.touch()
        assert client.submit(double, 3).result(DEADLINE) == 6  # starts it again, when the old one is gone
        assert controller.supervisor_pid != supervisor
        assert client.get_task_result(taskid, block=True) == 8
        assert client.future(0).result(DEADLINE) == "seen"
        controller.stop()
        with pytest.raises(ControllerUnavailable):
            attach()
        with pytest.raises(ControllerUnavailable):
            controller.pid  # noqa: B018


def test_stores_are_kept_until_a_fresh_start(home: Path) -> None:
    with start(1) as controller, controller.client() as client:
        assert client.run(MapTask(double, [1])) == 0
        with pytest.raises(StartFailed, match="in use"):
            start(1, fresh=True)
    with restart(workers=2), TaskClient() as client:
        assert client.run(MapTask(double, [1])) == 1
        await_workers(client, 2)
    with start(1, fresh=True), TaskClient() as client:
        assert client.run(MapTask(double, [1])) == 0


def test_a_future_of_an_earlier_store_is_not_a_task_of_a_fresh_one(home: Path) -> None:
    controller, stayed = start(1), TaskClient()
    older = stayed.submit(double, 1)
    assert older.result(DEADLINE) == 2
    with attach() as client:
        old = client.future(0)
    controller.stop()
    with start(1, fresh=True), TaskClient() as client, stayed:
        assert client.run(MapTask(double, [5]), block=True) == 10
        for use in (client.barrier, client.clear, client.retry, partial(client.submit, double)):
            with pytest.raises(
                UnknownTask, match=r"task 0 \(double\) is gone: farm 'default' was started with a fresh"
            ):
                use(old)
        with pytest.raises(UnknownTask, match="is gone"):  # over the connection that both stores have seen
            stayed.submit(double, older).result(DEADLINE)


def test_a_group_goes_on_with_its_farm(home: Path) -> None:
    controller = start(0)
    with TaskClient() as client:
        group = client.map_async(double, [1, 2])
        assert group.flush(DEADLINE)
        controller.stop()
        for _ in range(2):
            with pytest.raises(ControllerStopped) as caught:
                group.result(DEADLINE)
            assert not getattr(caught.value, "__notes__", []), "no item has failed"
        with start(1):
            assert group.result(DEADLINE) == [2, 4]
            assert (group.counts.succeeded, group.counts.unknown) == (2, 0)


def test_task_client_starts_a_farm_that_does_not_run(home: Path) -> None:
    with TaskClient("other") as client:
        assert client.submit(double, 1).result(DEADLINE) == 2
    with attach("other") as client:
        client.scale(0)
    with start(name="other") as controller:
        pid = controller.supervisor_pid
        controller.stop()
        assert not process_alive(pid, None)


def test_two_threads_start_one_farm(home: Path) -> None:
    controllers: list[Controller] = []
    threads = [threading.Thread(target=lambda: controllers.append(start(1))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(controller.attached for controller in controllers) == [False, True]
    controllers[0].stop()


SCRIPT = """
from taskfc_ext import TaskClient
client = TaskClient()
futures = [client.submit(pow, i, 2) for i in range(5000)]
"""


def test_the_interpreters_exit_flushes(controller: Controller, client: BlockingTaskClient) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stderr == ""
    assert len(client.list_tasks(limit=10_000)) == 5000


LARGE_SCRIPT = """
from taskfc_ext import TaskClient
client = TaskClient()
future = client.submit(len, b"x" * 1_000_000)
"""


def test_the_exit_leaves_no_file_in_which_something_was_sent(
    controller: Controller, client: BlockingTaskClient
) -> None:
    subprocess.run([sys.executable, "-c", LARGE_SCRIPT], timeout=DEADLINE, check=True)
    assert len(client.list_tasks()) == 1
    uploads = farm_paths(controller.name).uploads
    assert [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size >= 1_000_000] == []


def test_a_script_whose_name_is_not_text(home: Path) -> None:
    script = os.fsencode(home) + b"/caf\xe9.py"
    with open(script, "w") as file:
        file.write(
            "from taskfc_ext import start\nwith start(1) as farm:\n    print(farm.client().submit(abs, -3).result(60))"
        )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_working_directory_that_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = home / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(StartFailed, match="working directory"):
        start(1)


def test_a_supervisor_killed_while_it_revives_a_farm_is_not_the_end(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned = []

    def spawn_and_kill(*args: Any) -> subprocess.Popen[bytes]:
        process = spawn(*args)
        spawned.append(process.pid)
        if len(spawned) == 1:
            process.kill()
        return process

    with start(1) as farm, farm.client() as client:
        spawn = launch._spawn
        monkeypatch.setattr(launch, "_spawn", spawn_and_kill)
        future = client.submit(wait_for_file, str(home / "gate"))
        client.flush()
        kill_and_wait(farm.supervisor_pid)
        (home / "gate").touch()
        assert future.result(DEADLINE) == "seen"
        assert len(spawned) == 2


def test_a_stop_between_two_tries_to_revive_a_farm_holds(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned = []

    def spawn_and_kill(*args: Any) -> subprocess.Popen[bytes]:
        process = spawn(*args)
        spawned.append(process.pid)
        if len(spawned) == 1:
            process.kill()
            note_stop(farm.paths)  # by somebody else
        return process

    start(1).stop()
    farm = LocalFarm("default")
    spawn = launch._spawn
    monkeypatch.setattr(launch, "_spawn", spawn_and_kill)
    with pytest.raises(ControllerStopped):
        farm.revive()
    assert len(spawned) == 2
    assert farm.connection() is None


def test_a_store_that_is_broken_can_be_replaced_at_once(home: Path) -> None:
    with start(1) as farm:
        assert farm.client().submit(abs, -3).result(DEADLINE) == 3
    (home / "s/taskfc/default/journal.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StartFailed, match="file is not a database"):
        start(1)
    with start(1, fresh=True) as farm:
        assert farm.client().submit(abs, -3).result(DEADLINE) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [({"workers": -1}, "n_workers"), ({"unreachable_after": -1}, "unreachable_after"), ({"store": "x"}, "store")],
)
def test_impossible_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        farm_options(**options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="properties"):
        farm_options(properties={"x": object()})


def test_importing_the_package_is_light() -> None:
    code = "import sys, taskfc_ext; print([name for name in ('zmq', 'IPython', 'asyncio') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stdout == "[]\n"


def test_public_names() -> None:
    import taskfc_ext

    for name in taskfc_ext.__all__:
        assert getattr(taskfc_ext, name) is not None
    assert {"TaskClient", "start"} <= set(dir(taskfc_ext))
    with pytest.raises(AttributeError, match="nothing"):
        taskfc_ext.nothing  # noqa: B018
