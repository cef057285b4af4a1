"""Messages between the bridge and the hosts of its slots, over the connections of an engine.

A *slot* is one place on an engine (a long Dask task, a Ray actor) that holds one of its threads. The *host* in the
slot's process runs one worker of the farm; the *bridge* beside the controller is the other end of a pipe of frames:

    bridge                          host                            engine's process
                            <--  SlotHello                          the engine has placed the slot
    Begin                   -->                                     starts the worker
                            <--  SlotUp
    ToHosted, FromHosted    <->                                     frames between controller and worker
    StopHosted, LimitHosted -->
    EndSlot                 -->
                            <--  SlotDown                           the worker has ended; the slot is free again

Each message travels with the slot's id, which is new for each incarnation: an engine that starts a lost slot again
elsewhere gets a new worker, so no attempt runs twice because of it.

An empty frame marks a new connection in both directions: see `ToHosted`.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from taskfc_ext.protocol.ids import Count
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.supervisor_messages import Step

PING_EVERY = 5.0
"""Seconds between two `Ping` of a bridge."""

SILENCE = 30.0
"""Seconds without a message of its bridge after which a host ends its worker: the network is cut, or the bridge is
gone, and the attempt may be made again elsewhere."""

FILE_PART = 4 * 2**20
"""Bytes of one `FilePart`: small enough that other messages need not wait."""

Slot = Annotated[str, Meta(pattern=r"\A[0-9a-z]{1,32}\.[0-9a-f]{1,32}\Z")]
"""The id of a slot: TOKEN.INCARNATION. The bridge chooses the token, the host the incarnation."""

FolderName = Annotated[str, Meta(pattern=r"\A[0-9a-z]{0,64}\Z")]
"""The folder of an `Upload`; "": the store's payloads."""

FileName = Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
"""The file of an `Upload` or a `PayloadRef`."""

MARK = b""
"""The frame that stands between the frames of two connections."""


def token_of(slot: str) -> str:
    """Return the token of which a slot is an incarnation."""
    return slot.partition(".")[0]


# host -> bridge


class SlotHello(Message, frozen=True, kw_only=True):
    """The engine has placed the slot. Answered by `Begin`, or by `EndSlot` if the bridge does not want it.

    Attributes:
        place: the host's name or address, for lists.
        python: its version of Python, such as `"3.11.7"`.
        version: its version of this package.
        properties: properties of the place for `depend`: `host`, `engine` and the engine's resources.
    """

    place: str
    python: str
    version: str
    properties: dict[str, Any] = {}


class SlotUp(Message, frozen=True):
    """The worker's process was started."""

    pid: int


class FromHosted(Message, frozen=True):
    """Frames of the worker for the controller, in order; an empty one: the frames behind it are for the connection
    that the last empty frame of a `ToHosted` has opened."""

    frames: tuple[bytes, ...]


class SlotDown(Message, frozen=True, kw_only=True):
    """The worker's process has ended, or could not be started. For the attributes see `WorkerDown`."""

    started: int
    running: bool
    note: str
    planned: bool = False
    over_memory: int = 0


class FileWanted(Message, frozen=True):
    """The worker needs this payload of the store.

    The bridge answers its host with `FilePart` in order, and the host answers the worker with a `FileReady`.
    """

    file: FileName


# both directions


class FilePart(Message, frozen=True, kw_only=True):
    """A part of a file with a large payload.

    To a host: a file of the store, after `FileWanted`. To the bridge: a file that the worker has written, before the
    frame with its `Upload`.

    Attributes:
        folder: where it is.
        file: its name there.
        size: that of the whole file in bytes; -1: it is not there, or not needed any more.
        offset: of this part in bytes.
    """

    folder: FolderName = ""
    file: FileName
    size: int
    offset: int = 0
    data: bytes = b""


# bridge -> host


class Begin(Message, frozen=True, kw_only=True):
    """Start the worker.

    Attributes:
        worker: its id.
        farm: the farm's name.
        tag: the farm's tag, which names its processes in their environment.
        options: the farm's `FarmOptions`, as JSON.
        engine: what `TASKFC_ENGINE` says in the worker: the engine's address.
    """

    worker: Count
    farm: str
    tag: str
    options: bytes
    engine: str = ""


class ToHosted(Message, frozen=True):
    """Frames of the controller for the worker, in order.

    An empty frame: there is a new controller, or a new connection to it. The worker takes all frames before it, then
    opens a new connection: it answers with an empty frame, its `Ready`, and its uncommitted results.
    """

    frames: tuple[bytes, ...]


class StopHosted(Message, frozen=True):
    """Take one step to stop the attempt under `lease`; it has no effect on other attempts."""

    lease: int
    step: Step


class LimitHosted(Message, frozen=True):
    """End the worker if the attempt that runs under `lease` uses more than `limit` bytes."""

    lease: int
    limit: int


class EndSlot(Message, frozen=True):
    """End the worker, and then the slot."""


class Ping(Message, frozen=True):
    """The bridge is there."""


# between a host and its worker, on a socket of their own: a message is one datagram, so an interrupt tears none


class FileWritten(Message, frozen=True, kw_only=True):
    """Worker -> host, with the descriptor of a file that the worker has written. Sent before the frame that names it.

    For the attributes see `Upload`.
    """

    folder: FolderName
    file: FileName
    size: Annotated[int, Meta(ge=1)]


class FileDropped(Message, frozen=True, kw_only=True):
    """Worker -> host: a file that it has written is not needed any more."""

    folder: FolderName
    file: FileName


class FileReady(Message, frozen=True, kw_only=True):
    """Host -> worker, the answer to `FileWanted`: with the file's descriptor, or with the reason why there is none."""

    file: FileName
    problem: str = ""


FilesFromWorker = FileWanted | FileWritten | FileDropped
FilesToWorker = FileReady
FromHost = SlotHello | SlotUp | FromHosted | SlotDown | FileWanted | FilePart
ToHost = Begin | ToHosted | StopHosted | LimitHosted | EndSlot | Ping | FilePart
