from __future__ import annotations

import gc
import sys
import threading
from typing import Any

import numpy as np
import pytest

from taskfc_ext.errors import TaskRejectError
from taskfc_ext.protocol.payloads import Failure, Outcome
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.serialize import InputRef, dump_call, dump_value
from taskfc_ext.worker.load import programs
from tests.processes import DEADLINE, until


def add(a: int, b: int = 1) -> int:
    return a + b


def fail(error: BaseException) -> None:
    raise error


def deeper(n: int) -> int:
    return deeper(n + 1)


class Lock:
    def __init__(self) -> None:
        self.inner = {"lock": threading.Lock()}


class NoText(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


class Leaves(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class Interrupts(Exception):
    def __reduce__(self) -> str:
        raise KeyboardInterrupt


class NoPickle(Exception):
    def __reduce__(self) -> str:
        raise ValueError("no")


class RaisesWhenLoaded:
    def __reduce__(self) -> Any:
        return fail, (KeyError("while loading"),)


def test_a_function_is_called_with_its_arguments(bench: Any) -> None:
    bench.call(add, 1, 2)
    assert bench.result() == 3


def test_results_of_other_tasks_are_arguments(bench: Any) -> None:
    spec = bench.spec(add)
    bench.give(
        spec,
        dump_call((InputRef(0),), {"b": InputRef(1)}, what="f"),
        inputs=tuple(dump_value(i, what="i") for i in (5, 6)),
    )
    assert bench.result() == 11


def test_a_coroutine_is_awaited(bench: Any) -> None:
    async def later() -> str:
        return "awaited"

    bench.call(later)
    assert bench.result() == "awaited"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        SystemExit(3),
        KeyboardInterrupt("mine"),
        NoText(),
        Leaves(),
        MemoryError(),
        GeneratorExit(),
        StopIteration(),
    ],
)
def test_whatever_a_task_raises_is_its_own_error(bench: Any, error: BaseException) -> None:
    bench.call(fail, error)
    bench.call(add, 1)
    (outcome, failure), (_, value) = bench.collect()
    assert outcome == Outcome.ERROR
    assert failure.type_name.endswith(type(error).__name__)
    assert value == 2


def test_an_exception_that_cannot_be_pickled_is_sent_as_text(bench: Any) -> None:
    def raise_it() -> None:
        raise NoPickle("here")

    bench.call(raise_it)
    failure = bench.failure()
    assert failure.message == "here"
    assert failure.pickled is None
    assert "NoPickle" in failure.note


@pytest.mark.parametrize("kind", [Leaves, Interrupts])
def test_an_exception_whose_own_code_exits_does_not_end_the_worker(bench: Any, kind: type[Exception]) -> None:
    def raise_it() -> None:
        raise kind

    bench.call(raise_it)
    assert kind.__name__ in bench.failure().type_name


def test_endless_recursion_is_survived(bench: Any) -> None:
    bench.call(deeper, 0)
    assert bench.failure().type_name == "RecursionError"


def test_a_result_that_cannot_be_pickled_is_named(bench: Any) -> None:
    bench.call(Lock)
    failure = bench.failure()
    assert failure.type_name == "taskfc_ext.errors.UnpicklableResult"
    assert failure.message.startswith("the result of Lock: .inner['lock'] (a _thread.lock) cannot be pickled")


def test_an_argument_that_cannot_be_loaded_is_the_tasks_failure(bench: Any) -> None:
    bench.call(add, RaisesWhenLoaded())
    failure = bench.failure(Outcome.FINAL_ERROR)  # loading it again would fail again
    assert failure.type_name == "taskfc_ext.errors.LoadingFailed"
    assert failure.message == "loading add on the worker failed: KeyError: 'while loading'"


def test_a_traceback_shows_the_users_frames_only(bench: Any) -> None:
    bench.call(fail, ValueError("x"))
    text = bench.failure().traceback
    assert "in fail\n    raise error\n" in text
    assert "taskfc_ext/worker" not in text
    assert text.endswith("ValueError: x\n")


def test_retry_on_names_the_errors_that_are_retried(bench: Any) -> None:
    for error in (OSError("again"), ValueError("never")):
        bench.call(fail, error, retry_on=OSError)
    assert [outcome for outcome, _ in bench.collect()] == [Outcome.ERROR, Outcome.FINAL_ERROR]


def test_depend_may_refuse(bench: Any) -> None:
    bench.properties["gpu"] = True
    bench.call(add, 1, depend=has_gpu)
    bench.call(add, 1, depend=has_more)
    bench.call(add, 1, depend=is_never)
    assert bench.collect() == [
        (Outcome.OK, 2),
        (Outcome.REFUSED, "depend raised KeyError: 'more'"),
        (Outcome.REFUSED, "depend returned a false value"),
    ]


def has_gpu(properties: Any) -> object:
    return properties["gpu"]


def has_more(properties: Any) -> object:
    return properties["more"]


def is_never(properties: Any) -> object:
    return []


def test_a_task_may_reject_this_worker(bench: Any) -> None:
    bench.call(fail, TaskRejectError("not here"))
    assert bench.collect() == [(Outcome.NOT_NOW, "not here")]


def test_missing_code_is_a_failure(bench: Any) -> None:
    bench.give(Spec(kind=Kind.FUNCTION, code=b"x" * 16, label="f"), dump_call((), {}, what="f"))
    assert "did not reach this worker" in bench.failure(Outcome.FINAL_ERROR).message


def test_a_function_without_state_is_loaded_once(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = programs.load_function
    monkeypatch.setattr(programs, "load_function", lambda body: (loads.append(body), load(body))[1])
    for _ in range(3):
        bench.call(add, 1)
        bench.result()
    assert len(loads) == 1


class Writes:
    """An argument that writes into the arrays that it meets."""

    def __array_ufunc__(self, ufunc: Any, method: str, table: Any, *others: Any) -> list[float]:
        table[0] = 7.0
        return [0.0]


def test_an_array_that_is_only_read_stays_loaded_until_an_argument_could_write(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = programs.load_function
    monkeypatch.setattr(programs, "load_function", lambda body: (loads.append(body), load(body))[1])
    namespace = {"__name__": "__main__", "table": np.ones(100_000)}
    exec("def first(x): return float((table + x)[0] if x is not None else table[0])", namespace)
    for argument, n_loads in ((None, 1), (None, 1), (2, 1), (Writes, 1), (None, 2), (None, 2)):
        bench.call(namespace["first"], argument() if argument is Writes else argument)
        value = bench.result()
        assert (len(loads), argument is Writes or value == 1.0 + (argument or 0)) == (n_loads, True)


def test_a_property_cannot_write_into_the_arrays_of_a_later_depend(bench: Any) -> None:
    namespace = {"__name__": "__main__", "table": np.ones(100_000)}
    exec("def depend(properties): return (table + properties['x'])[0] == 1", namespace)
    outcomes = []
    for bench.properties["x"] in (0, Writes(), 0):
        bench.call(add, 1, depend=namespace["depend"])
        outcomes += [outcome for outcome, _ in bench.collect()]
    assert outcomes == [Outcome.OK, Outcome.REFUSED, Outcome.OK]


def test_a_function_with_state_is_loaded_for_each_attempt(bench: Any) -> None:
    def remember(seen: list[int] = []) -> int:  # noqa: B006
        seen.append(1)
        return len(seen)

    bench.call(remember)
    bench.call(remember)
    assert [value for _, value in bench.collect()] == [1, 1]


def test_a_failure_names_its_cause(bench: Any) -> None:
    bench.call(fail, ValueError("why"))
    failure = bench.failure()
    assert isinstance(failure, Failure)
    assert (failure.type_name, failure.message) == ("ValueError", "why")


class Watched:
    """An argument that reports its own end."""

    alive = 0

    def __init__(self) -> None:
        self.__setstate__({})

    def __setstate__(self, state: object) -> None:
        Watched.alive += 1

    def __getstate__(self) -> dict[str, object]:
        return {}

    def __del__(self) -> None:
        Watched.alive -= 1


def test_the_namespace_of_an_attempt_is_released(bench: Any) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "held": [Watched()]}
    exec("def f(): return len(held), f.__name__", namespace)
    before = Watched.alive
    gc.disable()  # a cycle of function and globals would wait for it
    try:
        for _ in range(5):
            bench.call(namespace["f"])
            assert bench.result() == (1, "f")
        assert Watched.alive <= before + 1, "of the last one something may be held until the next begins"
    finally:
        gc.enable()


def test_the_namespace_of_its_depend_is_released_too(bench: Any) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "held": [Watched()]}
    exec("def depend(properties): return depend.__name__, held\ndef f(): return f.__name__, len(held)", namespace)
    before = Watched.alive
    gc.disable()
    try:
        for _ in range(5):
            bench.call(namespace["f"], depend=namespace["depend"])
            assert bench.result() == ("f", 1)
        assert Watched.alive <= before + 2, "of the last one something may be held until the next begins"
    finally:
        gc.enable()


def test_a_thread_that_is_left_behind_still_finds_its_names(bench: Any) -> None:
    go_on, seen = threading.Event(), []

    def tell() -> None:
        go_on.wait(DEADLINE)
        seen.append(1)

    namespace: dict[str, Any] = {"__name__": "__main__", "tell": Teller(tell), "threading": threading}
    exec("def work(): tell()\ndef f(): threading.Thread(target=work).start()", namespace)
    HELD["teller"] = tell
    bench.call(namespace["f"])
    bench.result()
    go_on.set()
    until(lambda: seen == [1], "the thread has found what it calls")


HELD: dict[str, Any] = {}


class Teller:
    """Calls a function of the test, though it was pickled."""

    def __init__(self, tell: Any) -> None:
        pass

    def __call__(self) -> None:
        HELD["teller"]()

    def __reduce__(self) -> Any:
        return Teller, (None,)
