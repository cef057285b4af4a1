"""Looking at a controller and steering it: the requests that concern no submission of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from taskfc_ext.client import answers
from taskfc_ext.client.answers import Answer
from taskfc_ext.client.remote import RemoteController
from taskfc_ext.client.silence import answered
from taskfc_ext.errors import ControllerStopped, UnknownTask
from taskfc_ext.protocol.client_messages import (
    GetClientName,
    GetLog,
    GetOutputs,
    GetSubmission,
    GetWorkers,
    ListTasks,
    QueueStatus,
    Request,
    Scale,
    Spin,
)
from taskfc_ext.protocol.ids import MAX_ID
from taskfc_ext.protocol.infos import SubmittedTask, TaskInfo, WorkerInfo
from taskfc_ext.protocol.printed import log_of

_MAX_WORKERS = 10_000


class Steering:
    """This part of `FCTaskClient`.

    Args:
        remote_reference: the connected controller.
    """

    def __init__(self, remote_reference: RemoteController) -> None:
        self.remote_reference = remote_reference

    async def spin(self) -> None:
        """Look again at what can run now; workers that refused a task are asked again."""
        await self._ask(Spin)

    async def queue_status(self, verbose: bool = False) -> dict[str, Any]:
        """Return how many tasks are waiting, scheduled, pending (that is: running), succeeded, failed and aborted.

        Args:
            verbose: return lists of their ids instead.
        """
        status: dict[str, Any] = await self._ask(QueueStatus, verbose=bool(verbose))
        return status

    async def get_client_name(self) -> str:
        """Return the name under which the controller knows this client."""
        return str(await self._ask(GetClientName))

    def unpackage(self, reply: Answer) -> Any:
        """Return the plain data of a controller's answer, or raise the error that it stands for."""
        return answers.value_of(reply)

    async def list_tasks(
        self,
        taskids: Iterable[int] | None = None,
        states: Iterable[str] | None = None,
        name: str | None = None,
        owner: str | None = None,
        limit: int = 1000,
    ) -> list[TaskInfo]:
        """Return what is known of tasks, newest last: those that pass every filter that is given.

        Args:
            taskids: these.
            states: in one of these states.
            name: of this name.
            owner: of this notebook or script.
            limit: at most so many, the newest.
        """
        found = await self._ask(
            ListTasks,
            taskids=None if taskids is None else tuple(taskids),
            states=None if states is None else tuple(states),
            name=name,
            owner=owner,
            limit=limit,
        )
        return msgspec.convert(found, list[TaskInfo])

    async def log(self, taskid: int) -> str:
        """Return what a task has printed so far, to stdout and to stderr, in order.

        Raises:
            UnknownTask: there is no such task.
        """
        return log_of(tuple(await self._ask(GetLog, ahead=True, taskid=checked_id(taskid))))

    async def outputs(self, taskid: int) -> list[dict[str, Any]]:
        """Return what a task has displayed so far: figures, tables, HTML, in the form of outputs in a notebook's file.

        Updates and clearings that the task made have taken effect.

        Raises:
            UnknownTask: there is no such task.
        """
        shown = self.remote_reference.shown
        before = shown.of(checked_id(taskid))
        answer = await self._ask(GetOutputs, ahead=True, taskid=taskid, known=before.version)
        return shown.learn(taskid, before, answer)

    async def submission(self, taskid: int) -> SubmittedTask:
        """Return what a task was submitted as: its options, and code, arguments and inputs pickled.

        Raises:
            UnknownTask: there is no such task.
            ResultExpired: a result that it takes is not there: it was cleared, or its task did not succeed.
        """
        return msgspec.convert(await self._ask(GetSubmission, ahead=True, taskid=checked_id(taskid)), SubmittedTask)

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers and what they do."""
        return msgspec.convert(await self._ask(GetWorkers), list[WorkerInfo])

    async def scale(self, n: int) -> int:
        """Set the number of workers; those that are too many end when they are idle. Return the number before."""
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"n is an int, not {n!r}")
        if not 0 <= n <= _MAX_WORKERS:
            raise ValueError(f"n is from 0 to {_MAX_WORKERS:,}, not {n}")
        return int(await self._ask(Scale, n=n))

    async def stop(self) -> None:
        """Stop the farm. Unfinished work stays in its store; all open waits raise `ControllerStopped`."""
        try:
            answers.value_of(await answered(self.remote_reference.stop(), self.remote_reference.farm))
        except ControllerStopped:
            pass  # by somebody else: it is what was wanted

    async def _ask(self, kind: type[Request], *, ahead: bool = False, **fields: Any) -> Any:
        remote = self.remote_reference
        return self.unpackage(await answered(remote.call(kind, ahead=ahead, **fields), remote.farm))


def checked_id(taskid: object) -> int:
    """Return `taskid` if it can be one.

    Raises:
        TypeError: not an int.
        UnknownTask: larger than what can be asked for.
    """
    if not isinstance(taskid, int) or isinstance(taskid, bool):
        raise TypeError(f"a taskid is an int, not {taskid!r}")
    if abs(taskid) > MAX_ID:
        raise UnknownTask("there is no task of so large a number", taskid=taskid, hint="ids count up from 0")
    return taskid
