"""What a connection has to know of the processes behind the socket: are they there, and how are they brought back."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Protocol

from taskfc_ext.drivers.connection_file import ConnectionInfo


class Condition(Enum):
    """How the farm is."""

    ALIVE = "alive"  # its supervisor lives; a controller that died is back within a second
    DEAD = "dead"  # its processes are gone, and nobody has asked for it
    STOPPED = "stopped"  # it was stopped on purpose, or never started


class Farm(Protocol):
    """A named farm, as the connection sees it. May touch files, and answers at once; `revive` takes its time."""

    @property
    def name(self) -> str:
        """Its name, for messages."""
        ...

    def connection(self) -> ConnectionInfo | None:
        """Return where it is; `None` when it does not run.

        Raises:
            FarmError: it runs on another host, or its file is not to be trusted or understood.
        """
        ...

    def socket(self) -> Path:
        """Return the controller's socket for clients."""
        ...

    def condition(self) -> Condition:
        """Look at the processes."""
        ...

    def stops(self) -> int:
        """Return how often it was stopped on purpose."""
        ...

    def revive(self) -> None:
        """Start it again with the options in its store, or do nothing if it runs; return when it answers.

        Raises:
            FarmError: it cannot be started; says why.
        """
        ...
