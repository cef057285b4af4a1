"""The queue, as sent to subscribers: a snapshot, then deltas that hold the new state, not the changes.

So a delta that is applied twice does no harm, and several changes between two deltas are sent once. Tasks come in three
forms. A `Batch` holds what the tasks of one submission share. A `Run` is a range of tasks in one state without further
details. `Rows` hold all other tasks, with a column for each fact. So 100,000 queued tasks of one `map` take 25 batches
and runs, and no rows.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from taskfc_ext.protocol.infos import EngineInfo, TaskProgress, WorkerInfo
from taskfc_ext.protocol.states import StateCode

MAX_ROWS = 2000
"""Rows in one message, the newest; other changed tasks come as runs. A page handles this many within 20 ms."""

MAX_BATCHES = 5000
"""Batches in one message; the rest of a snapshot's batches follow at once in deltas."""

MAX_AFTER = 100
"""Parents that a batch names."""

MESSAGE_CHARS = 200
"""Characters of a task's `message`, for a line of a table. The task has the whole message."""


class Batch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts that the `n` tasks of one submission share; their ids are `first`, `first + 1`, ...

    Attributes:
        owner: the notebook or script that submitted them.
        submitted: wall-clock seconds.
        after: the first tasks that each of them comes after, or takes the result of.
        n_after: the number of those; 0: all are in `after`.
        retry_of: the finished task that each of them retries; empty if they are not retries.
    """

    first: int
    n: int
    label: str
    name: str | None = None
    owner: str = ""
    submitted: float = 0.0
    priority: int = 0
    after: tuple[int, ...] = ()
    n_after: int = 0
    retry_of: tuple[int, ...] = ()


class Run(Struct, frozen=True, array_like=True):
    """Tasks `first` to `first + n - 1`, all in one state, without further details. `held`: kept from the workers."""

    first: int
    n: int
    state: StateCode
    held: bool = False


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Details that few tasks have.

    Attributes:
        reason: why it has no value, as in `TaskInfo`.
        message: one line, at most `MESSAGE_CHARS` long: its failure, or why it waits.
        progress: that of the running attempt.
        held: it is kept from the workers.
        stopping: it is being stopped, by an abort or a timeout.
        not_before: wall-clock time before which it has no next attempt.
        deaths: workers that died in it.
        priority: if it differs from the batch's.
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
    """The present facts of tasks, in columns of equal length, by ascending id.

    Attributes:
        ids: task ids.
        states: a `StateCode` each.
        workers: the worker that runs it or ran it last; -1: none yet.
        attempts: attempts that have begun.
        started: wall-clock time at which the running attempt began; 0.0: none runs.
        completed: wall-clock time of its end; 0.0: it has not ended.
        seconds: run time of the last attempt of a task that has ended; 0.0: no attempt ran to its end.
        notes: the note of each task that has one. A row without a note removes an earlier one.
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
    """The number of tasks in each state. `n_ended`: ends since the controller started; it never decreases."""

    waiting: int = 0
    scheduled: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    aborted: int = 0
    n_ended: int = 0


class QueueSnapshot(Struct, frozen=True, kw_only=True, tag="snapshot", tag_field="type"):
    """The whole queue: all unfinished tasks, and the newest finished ones.

    Attributes:
        seq: the next delta has the next number.
        farm: its name.
        incarnation: counts the starts of the controller on its store.
        wall: the controller's clock when this was made, in seconds.
        counts: of all tasks, also of those that are not listed.
        n_workers: the intended number of workers; with an engine at most so many.
        workers: the present workers.
        engine: the engine that has them; `None`: they are processes of this machine.
        no_room: sentences for people while the store takes nothing new: why, where, what to do; "": there is room.
        batches: of all tasks in `runs` and `rows`.
        runs: the tasks without further details.
        rows: all other tasks.
        ends: tasks that ended in each of the last seconds, oldest first, up to the second of `wall`; empty if they
            were not counted.
    """

    seq: int
    farm: str
    incarnation: int
    wall: float
    counts: Counts
    n_workers: int
    workers: tuple[WorkerInfo, ...] = ()
    engine: EngineInfo | None = None
    no_room: str = ""
    batches: tuple[Batch, ...] = ()
    runs: tuple[Run, ...] = ()
    rows: Rows = Rows()
    ends: tuple[int, ...] = ()


class QueueDelta(Struct, frozen=True, kw_only=True, tag="delta", tag_field="type", omit_defaults=True):
    """The queue's changes since the previous message. Other fields are those of `QueueSnapshot`.

    Attributes:
        seq: one more than in the previous message; a subscriber that misses one asks for a snapshot.
        workers: all workers, if anything about them has changed; else `None`.
        batches: the new ones.
        cleared: ranges of tasks that were cleared: (first, n).
    """

    seq: int
    farm: str
    wall: float
    counts: Counts
    n_workers: int
    workers: tuple[WorkerInfo, ...] | None = None
    engine: EngineInfo | None = None
    no_room: str = ""
    batches: tuple[Batch, ...] = ()
    runs: tuple[Run, ...] = ()
    rows: Rows = Rows()
    cleared: tuple[tuple[int, int], ...] = ()


class FarmState(StrEnum):
    """The state of a farm, as one word."""

    CONNECTING = "connecting"  # its processes live, but it does not answer at present
    LIVE = "live"
    DEAD = "dead"  # its processes died
    STOPPED = "stopped"  # it was stopped on purpose
    REFUSED = "refused"  # it runs on another host or in another version, or its connection file is not safe


class FarmStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One farm, as the list of farms shows it.

    Attributes:
        name: its name.
        state: its state.
        message: if it is not live, a sentence for users: the fact and what to do.
        identity: identifies its processes; empty if there are none. A command with another identity is refused.
        counts: of its tasks; `None` while unknown.
        n_workers: the intended number of workers.
        python: the Python version of its workers.
        engine: the engine that has them.
        no_room: as in `QueueSnapshot`.
        in_memory: its tasks and results are in memory only, and go with it.
    """

    name: str
    state: FarmState
    message: str = ""
    identity: str = ""
    counts: Counts | None = None
    n_workers: int = 0
    python: str = ""
    engine: EngineInfo | None = None
    no_room: str = ""
    in_memory: bool = False
