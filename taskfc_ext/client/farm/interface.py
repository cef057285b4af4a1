"""Interface of a farm's processes, as connections use it: their condition, their socket, their revival."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Protocol

from taskfc_ext.drivers.connection_file import ConnectionInfo


class Condition(Enum):
    """Condition of a farm's processes."""

    ALIVE = "alive"  # its supervisor lives; a controller that died is back within a second
    DEAD = "dead"  # its processes are gone, and nobody has stopped them
    LOST = "lost"  # dead, and its tasks with it: it kept them in memory only
    ASLEEP = "asleep"  # it has stopped since nobody used it: for a client as if dead, for others as if stopped
    STOPPED = "stopped"  # it was stopped on purpose, or never started

    @property
    def word(self) -> str:
        """The state in lists: running, dead or stopped."""
        return {Condition.ALIVE: "running", Condition.DEAD: "dead", Condition.LOST: "dead"}.get(self, "stopped")

    @property
    def has_ended_by_itself(self) -> bool:
        """Whether a client that needs it may start it again, since nobody has stopped it."""
        return self.has_kept_tasks or self is Condition.LOST

    @property
    def has_kept_tasks(self) -> bool:
        """Whether nobody has stopped it, and its tasks go on when it is started again."""
        return self in (Condition.DEAD, Condition.ASLEEP)


class Farm(Protocol):
    """A named farm. Its methods read files and return at once; only `revive` takes long."""

    @property
    def name(self) -> str:
        """Its name, for messages."""
        ...

    @property
    def journal(self) -> Path:
        """Its store's journal: large payloads stand beside it."""
        ...

    @property
    def is_in_memory(self) -> bool:
        """Whether it keeps its tasks in memory only, or did so when it ran last."""
        ...

    def connection(self) -> ConnectionInfo | None:
        """Return the content of its connection file; `None` when it does not run.

        Raises:
            FarmError: it runs on another host, or its file cannot be trusted or decoded.
        """
        ...

    def socket(self) -> Path:
        """Return the controller's socket for clients."""
        ...

    def condition(self) -> Condition:
        """Return the condition of its processes."""
        ...

    def stops(self) -> int:
        """Return how often it was stopped on purpose."""
        ...

    def revive(self) -> None:
        """Start it again with the options in its store, or do nothing if it runs; return when it answers.

        Raises:
            FarmError: it cannot be started; the message says why.
        """
        ...
