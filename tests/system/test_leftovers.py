"""Nothing of a task runs on after its end, however it was started and however the task ends. Real workers."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import start
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import Controller
from taskfc_ext.client.stop import stop_farm
from taskfc_ext.drivers.processes import process_alive, process_started
from taskfc_ext.errors import TaskAborted, TaskTimeout, WorkerLost
from tests.processes import DEADLINE, until

joblib = pytest.importorskip("joblib")

_kept: list[object] = []  # what a task's objects are kept alive by, so that no destructor ends anything


@pytest.fixture
def client(lone_farm: Controller) -> Iterator[BlockingTaskClient]:
    with lone_farm.client() as client:
        yield client


# ways to start a program that sleeps for `tag` seconds, and goes on when its starter returns


def by_popen(tag: str) -> None:
    _kept.append(subprocess.Popen(["sleep", tag]))


def by_shell_in_the_background(tag: str) -> None:
    os.system(f"sleep {tag} &")


def by_nohup_and_setsid(tag: str) -> None:
    os.system(f"nohup setsid sleep {tag} >/dev/null 2>&1 &")


def with_an_empty_environment(tag: str) -> None:
    subprocess.Popen(["setsid", "env", "-i", "sleep", tag], start_new_session=True)


def in_a_process_group_of_its_own(tag: str) -> None:
    subprocess.Popen(["sleep", tag], preexec_fn=os.setpgrp)


def by_posix_spawn(tag: str) -> None:
    os.posix_spawnp("sleep", ["sleep", tag], os.environ)


def by_fork(tag: str) -> None:
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", tag])


def as_a_daemon(tag: str) -> None:
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvpe("sleep", ["sleep", tag], {"PATH": os.environ["PATH"]})
        os._exit(0)
    os.waitpid(child, 0)


def from_a_thread(tag: str) -> None:
    thread = threading.Thread(target=by_popen, args=(tag,))
    thread.start()
    thread.join()


def that_ignores_signals(tag: str) -> None:
    os.system(f"(trap '' TERM INT HUP; exec sleep {tag}) &")


def below_a_shell(tag: str) -> None:
    subprocess.Popen(f"sh -c 'sleep {tag}; true'; true", shell=True)


def by_asyncio(tag: str) -> None:
    async def begin() -> None:
        await asyncio.create_subprocess_exec("sleep", tag)

    asyncio.run(begin())


def _as_process(method: str, tag: str) -> None:
    process = multiprocessing.get_context(method).Process(target=os.execvp, args=("sleep", ["sleep", tag]))
    process.start()
    _kept.append(process)


def by_multiprocessing_fork(tag: str) -> None:
    _as_process("fork", tag)


def by_multiprocessing_spawn(tag: str) -> None:
    _as_process("spawn", tag)


def by_multiprocessing_forkserver(tag: str) -> None:
    _as_process("forkserver", tag)


def by_a_pool(tag: str) -> None:
    pool = multiprocessing.get_context("fork").Pool(2)
    pool.apply_async(os.system, (f"sleep {tag}",))
    _kept.append(pool)


def by_an_executor(tag: str) -> None:
    pool = ProcessPoolExecutor(1)
    pool.submit(os.system, f"sleep {tag}")
    _kept.append(pool)


def by_loky(tag: str) -> None:
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor(1).submit(os.system, f"sleep {tag}")


WAYS = [
    by_popen,
    by_shell_in_the_background,
    by_nohup_and_setsid,
    with_an_empty_environment,
    in_a_process_group_of_its_own,
    by_posix_spawn,
    by_fork,
    as_a_daemon,
    from_a_thread,
    that_ignores_signals,
    below_a_shell,
    by_asyncio,
    by_multiprocessing_fork,
    by_multiprocessing_spawn,
    by_multiprocessing_forkserver,
    by_a_pool,
    by_an_executor,
    by_loky,
]


def sleeping(tag: str) -> list[int]:
    """Return the pids of the programs that sleep for `tag` seconds."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and entry.joinpath("cmdline").read_bytes() == f"sleep\0{tag}\0".encode():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def begin(way: Callable[[str], object], tag: str) -> None:
    """Start a program, and return when it runs."""
    way(tag)
    end = time.monotonic() + DEADLINE
    while not sleeping(tag):
        assert time.monotonic() < end, "the program never ran"
        time.sleep(0.005)


def return_from(way: Callable[[str], object], tag: str) -> str:
    begin(way, tag)
    return "done"


def raise_from(way: Callable[[str], object], tag: str) -> None:
    begin(way, tag)
    raise LookupError(tag)


def stay_in(way: Callable[[str], object], tag: str) -> None:
    begin(way, tag)
    while True:
        time.sleep(0.01)


def be_deaf_in(way: Callable[[str], object], tag: str) -> None:
    begin(way, tag)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.01)


def crash_in(way: Callable[[str], object], tag: str) -> None:
    begin(way, tag)
    ctypes.string_at(0)


_tags = iter(range(71_000_000, 72_000_000))


@pytest.fixture
def tag() -> str:
    return str(next(_tags) + 1000 * (os.getpid() % 1000))


def name(way: Callable[..., object]) -> str:
    return way.__name__


@pytest.mark.parametrize("way", WAYS, ids=name)
def test_it_is_gone_when_the_task_has_returned(client: BlockingTaskClient, way: Any, tag: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # as Python does unless told otherwise; filters go along
        future = client.submit(return_from, way, tag)
    assert future.result(DEADLINE) == "done"
    assert sleeping(tag) == []
    assert future.attempts == 1
    # asyncio warns of a loop that is closed before its programs have ended; loky's own thread, where it notices first
    # that a process of its pool has ended, kills the others from below, and their shell says so
    assert way is by_asyncio or future.stderr in ("", "Killed\n" if way is by_loky else "")


@pytest.mark.parametrize("way", WAYS, ids=name)
def test_it_is_gone_when_the_task_has_raised(client: BlockingTaskClient, way: Any, tag: str) -> None:
    with pytest.raises(LookupError):
        client.submit(raise_from, way, tag).result(DEADLINE)
    assert sleeping(tag) == []


@pytest.mark.parametrize("way", WAYS, ids=name)
def test_it_is_gone_when_the_task_was_aborted(
    lone_farm: Controller, client: BlockingTaskClient, way: Any, tag: str
) -> None:
    (worker,) = lone_farm.worker_pids
    future = client.submit(stay_in, way, tag)
    until(lambda: sleeping(tag), "the program runs")
    future.abort()
    with pytest.raises(TaskAborted):
        future.result(DEADLINE)
    assert sleeping(tag) == []
    assert lone_farm.worker_pids == [worker]  # the interrupt sufficed


@pytest.mark.parametrize("way", [by_popen, as_a_daemon, by_multiprocessing_spawn, by_a_pool, by_loky], ids=name)
def test_it_is_gone_when_the_task_has_timed_out(client: BlockingTaskClient, way: Any, tag: str) -> None:
    with pytest.raises(TaskTimeout):
        client.with_options(timeout=3).submit(stay_in, way, tag).result(DEADLINE)
    assert sleeping(tag) == []


@pytest.mark.parametrize("way", [as_a_daemon, by_an_executor], ids=name)
def test_it_is_gone_when_the_task_had_to_be_killed(client: BlockingTaskClient, way: Any, tag: str) -> None:
    with pytest.raises(TaskTimeout):
        client.with_options(timeout=0.5).submit(be_deaf_in, way, tag).result(DEADLINE)
    assert sleeping(tag) == []


@pytest.mark.parametrize(
    "way", [by_popen, as_a_daemon, with_an_empty_environment, that_ignores_signals, by_a_pool], ids=name
)
def test_it_is_gone_when_the_worker_has_died(client: BlockingTaskClient, way: Any, tag: str) -> None:
    with pytest.raises(WorkerLost):
        client.with_options(on_lost="fail").submit(crash_in, way, tag).result(DEADLINE)
    assert sleeping(tag) == []


def test_programs_of_cells_and_of_the_persistent_namespace(client: BlockingTaskClient, tag: str) -> None:
    from taskfc_ext import StringTask

    code = f"import subprocess\nkept = subprocess.Popen(['sleep', '{tag}'])"
    client.run(StringTask(code), block=True)
    assert sleeping(tag) == []
    assert client.run(StringTask("again = kept.poll() is not None", pull="again"), block=True)["again"] is True
    assert client.submit_cell(f"%%script --bg sh\nsleep {tag}").result(DEADLINE) is None
    assert sleeping(tag) == []
    assert client.submit_cell(f"!(setsid sleep {tag} >/dev/null 2>&1 &)\n3").result(DEADLINE) == 3
    assert sleeping(tag) == []


def test_a_program_that_starts_others_all_the_time(client: BlockingTaskClient, tag: str) -> None:
    fork = f"if os.fork() == 0: os.execvp('sleep', ['sleep', '{tag}'])"
    code = f"import os, time\nwhile True:\n {fork}\n time.sleep(0.002)"
    future = client.submit(return_from, lambda tag: subprocess.Popen([sys.executable, "-c", code]), tag)
    assert future.result(DEADLINE) == "done"
    assert sleeping(tag) == []


# libraries go on to work


def use_pool(method: str) -> list[int]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


def in_processes() -> list[int]:
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(abs, [-1, -2, -3]))


def parallel(backend: str) -> list[int]:
    return list(joblib.Parallel(2, backend=backend)(joblib.delayed(abs)(i) for i in (-1, -2, -3)))


def share_memory() -> list[int]:
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(create=True, size=10)
    memory.close()
    memory.unlink()
    return [1, 2, 3]


LIBRARIES: list[tuple[Any, ...]] = [
    (use_pool, "fork"),
    (use_pool, "spawn"),
    (use_pool, "forkserver"),
    (in_processes,),
    (parallel, "loky"),
    (parallel, "multiprocessing"),
    (parallel, "threading"),
    (share_memory,),
]


@pytest.mark.parametrize("before", [by_loky, by_a_pool, by_multiprocessing_forkserver, by_an_executor], ids=name)
def test_the_next_task_finds_libraries_that_work(client: BlockingTaskClient, before: Any, tag: str) -> None:
    """After a task that was stopped amidst of it, twice, and without a word on the task."""
    stopped = client.submit(stay_in, before, tag)
    until(lambda: sleeping(tag), "the program runs")
    stopped.abort()
    for _ in range(2):
        for function, *args in LIBRARIES:
            future = client.submit(function, *args)
            assert future.result(DEADLINE) == [1, 2, 3], function
            assert future.stderr == "", function
            assert future.attempts == 1


def test_what_a_broadcast_has_started_stays(module_home: Path, tag: str) -> None:
    with start(1, name="services") as farm, farm.client() as client:
        begun = f"import subprocess, os\nservice = subprocess.Popen(['sleep', '{tag}'])\nos.system('sleep {tag}1 &')"
        client.broadcast(begun)
        for way in (by_popen, as_a_daemon, by_a_pool):
            other = f"{tag}2"
            assert client.submit(return_from, way, other).result(DEADLINE) == "done"
            assert sleeping(other) == []
            assert len(sleeping(tag)) == len(sleeping(f"{tag}1")) == 1
    assert sleeping(tag) == sleeping(f"{tag}1") == []


def start_a_farm() -> tuple[int, int | None]:
    farm = start(0, name="inner")
    return farm.supervisor_pid, process_started(farm.supervisor_pid)


def test_a_farm_that_a_task_has_started_stays(client: BlockingTaskClient) -> None:
    pid, started = client.submit(start_a_farm).result(DEADLINE)
    assert client.submit(return_from, by_popen, "71000000").result(DEADLINE) == "done"
    assert process_alive(pid, started)
    stop_farm(LocalFarm("inner"))


# threads


def leave_threads() -> None:
    gate = threading.Event()
    for number in range(2):
        threading.Thread(target=gate.wait, args=(5,), name=f"poll-{number}", daemon=True).start()


def leave_a_timer() -> None:
    threading.Timer(5, print).start()


def leave_busy_pool() -> None:
    pool = ThreadPoolExecutor(1, thread_name_prefix="busy")
    pool.submit(time.sleep, 5)
    _kept.append(pool)


def leave_idle_pool() -> int:
    pool = ThreadPoolExecutor(2)
    _kept.append(pool)
    return sum(pool.map(abs, range(10)))


def end_its_threads() -> None:
    threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def with_a_bar() -> None:
    import tqdm

    with open(os.devnull, "w") as nowhere:
        for _ in tqdm.tqdm(range(3), disable=False, file=nowhere):
            pass


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (leave_threads, "2 threads of this task still run: poll-0, poll-1;"),
        (leave_a_timer, "1 thread of this task still runs: Thread-"),
        (leave_busy_pool, "1 thread of this task still runs: busy_0;"),
        (leave_idle_pool, ""),
        (end_its_threads, ""),
        (with_a_bar, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_threads_that_stay_are_reported_once(client: BlockingTaskClient, function: Any, said: str) -> None:
    future = client.submit(function)
    future.result(DEADLINE)
    assert future.stderr.startswith(said)
    assert bool(future.stderr) == bool(said)
    assert client.submit(time.sleep, 0.001).result(DEADLINE) is None
    later = client.submit(end_its_threads)
    later.result(DEADLINE)
    assert later.stderr == ""
