"""Messages between the supervisor and the bridge to an engine, over a socket pair."""

from __future__ import annotations

from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.supervisor_messages import (
    Demand,
    EngineState,
    LimitMemory,
    SetWorkers,
    Shutdown,
    StopAttempt,
    WorkerDown,
    WorkerUp,
)

FromBridge = WorkerUp | WorkerDown | EngineState

# supervisor -> bridge


class Announced(Message, frozen=True):
    """The controller was told of these workers: what they send may go to it from now on."""

    workers: tuple[int, ...]


class Reconnect(Message, frozen=True):
    """There is a new controller: open a new connection for each worker."""


ToBridge = Announced | Reconnect | SetWorkers | Demand | StopAttempt | LimitMemory | Shutdown
