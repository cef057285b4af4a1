"""The details of one task, as a drawer shows them. Nothing is unpickled."""

from __future__ import annotations

import msgspec

from taskfc_ext.protocol.client_messages import GetDetails
from taskfc_ext.protocol.infos import Details
from taskfc_ext.protocol.limits import MAX_SOURCE
from taskfc_ext.protocol.outputs import all_outputs_of
from taskfc_ext.protocol.payloads import Failure, Reason
from taskfc_ext.protocol.printed import log_of
from taskfc_ext.text import plain_text
from taskfc_ext.view.commands import Ask
from taskfc_ext.view.messages import MAX_LOG, TaskDetails

_NO_FAILURE = Failure(Reason.ERROR, "")


async def task_details(taskid: int, known: str, ask: Ask, *, with_source: bool = False) -> TaskDetails:
    """Return the details of a task, in one round trip.

    Args:
        taskid: the task.
        known: the version of its outputs that the view has; empty for none.
        ask: as in `carry_out`.
        with_source: its source is wanted, too.

    Raises:
        UnknownTask: there is no such task.
        TaskFCError: the controller does not answer.
    """
    # twice the limit: made safe to print, a log becomes shorter
    most = MAX_SOURCE if with_source else 0
    answer = await ask(GetDetails, taskid=taskid, known=known, tail=2 * MAX_LOG, source=most)
    details = msgspec.convert(answer, Details)
    log = plain_text(log_of(details.printed))
    failure = details.failure or _NO_FAILURE
    return TaskDetails(
        task=details.task,
        log=log[-MAX_LOG:],
        n_cut=details.n_cut + max(0, len(log) - MAX_LOG),
        version=details.version,
        outputs=None if details.outputs is None else tuple(all_outputs_of(details.outputs)),
        traceback=plain_text(failure.traceback),
        note=plain_text(failure.note),
        exception=failure.type_name,
        source=plain_text(details.source),
        n_source_cut=details.n_source_cut,
        size=details.size,
    )
