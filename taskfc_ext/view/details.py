"""Everything that a drawer shows of one task, from several questions. Nothing is unpickled for it."""

from __future__ import annotations

import asyncio

import msgspec

from taskfc_ext.errors import UnknownTask
from taskfc_ext.protocol.client_messages import GetFailure, GetLog, GetOutputs, ListTasks
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.outputs import all_outputs_of
from taskfc_ext.protocol.payloads import Failure
from taskfc_ext.protocol.printed import log_of
from taskfc_ext.text import plain_text
from taskfc_ext.view.commands import Ask
from taskfc_ext.view.messages import MAX_LOG, TaskDetails


async def task_details(taskid: int, known: str, ask: Ask) -> TaskDetails:
    """Return what there is to show of a task.

    Args:
        taskid: which one.
        known: the version of its outputs that the view has; empty for none.
        ask: as in `carry_out`.

    Raises:
        UnknownTask: there is no such task.
        TaskFCError: nobody answers.
    """
    listed, printed, shown, failed = await asyncio.gather(
        ask(ListTasks, taskids=(taskid,)),
        ask(GetLog, taskid=taskid),
        ask(GetOutputs, taskid=taskid, known=known),
        ask(GetFailure, taskid=taskid),
    )
    infos = msgspec.convert(listed, list[TaskInfo])
    if not infos:
        raise UnknownTask(f"there is no task {taskid}", taskid=taskid, hint="it was cleared, or never was")
    whole = log_of(tuple(printed))
    end = whole[-2 * MAX_LOG :]  # made safe, it is somewhat shorter; a view asks for it again and again
    log = plain_text(end)
    failure = None if failed is None else msgspec.convert(failed, Failure)
    return TaskDetails(
        task=infos[0],
        log=log[-MAX_LOG:],
        n_cut=len(whole) - len(end) + max(0, len(log) - MAX_LOG),
        version=shown["version"],
        outputs=None if shown["outputs"] is None else tuple(all_outputs_of(shown["outputs"])),
        traceback="" if failure is None else plain_text(failure.traceback),
        note="" if failure is None else plain_text(failure.note),
        exception="" if failure is None else failure.type_name,
    )
