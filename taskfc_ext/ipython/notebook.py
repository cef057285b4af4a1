"""What the verbs work with: the shell's namespace, the farm, the cards, and the place to print."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskfc_ext.errors import ControllerUnavailable, ResultExpired, TaskFCError, UnknownTask, UnknownTasks
from taskfc_ext.ipython.cards.board import CardBoard
from taskfc_ext.ipython.cards.queue_widgets import Queues
from taskfc_ext.ipython.cards.render import Bundle
from taskfc_ext.ipython.hints import did_you_mean
from taskfc_ext.ipython.parse.requests import BadUsage, Selection
from taskfc_ext.ipython.sessions import Session
from taskfc_ext.text import one_line, plural

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture
    from taskfc_ext.protocol.infos import TaskInfo

MAX_SELECTED = 100_000
"""Tasks that one line may name: what one request may carry."""

MOST = 100_000
"""Tasks that a list is asked for where all are meant."""

SEE_TASKS = "`%task status --all` lists the newest"


class WaitInterrupted(KeyboardInterrupt):
    """Ctrl-C during a wait, which harms no task; shown in one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


class WaitTimedOut(TimeoutError):
    """A wait that took too long, which harms no task; shown in one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"TimeoutError: {self}"]


class Notebook:
    """One shell and the farm that it uses.

    Args:
        shell: IPython's shell.
        session: the farm.
        board: shows cards.
        queues: shows live queues.
        namespace: the names of the running line: a caller's locals before the shell's own.
    """

    def __init__(
        self, shell: Any, session: Session, board: CardBoard, queues: Queues, namespace: Mapping[str, Any]
    ) -> None:
        self.shell = shell
        self.session = session
        self.board = board
        self.queues = queues
        self.namespace = namespace

    # saying and showing

    def say(self, text: str) -> None:
        """Print a line under the running cell."""
        sys.stdout.write(f"{text}\n")

    def show(self, bundle: Bundle) -> None:
        """Show text and HTML under the running cell."""
        self.shell.display_pub.publish(bundle)

    @property
    def inputs(self) -> list[str]:
        """The cells that were run so far, as Python; the running one is the last."""
        history = self.shell.history_manager
        return [] if history is None else list(history.input_hist_parsed)

    @property
    def has_widgets(self) -> bool:
        """Whether a front end may show widgets: there is a kernel."""
        return getattr(self.shell, "kernel", None) is not None

    def bind(self, name: str, value: object) -> None:
        """Give `value` a name in the notebook."""
        self.shell.user_ns[name] = value

    # tasks

    def futures(self, selection: Selection) -> list[TaskFuture]:
        """Return a future for each task that is named; of one that the end of its farm has ended, a new one."""
        return [
            task if is_future(task) and not self._outlived(task) else self.session.future(_id(task))
            for task in self.tasks(selection)
        ]

    def taskids(self, selection: Selection) -> list[int]:
        """Return the ids of the tasks that are named."""
        return [task if isinstance(task, int) else self._accepted(task) for task in self.tasks(selection)]

    def tasks(self, selection: Selection) -> list[Any]:
        """Return ids and futures for what is named: by id, range, variable that holds futures, or newest of a name.

        Raises:
            BadUsage: there is no task of that name.
        """
        if sum(len(part) for part in selection if isinstance(part, range)) > MAX_SELECTED:
            raise BadUsage(f"that is over {MAX_SELECTED:,} tasks")
        found: list[Any] = []
        for part in selection:
            found.extend(part if isinstance(part, range) else self._named(part))
        return found

    def owned(self, states: Sequence[str], *, everybodys: bool) -> list[TaskInfo]:
        """Return this notebook's tasks, or everybody's, in one of these states; what is on its way included."""
        client = self.session.client()
        self._flush()
        return client.list_tasks(owner=None if everybodys else self.session.owner, states=states, limit=MOST)

    def _named(self, name: str) -> list[Any]:
        value = self.namespace.get(name)
        if is_future(value):
            return [value]
        if isinstance(value, list | tuple) and value and all(map(is_future, value)):
            return list(value)
        client = self.session.client()
        self._flush()  # the newest one may be on its way
        newest = client.list_tasks(name=name, limit=1)
        if newest:
            return [newest[-1].taskid]
        near = did_you_mean(name, self.task_names())
        raise BadUsage(f"no task and no future named {name!r}{near or f'; {SEE_TASKS}'}")

    def _accepted(self, future: TaskFuture) -> int:
        if future.farm != self.session.name:  # there the same id is another task
            raise BadUsage(
                f"{future.name or future.label!r} is a task of the farm {future.farm}; `%task use {future.farm}` first"
            )
        if future.taskid is None:
            self._flush()
        if future.taskid is None:
            raise BadUsage(f"{future.name or future.label!r} was never accepted by the farm; run its cell again")
        return future.taskid

    def _flush(self) -> None:
        """Let all be accepted that is on its way, by whichever client of this process."""
        from taskfc_ext.client.session.registry import flush_all  # which `%load_ext` does without

        flush_all(self.session.name)

    def _outlived(self, future: TaskFuture) -> bool:
        """Tell whether the farm was stopped while the future was open, and runs again: its task goes on there."""
        if future.farm != self.session.name or not (future.accepted and future.done()) or future.cancelled():
            return False
        return future.facts is None and isinstance(future.exception(), ControllerUnavailable)

    def task_names(self) -> list[str]:
        """Return what tasks can be called by: names of tasks, and variables that hold a future."""
        variables = [name for name, value in self.namespace.items() if is_future(value) and not name.startswith("_")]
        client = self.session.connected
        tasks = client.list_tasks(limit=1000) if client else []
        return sorted({*variables, *(task.name for task in tasks if task.name)})


def _id(task: TaskFuture | int) -> int:
    taskid = task if isinstance(task, int) else task.taskid
    assert taskid is not None
    return taskid


def is_future(value: object) -> bool:
    """Tell whether `value` is a task's future, without importing the client."""
    return isinstance(value, concurrent.futures.Future) and hasattr(type(value), "taskid")


def is_one(selection: Selection) -> bool:
    """Tell whether `selection` names a single task, so that one value is meant and no list."""
    return len(selection) == 1 and (isinstance(selection[0], str) or len(selection[0]) == 1)


def named(taskids: Sequence[int], noun: str = "task") -> str:
    """Return what several tasks are called in a line: "task 3", "tasks 3, 4", "40 tasks (3, 4, ...)"."""
    shown = ", ".join(str(taskid) for taskid in taskids[:10])
    if len(taskids) > 10:
        return f"{plural(len(taskids), noun)} ({shown}, ...)"
    return f"{noun if len(taskids) == 1 else f'{noun}s'} {shown}"


def said(error: TaskFCError) -> str:
    """Return what an error says, with its hint, in one line."""
    unknown = isinstance(error, UnknownTask | UnknownTasks) and not isinstance(error, ResultExpired)
    hint = SEE_TASKS if unknown else error.hint
    return one_line("; ".join(filter(None, (error.message, hint))))


@contextmanager
def waiting() -> Iterator[None]:
    """Let Ctrl-C end a wait in one line."""
    try:
        yield
    except KeyboardInterrupt:
        raise WaitInterrupted("the wait has ended, the tasks go on") from None
