"""Memory and disk are bounded while tasks run, and given back by `clear`, with no stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import MapTask, StringTask
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.paths import farm_paths
from tests.processes import DEADLINE, resident, until

MB = 10**6
N = 24
SIZE = 4 * MB
"""Bytes of one large thing. `N` of them are more than any cache holds."""


def store_files() -> list[Path]:
    """Return the files of the store, without its reserve, which always has the same size."""
    paths = farm_paths("default")
    return [path for path in paths.store.rglob("*") if path.is_file() and path != paths.reserve]


def store_bytes() -> int:
    total = 0
    for path in store_files():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass  # it was cleared just now
    return total


def traces(text: str) -> list[str]:
    """Return the files of the store in which `text` stands."""
    found = []
    for path in store_files():
        try:
            if text.encode() in path.read_bytes():
                found.append(path.name)
        except FileNotFoundError:
            pass
    return found


@pytest.fixture(scope="module")
def farm(lone_farm: Controller) -> Iterator[Any]:
    with lone_farm.client() as client:
        client.submit(abs, -1).result(DEADLINE)
        yield lone_farm, client


def closures(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N):
        data = large(i)
        assert client.submit(lambda data=data: len(data)).result(DEADLINE) == SIZE


def arguments(client: Any, large: Callable[[int], bytes]) -> None:
    for future in [client.submit(len, large(i)) for i in range(N)]:
        assert future.result(DEADLINE) == SIZE


def results(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N):
        assert len(client.submit(os.urandom, SIZE).result(DEADLINE)) == SIZE, i


def names_of_cells(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N):
        assert client.submit_cell("len(data)", {"data": large(i)}).result(DEADLINE) == SIZE


def named_and_failed(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N):
        future = client.with_options(name="fit").submit(lambda data: data[SIZE + 1], large(i))
        assert isinstance(future.exception(DEADLINE), IndexError)


def lasting_strings(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N):
        task = StringTask("n = len(data)", push={"data": large(i)}, pull="n", clear_after=True)
        assert client.run(task, block=True).ns.n == SIZE


def methods(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N):
        assert client.submit(large(i).count, b"\0").result(DEADLINE) >= 0


def recoveries(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N):
        again = MapTask(len, [large(i)])
        assert client.run(MapTask(int, ["x"], recovery_task=again), block=True) == SIZE


def retries(client: Any, large: Callable[[int], bytes]) -> None:
    for i in range(N // 2):
        future = client.submit(lambda data: data[SIZE + 1], large(i))
        assert isinstance(future.exception(DEADLINE), IndexError)
        assert isinstance(future.retry().exception(DEADLINE), IndexError)


def prints(client: Any, large: Callable[[int], bytes]) -> None:
    for _ in range(N):
        client.submit(print, "x" * 500_000).result(DEADLINE)


KINDS = {
    "submissions": (closures, arguments, names_of_cells, methods),
    "endings": (results, lasting_strings, prints),
    "failures": (named_and_failed, recoveries, retries),
}
"""Each kind alone is more than the bounds, so few waits for the farm's housekeeping find all of them."""


@pytest.mark.parametrize("kind", KINDS)
def test_clear_gives_back_what_large_things_took(farm: Any, kind: str) -> None:
    farm, client = farm
    client.clear()
    until(lambda: store_bytes() < MB, "the store is empty")
    (worker,) = farm.worker_pids
    before = {pid: resident(pid) for pid in (farm.pid, worker)}
    for work in KINDS[kind]:
        work(client, lambda i: bytes([i]) + os.urandom(SIZE - 1))
    assert store_bytes() > 5 * MB
    assert client.clear() > 0
    until(lambda: store_bytes() < MB, "the file is small again, with no stop")
    for pid, whose in ((farm.pid, "controller"), (worker, "worker")):
        until(lambda pid=pid: resident(pid) - before[pid] < N * SIZE // 2, f"memory of the {whose} is given back")
    assert client.submit(abs, -7).result(DEADLINE) == 7


def test_a_worker_that_rests_keeps_no_room_of_arguments_that_went_through(farm: Any) -> None:
    farm, client = farm
    (worker,) = farm.worker_pids
    before = resident(worker)
    for _ in range(3):
        arguments(client, lambda i: bytes([i]) + os.urandom(SIZE - 1))
        until(lambda: resident(worker) - before < 5 * SIZE, "the worker's memory is given back, with nothing cleared")


def test_memory_is_bounded_while_closures_come_and_go(farm: Any) -> None:
    farm, client = farm
    client.clear()
    (worker,) = farm.worker_pids
    n = 50
    before = {pid: resident(pid) for pid in (os.getpid(), farm.pid, worker)}
    kept = []
    for i in range(n):
        data = bytes([i]) + os.urandom(SIZE - 1)
        kept.append(client.submit(lambda data=data: len(data)))
        assert kept[-1].result(DEADLINE) == SIZE
    del data
    assert resident(worker) - before[worker] < 160 * MB, "its code and what was made of it"
    for pid in (os.getpid(), farm.pid):
        assert resident(pid) - before[pid] < 120 * MB, "not 200: who keeps futures does not keep their code"
    client.clear()
    until(lambda: store_bytes() < MB, "the code is gone")


def test_the_same_function_works_after_a_clear(farm: Any) -> None:
    farm, client = farm
    data = os.urandom(SIZE)

    def size() -> int:
        return len(data)

    for _ in range(5):
        futures = [client.submit(size) for _ in range(3)]
        assert [future.result(DEADLINE) for future in futures] == [SIZE] * 3
        client.clear()
        assert client.submit(size).result(DEADLINE) == SIZE
        client.clear()


def test_functions_that_do_not_fit_into_a_worker_take_turns(farm: Any) -> None:
    farm, client = farm
    large = [bytes([i]) * (30 * MB) for i in range(4)]
    functions = [lambda data=data: (len(data), data[0]) for data in large]
    for _ in range(2):
        assert [client.submit(f).result(DEADLINE) for f in functions] == [(30 * MB, i) for i in range(4)]
    client.clear()


def secret(place: str) -> str:
    """Return what is to leave no trace. Made up here, since the source of this module travels, too."""
    return "-".join(("sesame", "in", place))


@pytest.mark.parametrize("is_busy", [False, True])
def test_what_was_cleared_stands_in_no_file(farm: Any, monkeypatch: pytest.MonkeyPatch, is_busy: bool) -> None:
    farm, client = farm
    client.clear()
    monkeypatch.setenv("TOKEN_OF_A_TEST", secret("environment"))
    captured = secret("closure")
    client.broadcast(f"x = '{secret('broadcast')}'")
    futures = [
        client.submit(lambda a: (len(a), captured, os.environ["TOKEN_OF_A_TEST"]), secret("argument")),
        client.submit(lambda: secret("result")),
        client.submit_cell(f"token = '{secret('cell')}'\ndata", {"data": secret("name")}),
        client.submit(int, secret("failure")),
        client.submit(print, secret("output")),
    ]
    for future in futures:
        future.exception(DEADLINE)
    places = ("environment", "closure", "broadcast", "argument", "result", "cell", "name", "failure", "output")
    assert [place for place in places if not traces(secret(place))] == []
    monkeypatch.delenv("TOKEN_OF_A_TEST")
    if is_busy:  # then there is no moment at which the whole journal can be written anew
        client.broadcast("y = 1")
        unfinished = client.with_options(after=[client.submit(time.sleep, 3)]).submit(abs, -2)
    client.clear_broadcasts()
    client.clear()
    for place in places:
        until(lambda place=place: traces(secret(place)) == [], f"the {place} is gone")
    if is_busy:
        assert unfinished.result(DEADLINE) == 2


def test_many_small_tasks_leave_no_trace_and_a_start_is_as_fast_as_an_empty_one(farm: Any) -> None:
    farm, client = farm
    client.clear()
    assert client.map(abs, range(20_000)) == list(range(20_000))
    for i in range(300):
        client.submit(abs, i).result(DEADLINE)
    assert store_bytes() > 1.5 * MB
    assert client.clear() == 20_300
    until(lambda: store_bytes() < 300_000, "nothing of them is left to replay")
    taskid = client.run(MapTask(abs, [-1]))
    assert taskid >= 20_300, "ids go on"
