"""Refusal of requests that name tasks which the store does not have."""

from __future__ import annotations

from taskfc_ext.core.state.farm import AGED_CODE, NO_ROOM_CODE, Farm
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.ids import list_ids


def refuse_gone(farm: Farm, seq: int, taskids: list[int]) -> Refused:
    """Return the answer to a request `seq` that names tasks that are not in the store."""
    codes = {taskid: farm.ended[taskid] for taskid in taskids if 0 <= taskid < len(farm.ended)}
    expired = [taskid for taskid in taskids if codes.get(taskid) in (AGED_CODE, NO_ROOM_CODE)]
    if len(expired) == len(taskids):
        text, hint = farm.limits.describe_expired(taskids, for_room=NO_ROOM_CODE in codes.values())
        return Refused(seq, ErrorKind.RESULT_EXPIRED, text, hint, {"taskids": taskids})
    taskids = [taskid for taskid in taskids if taskid not in expired]
    plural = "tasks" if len(taskids) > 1 else "task"
    hint = "it was cleared or never existed"
    text = f"there is no {plural} {list_ids(taskids)}"
    return Refused(seq, ErrorKind.UNKNOWN_TASK, text, hint, {"taskids": taskids})
