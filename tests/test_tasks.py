"""Tasks and results of the class API; wrong arguments raise in the constructor."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from taskfc_ext.client.submit.options import Options
from taskfc_ext.errors import UnpicklableResult
from taskfc_ext.protocol.resources import Needs
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
    with pytest.raises(KeyError, match="it has: a"):
        names["b"]
    with pytest.raises(AttributeError):
        names.a = 2
    assert "KeyError" in repr(Namespace({}, KeyError("x")))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cores": 0}, ValueError, "cores is at least 1, not 0"),
        ({"cores": True}, TypeError, "cores is an int, not True"),
        ({"gpus": 1.5}, TypeError, "gpus is an int, not 1.5"),
        ({"gpus": -1}, ValueError, "gpus is at least 0, not -1"),
        ({"gpus": 10**9}, ValueError, "gpus is at most 1,000,000, not 1,000,000,000"),
        ({"memory": "8X"}, ValueError, "memory is a size such as 500M, 8G or 1.5GiB, not '8X'"),
        ({"memory": 8}, ValueError, "memory is from 1 MB to 1,000 TB, not 8; 8G means 8 GB"),
        ({"memory": 8e9}, TypeError, "memory is a number of bytes or a size such as '8G', not 8000000000.0"),
        ({"memory": True}, TypeError, "memory is a number of bytes or a size such as '8G', not True"),
        ({"resources": {"a b": 1}}, ValueError, "the name of a resource is a letter or _ and then letters, "),
        ({"resources": {"gpus": 1}}, ValueError, "gpus is an option of its own, not an own resource of a farm"),
        ({"resources": {"tape": -1}}, ValueError, "resources['tape'] is at least 0, not -1"),
        ({"resources": ["tape"]}, TypeError, "resources is a dict of names and amounts, such as {'licence': 1}, not "),
    ],
)
def test_a_wrong_resource_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    for accept in (lambda: MapTask(len, **options), lambda: Options().with_changes(options)):
        with pytest.raises(error) as caught:
            accept()
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 5e8), ("8G", 8e9), ("8 gb", 8e9), ("1.5GiB", 1.5 * 2**30), (".5t", 5e11), ("1e6", None)]
)
def test_sizes(text: str, size: float | None) -> None:
    if size is None:
        with pytest.raises(ValueError, match="memory is a size such as"):
            MapTask(len, memory=text)
    else:
        assert MapTask(len, memory=text).memory == size


def test_the_resources_of_a_task_go_before_those_of_the_client() -> None:
    client = Options().with_changes({"cores": 4, "memory": "8G", "resources": {"tape": 0, "licence": 1}})
    assert client.of_task(MapTask(len)).needs == Needs(cores=4, memory=8 * 10**9, others=(("licence", 1),))
    assert client.of_task(MapTask(len, cores=2, gpus=1)).needs == Needs(
        cores=2, memory=8 * 10**9, gpus=1, others=(("licence", 1),)
    )
    assert Options().of_task(MapTask(len)).needs is None
