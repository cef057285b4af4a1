"""A page of user code, as type checkers see it: `assert_type` names the type of a value, `# refused` a wrong use.

Nothing runs it: `tests/test_types.py` checks it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, as_completed, wait
from typing import Any, assert_type

from taskfc_ext import FCTaskClient, TaskClient, TaskExecutor, TaskFuture, TaskGroup, start


def scale(x: float, factor: float = 2.0) -> float:
    return x * factor


def describe(name: str, /, count: int, *, upper: bool = False) -> str:
    return f"{name}: {count}".upper() if upper else f"{name}: {count}"


async def fetch(url: str) -> bytes:
    return url.encode()


async def fetch_part(url: str, n: int) -> bytes:
    return url.encode()[:n]


def submissions() -> None:
    client = TaskClient()
    assert_type(client.submit(scale, 2.0), TaskFuture[float])
    assert_type(client.submit(scale, 2, factor=3).result(), float)
    assert_type(client.submit(describe, "a", count=3, upper=True).result(timeout=5), str)
    assert_type(client.submit(fetch, "x").result(), bytes)
    assert_type(client.with_options(retries=2, timeout=60).submit(len, [1]).result(), int)

    client.submit(scale, "2")  # refused
    client.submit(scale)  # refused
    client.submit(describe, "a", count="3")  # refused
    client.submit(describe, "a", 3, lower=True)  # refused
    client.submit(scale, 2.0, retries=3)  # refused
    client.submit(scale(2.0))  # refused
    client.with_options(retires=2)  # refused
    client.with_options(retries="2")  # refused
    client.submit(scale, 2.0).reslt()  # refused


def futures_as_arguments() -> None:
    client = TaskClient()
    first = client.submit(scale, 2.0)
    assert_type(client.submit(scale, first), TaskFuture[float])
    assert_type(client.submit(scale, first, first), TaskFuture[float])
    assert_type(client.submit(describe, "a", client.submit(len, "abc")), TaskFuture[str])
    client.submit(describe, first, 3)  # refused


def maps() -> None:
    client = TaskClient()
    assert_type(client.map(scale, [1.0, 2.0]), list[float])
    assert_type(client.map(pow, range(3), range(3), chunksize=2), list[Any])
    assert_type(client.map(describe, ["a"], [1]), list[str])
    assert_type(client.map(fetch, ["a", "b"]), list[bytes])
    assert_type(client.map(fetch_part, ["a", "b"], [1, 2]), list[bytes])
    assert_type(client.map(fetch_part, ["a"], [1], block=False), TaskGroup[bytes])
    assert_type(client.map(scale, [1.0], block=len(sys.argv) > 1), list[float] | TaskGroup[float])
    assert_type(client.map(str.upper, [client.submit(str, 3)]), list[str])
    client.map(scale, ["a"])  # refused
    client.map(scale, 5)  # refused
    client.map([1, 2], abs)  # refused
    client.map(scale)  # refused


def waits() -> None:
    client = TaskClient()
    futures = [client.submit(scale, float(i)) for i in range(3)]
    assert_type(futures, list[TaskFuture[float]])
    for future in as_completed(futures):
        assert_type(future.result(), float)
    done, _ = wait(futures, return_when=FIRST_COMPLETED)
    assert_type([future.result() for future in done], list[float])
    futures[0].add_done_callback(lambda future: print(future.taskid))
    client.barrier(futures, timeout=5)
    client.with_options(after=futures, name="report").submit(print, "done")


async def coroutines(client: FCTaskClient) -> None:
    future = client.submit(describe, "a", 3)
    assert_type(await future, str)
    both = await asyncio.gather(future, client.submit(scale, 2.0))
    assert_type(both, tuple[str, float])
    assert_type(await asyncio.wait_for(future, 5), str)
    assert_type(await client.map(scale, [1.0]), list[float])
    async for value in client.imap(scale, [1.0]):
        assert_type(value, float)
    client.submit(describe, 3, 3)  # refused


def lazy(numbers: Iterator[float]) -> None:
    client = TaskClient()
    for value in client.imap(scale, numbers):
        assert_type(value, float)


def executors() -> None:
    with TaskExecutor(max_workers=2) as executor:
        assert_type(executor.submit(scale, 2.0).result(), float)
        assert_type(list(executor.map(scale, [1.0])), list[float])
        executor.submit(scale, "x")  # refused


def farms() -> None:
    with start(2, name="other") as farm:
        assert_type(farm.scale(3), int)
    start("2")  # refused
    start(n=2)  # refused
