"""The tasks that a short list shows: what runs, and the newest of the others."""

from __future__ import annotations

from typing import Any, Protocol

from taskfc_ext.protocol.infos import TaskInfo


class Lists(Protocol):
    """A client that blocks."""

    def list_tasks(self, *, owner: str | None, states: Any = None, limit: int) -> list[TaskInfo]:
        """Return the newest tasks that pass the filters, newest last."""
        ...


def running_and_newest(client: Lists, owner: str | None, limit: int) -> list[TaskInfo]:
    """Return what runs, however long the queue behind it, and the newest of the others; newest last."""
    running = client.list_tasks(owner=owner, states=("running",), limit=limit)
    shown = {task.taskid: task for task in (*running, *client.list_tasks(owner=owner, limit=limit))}
    newest = sorted(shown, key=lambda taskid: (shown[taskid].state == "running", taskid))[-limit:]
    return [shown[taskid] for taskid in sorted(newest)]
