"""What a view of queues, in a browser, is told, and what it asks.

The view is the same in the widget and in JupyterLab's sidebar; what carries these messages differs. TypeScript has
them from `scripts/write_messages.py`, as `labextension/src/link/messages.ts`. A command has the name of the request
to the controller that it becomes: where both are at hand, that one is `said.Abort`.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import IdField, Priority, Workers
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.snapshots import FarmStatus, QueueDelta, QueueSnapshot

VIEW_PROTOCOL = 1
"""Version of these messages. A page that was loaded from another version says so instead of guessing."""

MAX_LOG = 200_000
"""Characters of a log that a view is sent: the end of it."""

# what a view is told


class Farms(Struct, frozen=True, kw_only=True, tag="farms", tag_field="type"):
    """All farms of this user that run or have left a store, by name. Said first, and when one has changed."""

    farms: tuple[FarmStatus, ...]
    protocol: int = VIEW_PROTOCOL
    version: str = ""


ViewMessage = Farms | QueueSnapshot | QueueDelta

# what a view asks


class Watch(Struct, frozen=True, forbid_unknown_fields=True, tag="watch", tag_field="ask"):
    """Send the snapshot of this farm, and what changes from then on. Asked again: the snapshot again."""

    farm: str


class Unwatch(Struct, frozen=True, forbid_unknown_fields=True, tag="unwatch", tag_field="ask"):
    """Send no more of this farm."""

    farm: str


ViewQuestion = Watch | Unwatch

Ids = Annotated[tuple[IdField, ...], Meta(min_length=1, max_length=MAX_IDS)]


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Base of what a view can have done. `identity`: of the processes that are meant; empty: whichever has the name."""

    identity: str = ""


class Abort(Command, frozen=True, tag="abort"):
    """Abort these tasks; those that have ended by now are left alone."""

    taskids: Ids


class Retry(Command, frozen=True, tag="retry"):
    """Run these finished tasks again, as they were submitted, with those that failed because of them."""

    taskids: Ids


class Hold(Command, frozen=True, tag="hold"):
    """Keep these tasks from the workers."""

    taskids: Ids


class Release(Command, frozen=True, tag="release"):
    """Let these tasks be given out again."""

    taskids: Ids


class Move(Command, frozen=True, tag="move"):
    """Give these tasks another priority."""

    taskids: Ids
    priority: Priority


class Clear(Command, frozen=True, tag="clear"):
    """Forget these finished tasks; `None`: all finished ones."""

    taskids: Ids | None = None


class RetryFailed(Command, frozen=True, tag="retry-failed"):
    """Run all failed tasks again that were not retried yet."""


class Scale(Command, frozen=True, tag="scale"):
    """Set the number of workers."""

    n: Workers


class Start(Command, frozen=True, tag="start"):
    """Start the farm of this name, or do nothing if it runs; `n`: workers, `None`: as before, or by the cores."""

    n: Workers | None = None


class Stop(Command, frozen=True, tag="stop"):
    """Stop the farm; unfinished work waits in its store."""


AnyCommand = Abort | Retry | Hold | Release | Move | Clear | RetryFailed | Scale | Start | Stop


class CommandAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a command. `said`: a line for people. `retried`: (old id, new id)."""

    ok: bool
    said: str
    retried: tuple[tuple[int, int], ...] = ()


class TaskDetails(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a drawer shows of one task.

    Attributes:
        task: as lists show it.
        log: what it has printed, at most `MAX_LOG` characters, the end.
        n_cut: characters before that.
        version: of `outputs`.
        outputs: what it shows, in the form of outputs in a notebook's file; `None`: as in the version that was known.
        traceback: of its exception.
        note: what is known of the death of its worker.
        exception: the type of its exception.
    """

    task: TaskInfo
    log: str = ""
    n_cut: int = 0
    version: str = ""
    outputs: tuple[Any, ...] | None = None
    traceback: str = ""
    note: str = ""
    exception: str = ""
