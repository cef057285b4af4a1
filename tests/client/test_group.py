"""The group of a map: a sequence of futures, with results, counts, retries and a table."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.group import front
from taskfc_ext.client.group.counts import GroupCounts
from taskfc_ext.client.group.frame import input_names
from taskfc_ext.client.group.group import TaskGroup
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.errors import ControllerStopped, TaskAborted
from taskfc_ext.protocol.infos import TaskProgress
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until

is_mended: dict[str, bool] = {}


def double(x: int) -> int:
    return 2 * x


def invert(x: int, scale: int = 1) -> float:
    if not x and not is_mended.get("invert"):
        raise ZeroDivisionError("x is 0")
    return scale / (x or 1)


@pytest.fixture(autouse=True)
def broken_again() -> Iterator[None]:
    yield
    is_mended.clear()


def test_it_is_a_sequence_of_futures(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    group = client.map_async(double, [3, 1, 2])
    assert isinstance(group, TaskGroup)
    assert len(group) == 3
    assert (group.done(), group.counts, group.failed) == (False, GroupCounts(3), [])
    assert group.flush(DEADLINE)
    assert group.id_ranges == ((0, 2),)
    assert repr(group) == "<TaskGroup double: 0 of 3 done>"
    farm.controller.run_tasks()
    assert group.wait(DEADLINE)
    assert group.done()
    assert [future.result() for future in group] == [6, 2, 4]
    assert group[-1].result() == 4
    assert group[1:] == [group[1], group[2]]
    assert group[1] in group
    assert group.counts == GroupCounts(3, succeeded=3)
    assert group.progress == TaskProgress(done=3, total=3)
    assert client.map(double, [5], block=False).result(DEADLINE) == [10]


def test_results_come_in_order_and_the_first_failure_tells_of_the_others(client: BlockingTaskClient) -> None:
    assert client.map_async(double, range(20)).result(DEADLINE) == [2 * x for x in range(20)]
    assert client.map_async(double, []).result(DEADLINE) == []
    group = client.map_async(invert, [1, 0, 2, 0, 0])
    with pytest.raises(ZeroDivisionError) as caught:
        group.result(DEADLINE)
    with pytest.raises(ZeroDivisionError):
        group.result(DEADLINE)
    assert caught.value.__notes__ == ["item 1 of 5 in a map, counted from 0; 2 more failed: group.failed"]
    assert group.failed == [group[1], group[3], group[4]]
    assert group.counts == GroupCounts(5, succeeded=2, failed=3)
    assert repr(group) == "<TaskGroup invert: 5 of 5 done, 3 failed>"


def test_a_timeout_says_how_many_are_unfinished(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    group = client.map_async(double, [1, 2])
    assert not group.wait(0)
    with pytest.raises(TimeoutError, match=r"2 of 2 items have not ended after 0.01 s"):
        group.result(0.01)


def test_a_timeout_error_of_a_task_is_its_own(client: BlockingTaskClient) -> None:
    def fail(x: int) -> None:
        raise TimeoutError("of the task")

    with pytest.raises(TimeoutError, match="of the task"):
        client.map_async(fail, [1]).result(DEADLINE)


def test_counts_of_chunks_are_of_items(client: BlockingTaskClient) -> None:
    group = client.map_async(invert, [1, 2, 3, 4, 0, 6, 7], chunksize=3)
    assert group.wait(DEADLINE)
    assert len(group) == 3
    assert group.counts == GroupCounts(7, succeeded=4, failed=3)
    is_mended["invert"] = True
    group.retry_failed()
    assert group.result(DEADLINE) == [invert(x) for x in [1, 2, 3, 4, 0, 6, 7]]
    assert group.counts == GroupCounts(7, succeeded=7)


def test_as_completed_gives_each_future_when_it_has_ended(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    group = client.map_async(double, range(5))
    group[3].cancel()
    completed = group.as_completed()
    assert len(completed) == 5
    first = next(iter(completed))
    assert first is group[3]
    assert len(completed) == 4
    farm.controller.run_tasks()
    assert {future.result() for future in completed} == {0, 2, 4, 8}
    assert set(concurrent.futures.as_completed(group, DEADLINE)) == set(group)


def test_in_an_event_loop(farm: FakeFarm, remote: RemoteController) -> None:
    async def use() -> None:
        client = FCTaskClient(remote)
        group = client.map_async(double, [1, 2, 3])
        assert await group == [2, 4, 6]
        assert await (await client.map(double, [1], block=False)) == [2]
        assert sorted([await future async for future in group.as_completed()]) == [2, 4, 6]
        with pytest.raises(ZeroDivisionError):
            await client.map_async(invert, [0])
        done, left = await asyncio.wait(group)
        assert (len(done), len(left)) == (3, 0)

    asyncio.run(use())


def test_retried_tasks_take_the_places_of_the_failed_ones(client: BlockingTaskClient) -> None:
    group = client.map_async(invert, [2, 0, 4, 0])
    group.wait(DEADLINE)
    old = group.failed
    is_mended["invert"] = True
    new = group.retry_failed()
    assert [future.retry_of for future in new] == [future.taskid for future in old]
    assert group.result(DEADLINE) == [0.5, 1.0, 0.25, 1.0]
    assert [group[1], group[3]] == new
    assert group.counts == GroupCounts(4, succeeded=4)
    assert (group.failed, group.retry_failed()) == ([], [])


def test_abort_stops_what_has_not_ended(farm: FakeFarm, client: BlockingTaskClient) -> None:
    group = client.map_async(double, range(4))
    group.wait(DEADLINE)
    farm.controller.running = False
    unfinished = client.map_async(double, range(4))
    assert (group.abort(), unfinished.abort()) == (0, 4)
    assert unfinished.wait(DEADLINE)
    assert unfinished.counts == GroupCounts(4, aborted=4)
    with pytest.raises(TaskAborted):
        unfinished.result()


def test_a_stopped_farm_leaves_tasks_whose_end_is_unknown(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    group = client.map_async(double, range(2))
    client.flush(DEADLINE)
    client.stop()
    until(lambda: farm.connection() is None, "the farm has stopped")
    with pytest.raises(ControllerStopped):
        group.result(DEADLINE)
    assert group.counts == GroupCounts(2, unknown=2)
    assert group.failed == []


def test_the_time_ends_with_the_last_task(client: BlockingTaskClient) -> None:
    group = client.map_async(double, range(3))
    group.wait(DEADLINE)
    first = group.seconds
    assert group.seconds == first


def test_ends_count_once_whoever_notices_them_first(farm: FakeFarm, client: BlockingTaskClient) -> None:
    group = client.map_async(invert, [1, 0, 2])
    first, second = group[0], group[1]
    assert group.wait(DEADLINE)
    assert group.done()
    assert group.counts == GroupCounts(3, succeeded=2, failed=1)
    is_mended["invert"] = True
    (retried,) = group.retry_failed()
    assert group.wait(DEADLINE)
    assert group.done()
    assert group.counts == GroupCounts(3, succeeded=3)
    assert (group[0], group[1]) == (first, retried) != (first, second)


def test_an_interrupt_says_that_the_tasks_go_on(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    group = client.map_async(double, [1, 2])
    for wait in (group.result, group.wait):
        previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt) as caught:
                wait(DEADLINE)
        finally:
            signal.signal(signal.SIGALRM, previous)
        assert caught.value._render_traceback_() == ["KeyboardInterrupt: 2 tasks of the map go on"]


def test_a_notebook_keeps_the_group_of_an_interrupted_map(farm: FakeFarm, client: BlockingTaskClient) -> None:
    class Notebook:
        kept: TaskGroup | None = None

        def show_wait(self, group: Any) -> bool:
            return True

        def keep(self, group: Any) -> str:
            self.kept = group
            return "_"

    notebook = Notebook()
    farm.controller.running = False
    client.map_async(double, [0])  # the first submission writes the modules of this process: longer than the timer runs
    client.flush(DEADLINE)
    front.set_front(notebook)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt, match=r"^1 task of the map goes on: `_` holds "):
            client.map(double, [1])
    finally:
        signal.signal(signal.SIGALRM, previous)
        front.set_front(None)
    farm.controller.run_tasks()
    assert notebook.kept is not None
    assert notebook.kept.result(DEADLINE) == [2]


def test_it_is_not_sent(client: BlockingTaskClient) -> None:
    group = client.map_async(double, [1])
    with pytest.raises(TypeError, match=r"pass its result\(\)"):
        pickle.dumps(group)


# tables


def test_a_row_for_each_item(farm: FakeFarm, client: BlockingTaskClient) -> None:
    group = client.map_async(invert, [2, 0, 4], (1, 1, 2))
    group.wait(DEADLINE)
    frame = group.to_frame()
    inputs = {"x": [2, 0, 4], "scale": [1, 1, 2]}
    assert {name: frame[name].to_list() for name in inputs} == inputs
    assert list(frame.columns[2:]) == [
        *("result", "error", "state", "seconds", "attempts", "started", "completed", "taskid", "worker"),
    ]
    assert frame["result"].fillna(-1).to_list() == [0.5, -1, 0.5]
    assert frame["error"].to_list() == ["", "ZeroDivisionError: x is 0", ""]
    assert frame["state"].to_list() == ["succeeded", "failed", "succeeded"]
    assert frame["taskid"].to_list() == [future.taskid for future in group]
    assert (frame["completed"] >= frame["started"]).all()
    assert str(frame["started"].dtype) == "datetime64[ns, UTC]"


def test_a_table_of_chunks_and_of_unfinished_tasks(farm: FakeFarm, client: BlockingTaskClient) -> None:
    chunked = client.map_async(double, range(5), chunksize=2)
    chunked.wait(DEADLINE)
    assert chunked.to_frame()["result"].to_list() == [0, 2, 4, 6, 8]
    farm.controller.running = False
    unfinished = client.map_async(list, [[1], (2, 3)]).to_frame()
    assert unfinished["state"].to_list() == ["unfinished"] * 2
    assert unfinished.iloc[:, 0].to_list() == [[1], (2, 3)]
    assert client.map_async(double, []).to_frame().empty


def test_without_pandas_it_says_what_to_install(client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    group = client.map_async(double, [1])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"pandas, which is not installed: pip install"):
        group.to_frame()


@pytest.mark.parametrize(
    ("function", "n", "names"),
    [
        (invert, 2, ["x", "scale"]),
        (lambda state, *rest: None, 3, ["arg_state", "arg1", "arg2"]),
        (max, 2, ["arg0", "arg1"]),
        (double, 1, ["x"]),
    ],
)
def test_names_of_inputs(function: Any, n: int, names: list[str]) -> None:
    assert input_names(function, n) == names
