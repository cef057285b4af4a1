"""Counts of a wait for tasks: the controller is asked for those of the open barrier."""

from __future__ import annotations

from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.client.session.barrier import BarrierProgress
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.client.session.pending import Call
from taskfc_ext.protocol.client_messages import Barrier
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until


def submit(client: BlockingTaskClient, n: int) -> list[int]:
    """Submit tasks that the farm holds back; return their ids."""
    futures = [client.submit(abs, i) for i in range(n)]
    client.flush()
    return [future.taskid for future in futures if future.taskid is not None]


def open_barrier(remote: RemoteController, taskids: list[int] | None) -> Call:
    barrier = Call(Barrier, {"taskids": None if taskids is None else tuple(taskids)})
    remote.open_barrier(barrier)
    return barrier


def test_the_counts_are_those_of_the_controller(
    farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient
) -> None:
    farm.running = False
    taskids = submit(client, 5)
    for ids in (taskids[:4], None):
        progress = BarrierProgress(remote, [4] if ids else [])
        assert progress.read() is None, "there is no barrier"
        progress.begin(open_barrier(remote, ids))
        until(lambda: progress.read() == Counts(0, 4, 0), "the controller answers")  # noqa: B023
        client.abort(taskids[0 if ids else 1])
        until(lambda: progress.read() == Counts(1, 4, 1), "one has ended")  # noqa: B023


def test_a_controller_that_comes_back_takes_nothing_back(
    farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient
) -> None:
    farm.running = False
    taskids = submit(client, 3)
    progress = BarrierProgress(remote)
    barrier = open_barrier(remote, None)
    progress.begin(barrier)
    until(lambda: progress.read() == Counts(0, 3, 0), "the controller answers")
    client.abort(taskids[0])
    until(lambda: progress.read() == Counts(1, 3, 1), "one has ended")
    farm.kill(then=Condition.DEAD)
    until(lambda: farm.revivals, "it is started again")
    client.abort(taskids[1])
    until(lambda: progress.read() == Counts(2, 3, 2), "another one has ended")
    farm.running = True
    assert barrier.answer.result(DEADLINE)
    assert (progress.read() or Counts(0)).total == 3


def test_several_barriers_are_one_wait(farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient) -> None:
    farm.running = False
    taskids = submit(client, 5)
    progress = BarrierProgress(remote, [2, 3])
    progress.begin(open_barrier(remote, taskids[:2]))
    until(lambda: progress.read() == Counts(0, 5, 0), "the controller answers")
    client.abort(taskids[0])
    until(lambda: progress.read() == Counts(1, 5, 1), "one has ended")
    client.abort(taskids[1])
    progress.begin(open_barrier(remote, taskids[2:]))
    until(lambda: progress.read() == Counts(2, 5, 1), "the first part has ended")
    client.abort(taskids[2])
    until(lambda: progress.read() == Counts(3, 5, 2), "another one has ended")


def test_a_client_that_is_closed_has_the_last_counts(
    farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient
) -> None:
    farm.running = False
    submit(client, 2)
    progress = BarrierProgress(remote)
    progress.begin(open_barrier(remote, None))
    until(lambda: progress.read() == Counts(0, 2, 0), "the controller answers")
    remote.close()
    assert progress.read() == progress.read() == Counts(0, 2, 0)
