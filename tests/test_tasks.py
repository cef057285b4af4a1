"""Tasks and results of the class API; wrong arguments raise in the constructor."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from taskfc_ext.errors import UnpicklableResult
from taskfc_ext.tasks import BaseTask, MapTask, Namespace, StringTask, TaskResult


def test_a_map_task_keeps_copies() -> None:
    args, kwargs = [1], {"a": 2}
    task = MapTask(pow, args, kwargs, retries=2)
    args.append(3)
    kwargs["b"] = 4
    assert (task.args, task.kwargs, task.retries) == ((1,), {"a": 2}, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 3}, "3 cannot be called"),
        ({"function": len, "args": "ab"}, "not 'ab'"),
        ({"function": len, "kwargs": [1]}, r"not \[1\]"),
        ({"function": len, "retries": 1.5}, "not 1.5"),
        ({"function": len, "retries": True}, "not True"),
        ({"function": len, "clear_before": 1}, "not 1"),
        ({"function": len, "recovery_task": len}, "recovery_task is"),
        ({"function": len, "depend": 5}, "not 5"),
    ],
)
def test_a_wrong_type_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        MapTask(**arguments)


def test_negative_retries() -> None:
    with pytest.raises(ValueError, match="-1"):
        BaseTask(retries=-1)


def test_a_string_task() -> None:
    task = StringTask("y = x", pull="y", push={"x": 1})
    assert (task.pull, task.push) == (("y",), {"x": 1})
    assert StringTask("", pull=["a", "b"]).pull == ("a", "b")
    for wrong in ({"expression": 3}, {"expression": "", "pull": 3}, {"expression": "", "push": {1: 2}}):
        with pytest.raises(TypeError):
            StringTask(**wrong)  # type: ignore[arg-type]


def result(**fields: Any) -> TaskResult:
    now = datetime.now(UTC)
    return TaskResult(taskid=1, engineid=2, submitted=now, completed=now, duration=0.5, attempts=1, **fields)


def test_a_result() -> None:
    good, bad = result(results={"a": 1, "b": 2}), result(failure=KeyError("x"))
    assert good.keys == ["a", "b"]
    assert good["a"] == good.ns.a == good.ns["a"] == 1
    good.raise_exception()
    for access in (lambda: bad["a"], lambda: bad.ns.a, lambda: bad.ns["a"], bad.raise_exception):
        with pytest.raises(KeyError, match="x"):
            access()
    with pytest.raises(KeyError, match="x"):
        bad.ns  # noqa: B018


def test_a_name_that_could_not_be_pickled() -> None:
    partly = result(results={"a": 1}, lost={"g": "it (a generator) cannot be pickled"})
    assert partly.ns.a == 1
    assert partly.keys == list(partly.ns) == ["a"]
    assert repr(partly.ns) == "<Namespace: a; not brought back: g>"
    for access in (lambda: partly["g"], lambda: partly.ns.g, lambda: partly.ns["g"]):
        with pytest.raises(UnpicklableResult, match=r"^'g' was not brought back: it \(a generator\)"):
            access()
    with pytest.raises(UnpicklableResult):
        pickle.loads(pickle.dumps(partly.ns)).g  # noqa: B018


def test_a_namespace() -> None:
    names = Namespace({"a": 1})
    assert dir(names) == ["a"]
    assert list(names) == ["a"]
    assert "a" in names
    assert repr(names) == "<Namespace: a>"
    assert copy.copy(names).a == pickle.loads(pickle.dumps(names)).a == 1
    with pytest.raises(AttributeError, match="it has: a"):
        names.b  # noqa: B018
    with pytest.raises(AttributeError):
        names.a = 2
    assert "KeyError" in repr(Namespace({}, KeyError("x")))
