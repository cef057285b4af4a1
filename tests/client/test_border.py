"""Tracebacks of blocking calls: the caller's frames, and at most the call itself."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from taskfc_ext.border import at_border, shorten
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.executor import TaskExecutor
from taskfc_ext.client.future.waiting import drive
from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.protocol.client_messages import Barrier
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until
from tests.shells import end_shell, new_shell


def invert(x: int) -> float:
    return 1 / x


def broken() -> Iterator[int]:
    yield 1
    raise KeyError("mine")


def frames_of(error: BaseException) -> list[tuple[str, str]]:
    """Return (package, function) of each frame below that of the test."""
    frames = list(traceback.walk_tb(error.__traceback__))[1:]
    return [(frame.f_globals["__name__"].partition(".")[0], frame.f_code.co_name) for frame, _ in frames]


def raised_by(call: Callable[[], Any], kind: type[Exception]) -> BaseException:
    try:
        call()
    except kind as error:
        return error
    pytest.fail(f"no {kind.__name__}")


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_of_a_task_shows_one_frame_of_imap(client: BlockingTaskClient, ordered: bool) -> None:
    error = raised_by(lambda: list(client.imap(invert, [1, 0], ordered=ordered)), ZeroDivisionError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "iterate")]


@pytest.mark.parametrize("chunksize", [1, 2])
def test_an_error_of_a_task_shows_one_frame_of_an_executors_map(client: BlockingTaskClient, chunksize: int) -> None:
    executor = TaskExecutor(client=client)
    error = raised_by(lambda: list(executor.map(invert, [1, 0], chunksize=chunksize)), ZeroDivisionError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "_results")]


def test_an_error_of_a_task_shows_the_method(client: BlockingTaskClient) -> None:
    error = raised_by(lambda: client.map(invert, [1, 0]), ZeroDivisionError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "map")]


def test_an_error_of_the_callers_iterable_shows_where_it_was_raised(client: BlockingTaskClient) -> None:
    error = raised_by(lambda: list(client.imap(invert, broken())), KeyError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "iterate"), ("tests", "broken")]


def test_a_refusal_shows_no_more_than_the_error_of_a_task(client: BlockingTaskClient) -> None:
    error = raised_by(lambda: list(client.imap(invert, [threading.Lock()])), UnpicklableArgument)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "iterate")]


def test_an_unexpected_error_of_ours_keeps_its_frames() -> None:
    module: dict[str, Any] = {"__name__": "taskfc_ext.client.somewhere"}
    exec("async def fail():\n    raise AttributeError('a mistake')", module)
    error = raised_by(lambda: drive(module["fail"]()), AttributeError)
    assert [name for _, name in frames_of(error)] == ["<lambda>", "drive", "_drive", "fail"]


def test_an_error_that_is_its_own_cause_is_no_trap() -> None:
    error = RuntimeError("in a circle")
    error.__cause__ = error
    try:
        raise error
    except RuntimeError as caught:
        shorten(caught)
    assert frames_of(error) == []


def test_a_wrong_use_shows_the_method_only(client: BlockingTaskClient) -> None:
    for call in (
        lambda: client.barrier("fit"),  # type: ignore[arg-type]
        lambda: client.submit(3),  # type: ignore[arg-type]
        lambda: client.with_options(retires=3),  # type: ignore[call-arg]
    ):
        assert len(frames_of(raised_by(call, TypeError))) == 2


def test_a_second_result_has_no_frames_of_the_first(client: BlockingTaskClient) -> None:
    future = client.submit(invert, 0)
    shown = [frames_of(raised_by(lambda: future.result(5), ZeroDivisionError)) for _ in range(2)]
    assert shown == [[("tests", "<lambda>"), ("taskfc_ext", "result")]] * 2


def test_an_awaited_future_shows_one_frame(client: BlockingTaskClient) -> None:
    async def read() -> None:
        await client.submit(invert, 0)

    error = raised_by(lambda: asyncio.run(read()), ZeroDivisionError)
    assert [name for package, name in frames_of(error) if package == "taskfc_ext"] == ["__await__"]


class Shop:
    @at_border
    def sell(self, what: str, /, n: int, *, price: float = 1.0) -> str:
        """Sell."""
        return f"{n} {what}"

    @at_border
    async def wait(self, timeout: float = 0) -> None: ...


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda shop: shop.sell("tea", n=1, prize=2), "sell() has no argument prize=; did you mean price=?"),
        (lambda shop: shop.sell("tea", workers=2), "sell() has no argument workers=; did you mean n=?"),
        (lambda shop: shop.sell("tea", 2, zzz=2), "sell() has no argument zzz=; it takes n, price"),
        (lambda shop: shop.sell("tea", 2, 3), "sell() takes 2 arguments by position, not 3; price= is given by name"),
        (lambda shop: shop.sell("tea", 2, n=3), "sell() has two values for n: by position and as n="),
        (lambda shop: shop.sell("tea"), "sell() needs n: sell(what, n, *, price=1.0)"),
        (lambda shop: shop.sell(), "sell() needs what and n: sell(what, n, *, price=1.0)"),
        (lambda shop: asyncio.run(shop.wait(1, 2)), "wait() takes 1 argument by position, not 2"),
    ],
)
def test_arguments_that_do_not_fit_are_answered_with_those_that_do(call: Callable[[Shop], Any], text: str) -> None:
    assert str(raised_by(lambda: call(Shop()), TypeError)) == text


@contextmanager
def interrupt_when(condition: Callable[[], object]) -> Iterator[None]:
    def wait_and_interrupt() -> None:
        until(condition, "the wait has begun")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait_and_interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE)


def test_an_interrupted_wait_names_the_task(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.with_options(name="fit").submit(invert, 1)
    client.flush()
    goes_on = r"^task 0 \(fit\) goes on: result\(\) waits again, abort\(\) stops it$"
    with pytest.raises(KeyboardInterrupt, match=goes_on), interrupt_when(lambda: future._wait_state is not None):
        future.result(DEADLINE)
    farm.controller.run_tasks()
    assert future.result(DEADLINE) == 1


def test_an_interrupted_await_names_the_task(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(invert, 1)
    client.flush()

    async def interrupt() -> str:  # as ipykernel does
        async def read() -> None:
            await future

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await reading
        return str(caught.value)

    assert asyncio.run(interrupt()) == "task 0 (invert) goes on: result() waits again, abort() stops it"
    farm.controller.run_tasks()
    assert future.result(DEADLINE) == 1


# in IPython


@pytest.fixture
def shell(client: BlockingTaskClient) -> Iterator[Any]:
    ip = new_shell(InteractiveShell.instance)
    ip.user_ns.update(tc=client, invert=invert)
    yield ip
    end_shell(ip)


def shown_by(shell: Any, capsys: pytest.CaptureFixture[str], cell: str) -> str:
    capsys.readouterr()
    assert shell.run_cell(cell, store_history=True).error_in_exec is not None
    return capsys.readouterr().out.rstrip()


def test_a_wrong_use_is_one_line_in_ipython(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_by(shell, capsys, "tc.map([1, 2], abs)") == (
        "TypeError: map takes the function first: map(f, [1, 2]); [1, 2] cannot be called"
    )
    assert shown_by(shell, capsys, "tc.get_task_result(999)").startswith("UnknownTask: there is no task 999; ")


def test_an_interrupt_is_one_line_in_ipython(
    farm: FakeFarm, shell: Any, client: BlockingTaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    farm.controller.running = False
    client.submit(invert, 1)
    with interrupt_when(lambda: any(isinstance(each, Barrier) for each in farm.controller.received)):
        shown = shown_by(shell, capsys, "tc.barrier()")
    goes_on = "the wait has ended, and what it waited for goes on; list_tasks() has the tasks"
    assert shown == f"KeyboardInterrupt: {goes_on}"


def test_lines_of_the_caller_come_first_in_ipython(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cell = "def scale():\n    tc.scale(-1)\n\nscale()"
    assert shown_by(shell, capsys, cell).splitlines() == [
        "Cell In[1], line 4: scale()",
        "Cell In[1], line 2, in scale: tc.scale(-1)",
        "ValueError: n is from 0 to 10,000, not -1",
    ]


@pytest.mark.parametrize(
    "cell", ["tc.submit(invert, 0).result()", "await tc.submit(invert, 0)", "list(tc.imap(invert, [0]))"]
)
def test_an_error_of_a_task_is_its_own_traceback_in_ipython(
    shell: Any, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    lines = shown_by(shell, capsys, cell).splitlines()
    assert lines[0].startswith("in task ")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert not [line for line in lines if "taskfc_ext" in line]


def test_cells_of_this_notebook_have_their_numbers_in_a_tasks_traceback(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("def fail(): return {}['b']", store_history=True)
    assert "\n  Cell In[1], line 1, in fail\n" in shown_by(shell, capsys, "tc.submit(fail).result()")


def test_the_error_behind_the_lines_is_whole(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shown_by(shell, capsys, "tc.submit(invert, 0).result()")
    error = sys.last_value
    assert type(error) is ZeroDivisionError
    assert frames_of(error)[-1] == ("taskfc_ext", "result")  # for a debugger
    assert "in invert" in "".join(traceback.format_exception(error))  # for a logger
    assert type(pickle.loads(pickle.dumps(error))) is ZeroDivisionError
    lines = shown_by(shell, capsys, "raise KeyError('mine') from __import__('sys').last_value")
    assert "RemoteTraceback" in lines  # shown as usual


def test_a_fault_of_ours_is_shown_whole_in_ipython(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.user_ns["fail"] = at_border(lambda: {}["a fault"])
    assert "return function(" in shown_by(shell, capsys, "fail()")
