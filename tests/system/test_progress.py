"""Progress of a running task, read by a client."""

from __future__ import annotations

from pathlib import Path

from taskfc_ext.client.start import Controller
from taskfc_ext.protocol.infos import TaskProgress
from tests.processes import DEADLINE, until


def halfway(go: str) -> str:
    import os
    import time

    from taskfc_ext import track

    for i in track(range(10), description="<b>fit"):
        while i == 5 and not os.path.exists(go):
            time.sleep(0.01)
    return "done"


def test_a_client_sees_how_far_a_running_task_is(shared_farm: Controller, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with shared_farm.client() as client:
        future = client.submit(halfway, str(go))
        half = TaskProgress(5, 10, "<b>fit")
        until(lambda: future.progress == half, "it is seen to be halfway")  # what was seen before may be less
        assert [(task.taskid, task.progress) for task in client.list_tasks(states=("running",))] == [
            (future.taskid, half)
        ]
        go.touch()
        assert future.result(DEADLINE) == "done"
        assert future.progress is None
        assert [task.progress for task in client.list_tasks(taskids=[future.taskid])] == [None]
