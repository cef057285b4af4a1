"""Values that are stored once and given to many tasks."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from taskfc_ext import TaskFuture, UnknownTask, UnpicklableArgument
from taskfc_ext.client.start import Controller
from tests.processes import until

from .conftest import AsyncFace, BlockingFace, Session
from .test_large_data import N, arrays, describe, kill_controller, paths_of


def use(array: Any, item: int = 0) -> tuple[float, bool, str]:
    seen = float(array[0])
    array[0] = -1  # which no other task sees
    return seen + item, *describe(array)


def test_a_value_is_stored_once_for_many_tasks(face: BlockingFace | AsyncFace) -> None:
    array = np.full(N, 3.0)
    value = face.put(array)
    assert isinstance(value, TaskFuture)
    assert (value.done(), value.accepted, value.state, value.attempts) == (True, True, "succeeded", 0)
    array[:] = 0  # after it was put
    futures = [face.submit(use, value, item) for item in range(10)]
    assert [face.result(future) for future in futures] == [(3.0 + item, True, "mmap") for item in range(10)]
    assert set(value.result()) == {3.0}
    assert face.map(use, [value] * 2) == [(3.0, True, "mmap")] * 2


def test_small_values_and_classes_of_the_notebook_are_put_too(session: Session) -> None:
    session.run("class Settings:\n    def __init__(self, level):\n        self.level = level")
    session.run("from taskfc_ext import TaskClient\nclient = TaskClient()\nvalue = client.put(Settings(3))")
    session.run("def level_of(settings):\n    return isinstance(settings, Settings), settings.level")
    assert session.run("client.submit(level_of, value).result()") == (True, 3)
    assert session.run("isinstance(value.result(), Settings)") is True
    session.run("%%task look\nvalue.level")
    assert session.run("look.result()") == 3


def test_it_is_listed_found_by_name_and_survives_the_controller(lone_farm: Controller) -> None:
    with lone_farm.client() as client:
        value = client.with_options(name="table").put(np.full(N, 2.0))
        (info,) = client.list_tasks(taskids=[value.taskid or 0])
        assert (info.label, info.name, info.state, info.worker) == ("put(ndarray)", "table", "succeeded", -1)
        kill_controller(lone_farm)
        assert client.submit(use, value).result() == (2.0, True, "mmap")
        assert client.submit(use, client.future("table")).result() == (2.0, True, "mmap")
        assert set(value.retry().result()) == {2.0}
        with lone_farm.client() as other:
            assert other.submit(use, other.future("table")).result() == (2.0, True, "mmap")


def test_it_is_cleared_like_a_result_and_kept_while_a_task_needs_it(lone_farm: Controller) -> None:
    folder = paths_of(lone_farm).payloads
    with lone_farm.client() as client:
        others = set(arrays(folder))
        value = client.put(np.zeros(N))
        futures = [client.submit(use, value, item) for item in range(5)]
        assert [future.result()[0] for future in futures] == list(range(5))
        (file,) = set(arrays(folder)) - others
        n_workers = client.scale(0)
        waiting = client.submit(use, value)
        client.flush()
        assert client.clear(value) == 0
        client.scale(n_workers)
        assert waiting.result()[0] == 0
        client.clear([value])
        until(lambda: file not in arrays(folder), "its file is gone")
        with pytest.raises(UnknownTask):
            client.submit(use, value).result()


def test_a_value_that_is_put_comes_after_nothing(lone_farm: Controller) -> None:
    with lone_farm.client() as client, pytest.raises(ValueError, match="leave out after="):
        client.with_options(after=[client.put(1)]).put(2)


def test_what_cannot_be_put_is_named(face: BlockingFace | AsyncFace) -> None:
    with pytest.raises(UnpicklableArgument, match=r"the value that is put: \['lock'\]"):
        face.put({"lock": threading.Lock()})
    value = face.put(1)
    with pytest.raises(TypeError, match="can be given to tasks as it is"):
        face.put(value)
    with pytest.raises(UnpicklableArgument, match="a TaskFuture cannot be sent inside another object"):
        face.put([value])


def test_an_object_that_all_items_of_a_map_share_is_sent_once(lone_farm: Controller) -> None:
    folder = paths_of(lone_farm).payloads
    array = np.full(N, 4.0)
    with lone_farm.client() as client:
        others = set(arrays(folder))
        assert client.map(use, [array] * 6, range(6)) == [(4.0 + item, True, "mmap") for item in range(6)]
        assert len(set(arrays(folder)) - others) == 1
        assert array[0] == 4
        assert client.list_tasks()[-1].label == "use"
