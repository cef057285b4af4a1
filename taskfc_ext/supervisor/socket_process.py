"""A child process and the socket pair between it and the supervisor: the controller, or the bridge to an engine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from taskfc_ext.drivers.child_exit import describe_exit, has_ended, log_tail
from taskfc_ext.drivers.files import open_private
from taskfc_ext.drivers.process_limits import restore_file_limit
from taskfc_ext.drivers.processes import environment_outside_farms
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.codec import FrameDecoder
from taskfc_ext.protocol.message import Message

M = TypeVar("M")

# macOS has no SEQPACKET; with its datagrams, only the exit of the process shows the end
_KIND = socket.SOCK_DGRAM if sys.platform == "darwin" else socket.SOCK_SEQPACKET

_BUFFER = 2**20
_LOG_LIMIT = 2**20  # bytes; a longer log is emptied when the process starts


class SocketProcess(Generic[M]):
    """A process at the other end of a socket pair that was started and is not reaped.

    Args:
        command: its command; the descriptors of the socket and `inherited` are appended.
        log_path: the file for what it writes.
        decoder: of its frames.
        inherited: descriptors that it inherits.
        given: what it reads on stdin, at most 64 KiB.

    Attributes:
        kill_at: monotonic time at which it is to be killed.
        hung_up: no message can come any more.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        log_path: Path,
        decoder: FrameDecoder[M],
        *,
        inherited: Sequence[int] = (),
        given: bytes = b"",
    ) -> None:
        self.kill_at: float | None = None
        self.hung_up = False
        self._queue: deque[bytes] = deque()
        self._log_path = log_path
        self._decoder = decoder
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, _KIND)
        log_fd = open_log(log_path)
        self._log_start = os.fstat(log_fd).st_size
        try:
            for end in (self.socket, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self.socket.setblocking(False)
            # The child inherits the blocked signals: one that comes early waits for its `signal_queue`.
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), *map(str, inherited)],
                stdin=subprocess.PIPE,
                stdout=log_fd,
                stderr=log_fd,
                env=environment_outside_farms(),
                preexec_fn=restore_file_limit,  # safe: this process has one thread
                pass_fds=(theirs.fileno(), *inherited),
            )
            _give(self.process, given)
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
            except OSError:  # it is dead or dying; the next one is told everything at its start
                self._queue.clear()
                return
            self._queue.popleft()

    @property
    def is_behind(self) -> bool:
        """True if frames wait for room."""
        return bool(self._queue)

    def receive(self) -> list[M]:
        """Return all received messages; set `hung_up` when no more can come.

        Raises:
            ProtocolError: a frame is damaged.
        """
        messages: list[M] = []
        while not self.hung_up:
            try:
                frame = self.socket.recv(_BUFFER)
            except BlockingIOError:
                break
            except OSError:
                frame = b""
            if frame:
                messages += self._decoder.decode(frame)
            else:
                self.hung_up = True
        return messages

    def terminate(self) -> None:
        """Send SIGTERM, before `reap`."""
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


def _give(process: subprocess.Popen[bytes], content: bytes) -> None:
    """Write `content` to the process's stdin, which takes it at once, and close that."""
    assert process.stdin is not None
    try:
        process.stdin.write(content)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it has ended


def open_log(path: Path) -> int:
    """Open a log for appending, and empty it if it has grown large."""
    fd = open_private(path, os.O_WRONLY | os.O_APPEND)
    if os.fstat(fd).st_size > _LOG_LIMIT:
        os.ftruncate(fd, 0)
    return fd
