"""A worker's process in a slot, with its three ways to the host: frames, files, and its end."""

from __future__ import annotations

import os
import select
import shutil
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec

from taskfc_ext.drivers.files import path_of_descriptor
from taskfc_ext.drivers.processes import ENGINE, FARM, FARM_PID, FARM_WORKER, Page, kill_tagged, module_command
from taskfc_ext.drivers.streams import FrameStream
from taskfc_ext.drivers.worker_child import End, WorkerChild
from taskfc_ext.engines.file_exchange import KIND, FileExchange
from taskfc_ext.engines.kept_files import KeptFiles
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.limits import MAX_FRAME
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.slot_messages import Begin


@dataclass(frozen=True)
class Place:
    """The process of an engine that a slot is in.

    Attributes:
        name: the host's, for lists.
        properties: for `depend`.
        folder: for files without a name, and the working directory of tasks whose own is not on this host; "": the
            system's temporary folder.
    """

    name: str
    properties: dict[str, Any] = field(default_factory=dict)
    folder: str = ""


class HostedProcess:
    """A worker's process. It ends with the thread that starts it.

    Args:
        slot: the slot's id.
        begin: what the worker is.
        place: where it is.
        kept: payloads that are here already.

    Attributes:
        child: the process.
        frames: the stream of frames between worker and controller; the first one down is the `Begin`.
        files: the large payloads.

    Raises:
        OSError: it could not be started; nothing of it is left.
    """

    def __init__(self, slot: str, begin: Begin, place: Place, kept: KeptFiles) -> None:
        folder = place.folder or tempfile.gettempdir()
        first_frame = codec.encode([_with_properties(begin, place)])
        self._tag, self._worker = begin.tag, begin.worker
        self._private_folder = os.path.join(folder, f"taskfc-{slot}")
        with ExitStack() as undo, ExitStack() as theirs:
            frames, frames_end = socket.socketpair()
            self.frames = FrameStream(frames, largest=MAX_FRAME)
            undo.callback(self.frames.close)
            theirs.enter_context(frames_end)
            files, files_end = socket.socketpair(socket.AF_UNIX, KIND)
            self.files = FileExchange(files, kept, begin.tag, folder)
            undo.callback(self.files.close)
            theirs.enter_context(files_end)
            page_fd = Page.create_unnamed()
            theirs.callback(os.close, page_fd)
            self._log = undo.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0, mode="ab+"))
            self.child = WorkerChild(
                module_command("taskfc_ext.worker.hosted", self._private_folder),
                page_fd=page_fd,
                log_fd=self._log.fileno(),
                environ=_environ(begin),
                folder=folder,
                inherited=(frames_end.fileno(), files_end.fileno()),
            )
            self._undo = undo.pop_all()
        self._pidfd = _open_pid(self.child.pid)
        self.frames.send(first_frame)

    def watch(self, poll: select.poll, *, has_room: bool) -> None:
        """Have `poll` wait for what can be handled now.

        Args:
            has_room: whether the bridge takes more from this process.
        """
        events = select.POLLOUT if self.frames.is_behind else 0
        if has_room and not self.files.is_uploading and not self.frames.has_ended:
            events |= select.POLLIN
        if events:
            poll.register(self.frames.socket, events)
        if has_room and not self.files.has_ended:
            poll.register(self.files.socket, select.POLLIN)
        if has_room and self._pidfd >= 0:
            poll.register(self._pidfd, select.POLLIN)

    def reap(self) -> End:
        """Reap the process, end what it has started, and close and remove everything."""
        end = self.child.reap(path_of_descriptor(self._log.fileno()))
        kill_tagged(self._tag, self._worker)
        self._undo.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        shutil.rmtree(self._private_folder, ignore_errors=True)
        return end


def _open_pid(pid: int) -> int:
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    except OSError:  # an old kernel, or no descriptors: the end is noticed a moment later
        return -1


def _with_properties(begin: Begin, place: Place) -> Begin:
    """Return `begin` with the properties of the place; those that the user has chosen take precedence."""
    options = msgspec.json.decode(begin.options, type=FarmOptions)
    options = msgspec.structs.replace(options, properties={**place.properties, **options.properties})
    return msgspec.structs.replace(begin, options=msgspec.json.encode(options))


def _environ(begin: Begin) -> dict[str, str]:
    ours = {FARM: begin.tag, FARM_PID: str(os.getpid()), FARM_WORKER: str(begin.worker), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **ours, ENGINE: begin.engine}
