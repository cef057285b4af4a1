"""The store without room: which requests are refused until it has some again.

While `Farm.no_room` is set, nothing is dispatched, and nothing new is accepted. All else goes on, and small records are
still committed: of a clear, which makes room, of aborts, and of the ends of tasks. If even these cannot be committed,
the controller keeps them, and `NoRoom.is_stuck`: then nothing may be changed before they are in the store. Questions
are answered still, from the memory, which is ahead of the store by what waits; none of these answers is a promise.
"""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.protocol.client_messages import (
    AwaitBroadcast,
    Barrier,
    Broadcast,
    Define,
    ErrorKind,
    GetBarrier,
    GetClientName,
    GetEngine,
    GetResults,
    GetWorkers,
    ListTasks,
    Ping,
    QueueStatus,
    Refused,
    Release,
    Request,
    Retry,
    Spin,
    Stop,
    Submit,
    Unwait,
    Unwatch,
    Watch,
)

NEW_WORK = (Submit, Retry, Broadcast)
"""Requests that are refused without room."""

QUESTIONS = (QueueStatus, ListTasks, GetWorkers, GetEngine, GetClientName, Ping, Watch, Unwatch)
"""Requests whose answers promise nothing, so that they need not wait for what is not committed."""

WAITS = (GetResults, Barrier, GetBarrier, AwaitBroadcast, Unwait, Spin)
"""Requests that change nothing; their answers wait for what is not committed."""


def refusal_of(farm: Farm, request: Request) -> Refused | None:
    """Return the refusal of `request`, for want of room; `None` if it can be handled."""
    no_room = farm.no_room
    if no_room is None or isinstance(request, Stop):
        return None
    if isinstance(request, NEW_WORK) or (no_room.is_stuck and not isinstance(request, QUESTIONS + WAITS)):
        value = {"path": no_room.path, "free": no_room.free}
        return Refused(request.seq, ErrorKind.STORAGE_FULL, no_room.message, no_room.hint, value)
    return None


def is_question(request: Request) -> bool:
    """Return whether the answer to `request` promises nothing."""
    return isinstance(request, QUESTIONS)


def refuse_code(step: Step, client: ClientSession, message: Define) -> None:
    """Have `client` define this code again before it names it the next time."""
    step.to_client(client.session, Release((message.digest,)))
