"""The queue as viewers follow it: a snapshot, then deltas, each of which says how things are and not what was done.

So a delta that is taken in twice does no harm, and what changes often between two of them is told once. Tasks come in
three forms, from the shortest to the fullest: a `Batch` says what the tasks of one submission share, a `Run` puts
neighbours into one state with nothing more to tell, and `Rows` tell the rest, a column for each fact. A hundred
thousand queued tasks of one `map` are some 25 batches and runs, and no rows.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from taskfc_ext.protocol.infos import TaskProgress, WorkerInfo
from taskfc_ext.protocol.states import StateCode

MAX_ROWS = 2000
"""Rows in one message, the newest; the other tasks that changed come as runs. A page takes this in within 20 ms."""

MAX_BATCHES = 5000
"""Batches in one message; a snapshot that has more goes on in the deltas that follow it at once."""

MESSAGE_CHARS = 200
"""Characters of a task's `message`: a line of a table. The whole is with the task."""


class Batch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the `n` tasks of one submission share; their ids are `first`, `first + 1`, ...

    `submitted`: wall-clock seconds. `owner`: the notebook or script they are from. `retry_of`: the finished tasks that
    they are again, one each; empty where they are no retries.
    """

    first: int
    n: int
    label: str
    name: str | None = None
    owner: str = ""
    submitted: float = 0.0
    priority: int = 0
    retry_of: tuple[int, ...] = ()


class Run(Struct, frozen=True, array_like=True):
    """Tasks `first` to `first + n - 1` are in this state, kept from the workers if `held`; and nothing more is told."""

    first: int
    n: int
    state: StateCode
    held: bool = False


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What few tasks have.

    Attributes:
        reason: why it has no value, as in `TaskInfo`.
        message: one line, at most `MESSAGE_CHARS`: of its failure, or why it waits.
        progress: how far the running attempt is.
        held: it is kept from the workers.
        stopping: an abort or a timeout is at work on it.
        not_before: wall-clock time until which it waits for its next attempt.
        deaths: workers that died in it.
        priority: where that is not its batch's.
    """

    reason: str = ""
    message: str = ""
    progress: TaskProgress | None = None
    held: bool = False
    stopping: bool = False
    not_before: float | None = None
    deaths: int = 0
    priority: int | None = None


class Rows(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks as they are now: columns of equal length, by ascending id.

    Attributes:
        ids: task ids.
        states: a `StateCode` each.
        workers: who runs it, or ran it last; -1: nobody yet.
        attempts: how many have begun.
        started: wall-clock time at which the running attempt began; 0.0: none runs.
        completed: wall-clock time of its end; 0.0: it has not ended.
        seconds: run time of the last attempt of a task that has ended; 0.0: none ran to its end.
        notes: for those that have one. A row without has none any more.
    """

    ids: tuple[int, ...] = ()
    states: tuple[int, ...] = ()
    workers: tuple[int, ...] = ()
    attempts: tuple[int, ...] = ()
    started: tuple[float, ...] = ()
    completed: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    notes: dict[int, Note] = {}


class Counts(Struct, frozen=True, omit_defaults=True):
    """How many tasks are in each state; `n_ended`: ends since the controller started, which only grows."""

    waiting: int = 0
    scheduled: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    aborted: int = 0
    n_ended: int = 0


class QueueSnapshot(Struct, frozen=True, kw_only=True, tag="snapshot", tag_field="type"):
    """The queue as it is: all unfinished tasks, and the newest finished ones.

    Attributes:
        seq: the next delta has the next number.
        farm: its name.
        incarnation: counts the starts of the controller on its store.
        wall: the controller's clock when this was made, in seconds.
        counts: of all tasks, listed here or not.
        n_workers: how many there should be.
        workers: those that there are.
        batches: of all tasks in `runs` and `rows`.
        runs: those of which there is nothing more to tell.
        rows: the others.
        ends: how many tasks ended in each of the last seconds, oldest first, the last that of `wall`; empty where
            nobody has counted.
    """

    seq: int
    farm: str
    incarnation: int
    wall: float
    counts: Counts
    n_workers: int
    workers: tuple[WorkerInfo, ...] = ()
    batches: tuple[Batch, ...] = ()
    runs: tuple[Run, ...] = ()
    rows: Rows = Rows()
    ends: tuple[int, ...] = ()


class QueueDelta(Struct, frozen=True, kw_only=True, tag="delta", tag_field="type", omit_defaults=True):
    """What is different since the message before; as in `QueueSnapshot`, and

    Attributes:
        seq: one more than that of the message before; whoever misses one asks for a snapshot.
        workers: all of them, if anything about them is different; else `None`.
        batches: the new ones.
        cleared: tasks that are forgotten: (first, n).
    """

    seq: int
    farm: str
    wall: float
    counts: Counts
    n_workers: int
    workers: tuple[WorkerInfo, ...] | None = None
    batches: tuple[Batch, ...] = ()
    runs: tuple[Run, ...] = ()
    rows: Rows = Rows()
    cleared: tuple[tuple[int, int], ...] = ()


class FarmState(StrEnum):
    """How a farm is, as one word."""

    CONNECTING = "connecting"  # its processes live; it does not answer yet, or not at the moment
    LIVE = "live"
    DEAD = "dead"  # its processes are gone, and nobody has asked for that
    STOPPED = "stopped"
    REFUSED = "refused"  # it runs elsewhere, or in another version, or its file is not to be trusted


class FarmStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One farm, as the picker lists it.

    Attributes:
        name: its name.
        state: how it is.
        message: a sentence for people where it is not live: what is the case and what to do.
        identity: which processes these are; empty while there are none. A command that names another one is refused.
        counts: of its tasks; `None` while unknown.
        n_workers: how many workers it should have.
        python: the version that its workers run.
    """

    name: str
    state: FarmState
    message: str = ""
    identity: str = ""
    counts: Counts | None = None
    n_workers: int = 0
    python: str = ""
