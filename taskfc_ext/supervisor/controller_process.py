"""The controller's process, and the first message to it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.supervisor_messages import Farm, ToSupervisor
from taskfc_ext.supervisor.socket_process import SocketProcess

_NOTES_IN_FARM = 64 * 1024  # bytes: the frame also holds thousands of workers and has to fit into the buffer


class ControllerProcess(SocketProcess[ToSupervisor]):
    """A controller process that was started and is not reaped.

    Args:
        command: its command; the descriptors of socket and lock are appended.
        lock_fd: inherited, so that the store stays locked while supervisor or controller lives.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(self, paths: FarmPaths, command: Sequence[str], lock_fd: int) -> None:
        super().__init__(command, paths.controller_log, codec.to_supervisor, inherited=(lock_fd,))


def fit(farm: Farm) -> Farm:
    """Return `farm` with its notes shortened to fit into one frame."""
    if not farm.dead:
        return farm
    size = _NOTES_IN_FARM // len(farm.dead)
    dead = tuple(replace(down, note=down.note[:size]) for down in farm.dead)
    return replace(farm, dead=dead)
