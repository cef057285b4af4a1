"""`TaskFuture` is a `concurrent.futures.Future`, only smaller."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import dataclasses
import gc
import pickle
import sys
import threading
import tracemalloc
from typing import Any

import pytest

from taskfc_ext import serialize
from taskfc_ext.client.future import future as future_module
from taskfc_ext.client.future.future import CANCELLED, FINISHED, TaskFuture
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.errors import ControllerLost, UnpicklableResult
from taskfc_ext.protocol.payloads import encode_failure
from tests.processes import DEADLINE

FACTS = ("", 4, 2, 100.0, 0.25, 101.0, ("out", "err"), (b'{"data": {"text/plain": "3"}}',))


class Owner:
    lending = None
    farm_name = "test"

    def check_may_wait(self) -> None: ...

    async def check_store(self, futures: Any) -> None: ...

    async def cancel(self, future: TaskFuture) -> bool:
        return future._settle(CANCELLED)

    async def abort(self, future: TaskFuture) -> None: ...

    async def retry(self, taskid: int, like: Template | None = None) -> TaskFuture:
        raise AssertionError

    async def describe(self, taskid: int) -> Any:
        raise AssertionError

    async def get_details(self, taskid: int) -> Any:
        raise AssertionError

    async def get_printed(self, taskid: int) -> tuple[str, ...]:
        return (f"log of {taskid}", "err")

    async def get_outputs(self, taskid: int) -> list[dict[str, Any]]:
        return [{"output_type": "display_data", "data": {"text/plain": f"of {taskid}"}, "metadata": {}}]


def pending() -> TaskFuture:
    template = Template(Owner(), None, label="fit")
    return TaskFuture(template, taskid=3)


def succeed(future: TaskFuture, value: object = 42) -> None:
    assert future._settle(FINISHED, serialize.dump_value(value, what="it"), FACTS)


def fail(future: TaskFuture, error: Exception) -> None:
    failure = serialize.dump_exception(error, traceback="Traceback: there")
    assert future._settle(FINISHED, encode_failure(failure), ("error", *FACTS[1:]))


def later(action: Any) -> None:
    threading.Thread(target=action, daemon=True).start()


def test_result_and_exception() -> None:
    good, bad = pending(), pending()
    succeed(good)
    fail(bad, KeyError("x"))
    assert good.result() == 42
    assert good.exception() is None
    assert isinstance(bad.exception(), KeyError)
    with pytest.raises(KeyError) as caught:
        bad.result()
    assert "there" in str(caught.value.__cause__)
    assert (good.state, bad.state) == ("succeeded", "failed")
    assert (good.attempts, good.stdout) == (2, "out")


@dataclasses.dataclass(frozen=True)
class Missed(NameError):
    text: str

    def __str__(self) -> str:
        return self.text


def test_a_frozen_exception_can_have_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "limit", 1, raising=False)
    future = pending()
    fail(future, Missed("name 'limit' is not defined"))
    with pytest.raises(Missed) as caught:
        future.result()
    (note,) = caught.value.__notes__
    assert note.startswith("`limit` exists")


def test_a_result_is_decoded_once() -> None:
    future = pending()
    succeed(future, [1])
    assert future.result() is future.result()


def test_a_result_that_cannot_be_rebuilt() -> None:
    future = pending()
    future._settle(FINISHED, b"no pickle", FACTS)
    with pytest.raises(UnpicklableResult, match="task 3"):
        future.result()


def test_waiting_and_timing_out() -> None:
    future = pending()
    with pytest.raises(TimeoutError, match="task 3"):
        future.result(0.01)
    later(lambda: succeed(future))
    assert future.result(DEADLINE) == 42
    assert not future._settle(CANCELLED)


@pytest.mark.parametrize("return_when", ["ALL_COMPLETED", "FIRST_EXCEPTION"])
def test_concurrent_futures_wait(return_when: str) -> None:
    futures = [pending() for _ in range(3)]
    succeed(futures[0])
    later(lambda: (succeed(futures[1]), fail(futures[2], ValueError())))
    done, _ = concurrent.futures.wait(futures, DEADLINE, return_when)
    assert done == set(futures)


def test_as_completed_under_a_race() -> None:
    for _ in range(200):
        futures = [pending() for _ in range(5)]
        later(lambda futures=futures: [succeed(future) for future in futures])
        assert set(concurrent.futures.as_completed(futures, DEADLINE)) == set(futures)


def test_done_callbacks_run_elsewhere_and_survive_errors() -> None:
    future, called, where = pending(), threading.Event(), []
    future.add_done_callback(lambda _: where.append(threading.current_thread().name))
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: called.set())
    succeed(future)
    assert called.wait(DEADLINE)
    assert where == ["taskfc-callbacks"]
    future.add_done_callback(where.append)  # over already: at once
    assert where[-1] is future


def test_await_is_shielded() -> None:
    async def use() -> None:
        future = pending()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)
        assert not future.done()
        assert future._waiters == []
        later(lambda: succeed(future))
        assert await future == 42
        assert await asyncio.wrap_future(future) == 42

    asyncio.run(use())


def test_cancel() -> None:
    future = pending()
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    for ask in (future.result, future.exception):
        with pytest.raises(concurrent.futures.CancelledError):
            ask()


def test_the_outputs_of_a_task() -> None:
    running, done = pending(), pending()
    succeed(done, 5)
    assert [output["data"] for output in running.outputs] == [{"text/plain": "of 3"}]
    assert [output["data"] for output in done.outputs] == [{"text/plain": "3"}]


def test_the_text_that_a_task_printed() -> None:
    running, done = pending(), pending()
    succeed(done, 5)
    assert (running.log, running.stdout, running.stderr) == ("log of 3err", "log of 3", "err")
    assert (done.log, done.stdout, done.stderr) == ("outerr", "out", "err")


def test_names_that_come_back() -> None:
    cell, text, bad = pending(), pending(), pending()
    succeed(cell, serialize.SourceResult(5, {"x": 1}, is_cell=True))
    succeed(text, serialize.SourceResult(None, {"y": 2}, is_cell=False))
    fail(bad, ZeroDivisionError("no"))
    assert cell.result() == 5
    assert cell.ns.x == cell.ns["x"] == 1
    assert text.result().ns.y == text.result()["y"] == 2
    assert (text.result().engineid, text.result().duration, text.result().attempts) == (4, 0.25, 2)
    assert text.result().submitted.tzinfo is not None
    with pytest.raises(ZeroDivisionError):
        bad.ns.x  # noqa: B018
    assert isinstance(bad.task_result().failure, ZeroDivisionError)


def test_only_the_farm_settles_it() -> None:
    for setter in (
        lambda f: f.set_result(1),
        lambda f: f.set_exception(None),
        lambda f: f.set_running_or_notify_cancel(),
    ):
        with pytest.raises(RuntimeError):
            setter(pending())


def test_it_cannot_be_pickled() -> None:
    for travel in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="argument of its own"):
            travel(pending())  # type: ignore[operator]


def test_its_repr_asks_nobody() -> None:
    future = pending()
    assert repr(future) == "<TaskFuture 3 fit unfinished>"
    succeed(future)
    assert repr(future) == "<TaskFuture 3 fit succeeded>"


def test_it_is_small() -> None:
    n, template = 5000, Template(Owner(), None, label="fit")
    TaskFuture(template)
    gc.collect()
    tracemalloc.start()
    futures = [TaskFuture(template) for _ in range(n)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(futures) == n
    assert size / n < 200


def test_a_request_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    future, never = pending(), concurrent.futures.Future[Any]()

    class Silent(Owner):
        async def describe(self, taskid: int) -> Any:
            return await wait(never)

    future._template.owner = Silent()
    monkeypatch.setattr(future_module, "ANSWER_WITHIN", 0.01)
    with pytest.raises(ControllerLost, match="farm 'test' has not answered"):
        future.state  # noqa: B018
    assert never.cancelled()
