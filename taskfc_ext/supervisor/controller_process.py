"""The controller's process, and the socket pair between it and the supervisor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.processes import environment_outside_farms
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.supervisor_messages import Farm, ToSupervisor
from taskfc_ext.supervisor.child_exit import describe_exit, has_ended, log_tail

# macOS has no SEQPACKET; with its datagrams, only the exit of the controller shows the end
_KIND = socket.SOCK_DGRAM if sys.platform == "darwin" else socket.SOCK_SEQPACKET

_BUFFER = 2**20
_NOTES_IN_FARM = 64 * 1024  # bytes: the frame also holds thousands of workers and has to fit into the buffer
_LOG_LIMIT = 2**20  # bytes; a longer log is emptied when the farm starts


class ControllerProcess:
    """A controller process that was started and is not reaped.

    Args:
        command: its command; the descriptors of socket and lock are appended.
        lock_fd: inherited, so that the store stays locked while supervisor or controller lives.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(self, paths: FarmPaths, command: Sequence[str], lock_fd: int) -> None:
        self.kill_at: float | None = None
        self.hung_up = False
        self._queue: deque[bytes] = deque()
        self._log_path = paths.controller_log
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, _KIND)
        log_fd = open_log(paths.controller_log)
        self._log_start = os.fstat(log_fd).st_size
        try:
            for end in (self.socket, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self.socket.setblocking(False)
            # The child inherits the blocked signals: one that comes early waits for its `signal_queue`.
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(lock_fd)],
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                env=environment_outside_farms(),
                pass_fds=(theirs.fileno(), lock_fd),
            )
        except OSError:
            self.socket.close()
            raise
        finally:
            theirs.close()
            os.close(log_fd)

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Return whether the process has ended and has to be reaped."""
        return has_ended(self.process)

    def send(self, messages: Sequence[Message]) -> None:
        """Send one frame, now or when the socket has room for it."""
        self._queue.append(codec.encode(messages))
        self.flush()

    def flush(self) -> None:
        """Send waiting frames for which the socket has room."""
        while self._queue:
            try:
                self.socket.send(self._queue[0])
            except BlockingIOError:
                return
            except OSError:  # the controller is dead or dying; the next one receives everything in its `Farm`
                self._queue.clear()
                return
            self._queue.popleft()

    @property
    def is_behind(self) -> bool:
        """True if frames wait for room."""
        return bool(self._queue)

    def receive(self) -> list[ToSupervisor]:
        """Return all received messages; set `hung_up` when no more can come.

        Raises:
            ProtocolError: a frame is damaged.
        """
        messages: list[ToSupervisor] = []
        while not self.hung_up:
            try:
                frame = self.socket.recv(_BUFFER)
            except BlockingIOError:
                break
            except OSError:
                frame = b""
            if frame:
                messages += codec.to_supervisor.decode(frame)
            else:
                self.hung_up = True
        return messages

    def terminate(self) -> None:
        """Ask the controller to stop the farm, before `reap`."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process, before `reap`."""
        self.kill_at = None
        os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Reap the process and return its return code."""
        self.socket.close()
        return self.process.wait()

    def describe_end(self) -> str:
        """Return how the process ended, with the end of its log. After `reap`."""
        how = describe_exit(self.process.returncode)
        tail = log_tail(self._log_path, self._log_start)
        return f"{how}\n{tail}" if tail else how


def fit(farm: Farm) -> Farm:
    """Return `farm` with its notes shortened to fit into one frame."""
    if not farm.dead:
        return farm
    size = _NOTES_IN_FARM // len(farm.dead)
    dead = tuple(replace(down, note=down.note[:size]) for down in farm.dead)
    return replace(farm, dead=dead)


def open_log(path: os.PathLike[str]) -> int:
    """Open a log for appending, and empty it if it has grown large."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.fstat(fd).st_size > _LOG_LIMIT:
        os.ftruncate(fd, 0)
    return fd
