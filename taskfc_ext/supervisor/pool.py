"""`Pool`: the workers of a farm as its supervisor sees them, wherever they run."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Protocol

from taskfc_ext.protocol.supervisor_messages import (
    EngineState,
    LimitMemory,
    Revoke,
    Revoked,
    SetWorkers,
    StopAttempt,
    WorkerDown,
    WorkerUp,
)

News = WorkerUp | WorkerDown | EngineState


class Commands(Protocol):
    """Makes the command that runs a role: `python_command`, or a stand-in under test."""

    def __call__(self, role: str, *args: object) -> list[str]: ...


class Pool(Protocol):
    """The workers of one farm. All times are monotonic, in seconds."""

    @property
    def n(self) -> int:
        """The wanted number of workers, without substitutes; with an engine, the most that there may be."""

    @property
    def ups(self) -> Sequence[WorkerUp]:
        """The reports of the workers that live."""

    @property
    def dead(self) -> Sequence[WorkerDown]:
        """The ends of workers that no controller has recorded yet."""

    @property
    def engine(self) -> EngineState | None:
        """The state of the engine; `None` where the workers run at home."""

    @property
    def pids(self) -> Iterable[int]:
        """The children of this process that belong to it."""

    @property
    def is_over(self) -> bool:
        """Whether all of its processes have ended."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The sockets whose messages `reap` reads."""

    def fill(self, now: float) -> list[WorkerUp]:
        """Start what is missing; return the workers that were started."""

    def reap(self, now: float) -> list[News]:
        """Return what has happened: ends of workers, kept until `forget_noted`; with an engine also their starts."""

    def resume_stopped(self) -> None:
        """Resume the workers that a signal has suspended while they run no attempt: nobody would ever resume them."""

    def confirm(self) -> None:
        """Take note that the present controller was told of all `ups`."""

    def forget_noted(self, workers: Iterable[int]) -> None:
        """Forget the ends of these workers, which are in the store."""

    def resize(self, message: SetWorkers, now: float) -> None:
        """End the retired workers, and store the wanted number for a restart (without substitutes)."""

    def restore_files(self) -> None:
        """Write the options, and what else a restart needs, into the store again if a task has removed them."""

    def demand(self, n: int) -> None:
        """Take the number of tasks that could run now."""

    def stop_attempt(self, message: StopAttempt) -> None:
        """Take one step to stop an attempt."""

    def revoke(self, message: Revoke) -> Revoked | None:
        """Revoke the leases of a worker that have not started; `None`: that cannot be done, as it has no page here."""

    def ask_to_reconnect(self) -> None:
        """Ask all workers to connect to a new controller, which decides again on the number of substitutes."""

    def start_no_more(self) -> None:
        """Do not replace workers any more."""

    def end_all(self, now: float) -> None:
        """End all workers, and start no more."""

    def limit_memory(self, message: LimitMemory) -> None:
        """Limit the memory of one attempt."""

    def act_on_time(self, now: float) -> None:
        """Kill what did not end in time, and end workers whose attempt uses more memory than it may."""

    def wake_at(self) -> float | None:
        """Return the time of the next call of `act_on_time` and `fill`."""
