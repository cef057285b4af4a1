"""Messages between a view of queues in a browser and its server.

The view is the same in the widget and in JupyterLab's sidebar; the transport of these messages differs.
`scripts/write_messages.py` writes them in TypeScript. A command has the name of the request to the controller that it
becomes.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import IdField, Priority, Workers
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.snapshots import FarmStatus, QueueDelta, QueueSnapshot

VIEW_PROTOCOL = 1
"""Version of these messages. A page of another version says so."""

MAX_LOG = 200_000
"""Characters of a log that a view receives: its end."""

# to a view


class Farms(Struct, frozen=True, kw_only=True, tag="farms", tag_field="type"):
    """All farms of this user that run or have a store, by name. Sent first, and after each change."""

    farms: tuple[FarmStatus, ...]
    protocol: int = VIEW_PROTOCOL
    version: str = ""


ViewMessage = Farms | QueueSnapshot | QueueDelta

# from a view


class Watch(Struct, frozen=True, forbid_unknown_fields=True, tag="watch", tag_field="ask"):
    """Send the snapshot of this farm, and then its deltas. Repeated: the snapshot again."""

    farm: str


class Unwatch(Struct, frozen=True, forbid_unknown_fields=True, tag="unwatch", tag_field="ask"):
    """Send no more messages of this farm."""

    farm: str


ViewQuestion = Watch | Unwatch

Ids = Annotated[tuple[IdField, ...], Meta(min_length=1, max_length=MAX_IDS)]


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Base of all commands. `identity`: of the farm's processes; empty: any processes of this name."""

    identity: str = ""


class Abort(Command, frozen=True, tag="abort"):
    """Abort these tasks; tasks that have ended are left as they are."""

    taskids: Ids


class Retry(Command, frozen=True, tag="retry"):
    """Run these finished tasks again, with the tasks that failed because of them."""

    taskids: Ids


class Hold(Command, frozen=True, tag="hold"):
    """Keep these tasks from being dispatched."""

    taskids: Ids


class Release(Command, frozen=True, tag="release"):
    """Let these tasks be dispatched again."""

    taskids: Ids


class Move(Command, frozen=True, tag="move"):
    """Give these tasks another priority."""

    taskids: Ids
    priority: Priority


class Clear(Command, frozen=True, tag="clear"):
    """Forget these finished tasks; `None`: all finished ones."""

    taskids: Ids | None = None


class RetryFailed(Command, frozen=True, tag="retry-failed"):
    """Run all failed tasks again, except those that were retried."""


class Scale(Command, frozen=True, tag="scale"):
    """Set the number of workers."""

    n: Workers


class Start(Command, frozen=True, tag="start"):
    """Start the farm, or do nothing if it runs. `n`: workers; `None`: as before, or one for each core."""

    n: Workers | None = None


class Stop(Command, frozen=True, tag="stop"):
    """Stop the farm; unfinished tasks stay in its store."""


AnyCommand = Abort | Retry | Hold | Release | Move | Clear | RetryFailed | Scale | Start | Stop


class CommandAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a command. `said`: a sentence for people. `retried`: pairs (old id, new id)."""

    ok: bool
    said: str
    retried: tuple[tuple[int, int], ...] = ()


class FarmDetails(Struct, frozen=True, kw_only=True):
    """The details of one farm. `store_bytes`: the size of its store on the disk."""

    store_bytes: int


class Tasks(Struct, frozen=True, kw_only=True):
    """Tasks as lists show them, newest last."""

    tasks: tuple[TaskInfo, ...]


class TaskDetails(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The details of one task, as a drawer shows them.

    Attributes:
        task: as lists show it.
        log: the end of its log, at most `MAX_LOG` characters.
        n_cut: characters before that.
        version: of `outputs`.
        outputs: its outputs, in the form of a notebook's file; `None`: the view has this version.
        traceback: of its exception.
        note: a description of the death of its worker.
        exception: the type of its exception.
        source: the begin of its source, if it was asked for; a function has none.
        n_source_cut: characters after that.
        size: bytes of its pickled result; absent: it has none.
    """

    task: TaskInfo
    log: str = ""
    n_cut: int = 0
    version: str = ""
    outputs: tuple[Any, ...] | None = None
    traceback: str = ""
    note: str = ""
    exception: str = ""
    source: str = ""
    n_source_cut: int = 0
    size: int | None = None
