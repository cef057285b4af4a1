"""What a connection has to know of the processes behind the socket: are they there, and how are they brought back."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Protocol


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

    def socket(self) -> Path:
        """Return the controller's socket for clients."""
        ...

    def condition(self) -> Condition:
        """Look at the processes."""
        ...

    def revive(self) -> None:
        """Start it again with the options in its store, or do nothing if it runs; return when it answers.

        Raises:
            FarmError: it cannot be started; says why.
        """
        ...
