"""The notebook as the verbs use it: the shell's namespace, the farm, the cards, and the output."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskfc_ext.errors import ControllerUnavailable, ResultExpired, TaskFCError, UnknownTask, UnknownTasks
from taskfc_ext.ipython.cards.board import CardBoard
from taskfc_ext.ipython.cards.group_card import is_group
from taskfc_ext.ipython.cards.publishing import has_kernel, is_headless
from taskfc_ext.ipython.cards.queue_widgets import QueueWidgets
from taskfc_ext.ipython.cards.render import Bundle
from taskfc_ext.ipython.hints import did_you_mean
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.ipython.sessions import Session
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.owners import short_name, split_name
from taskfc_ext.protocol.states import State
from taskfc_ext.text import one_line, with_article
from taskfc_ext.view.selection import Selection, count_ids

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture
    from taskfc_ext.protocol.infos import TaskInfo

SEE_TASKS = "`%task status --all` lists the newest"


class WaitTimedOut(TimeoutError):
    """A wait that timed out: the tasks go on. Shown in one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"TimeoutError: {self}"]


class Notebook:
    """One shell and the farm that it uses.

    Args:
        shell: IPython's shell.
        session: the farm.
        board: shows cards.
        queues: shows live queues.
        namespace: the names that the running line can use: a caller's locals before the shell's names.
    """

    def __init__(
        self, shell: Any, session: Session, board: CardBoard, queues: QueueWidgets, namespace: Mapping[str, Any]
    ) -> None:
        self.shell = shell
        self.session = session
        self.board = board
        self.queues = queues
        self.namespace = namespace

    # output

    def say(self, text: str) -> None:
        """Print a line under the running cell."""
        sys.stdout.write(f"{text}\n")

    def show(self, bundle: Bundle) -> None:
        """Show text and HTML under the running cell."""
        self.shell.display_pub.publish(bundle)

    @property
    def inputs(self) -> list[str]:
        """The cells that have run, as Python; the running one is the last."""
        history = self.shell.history_manager
        return [] if history is None else list(history.input_hist_parsed)

    @property
    def has_widgets(self) -> bool:
        """Whether there is a kernel, so that a front end can show widgets."""
        return has_kernel(self.shell)

    @property
    def cell_id(self) -> str:
        """The id of the running cell in its notebook; empty where the front end does not give it."""
        return str(_parent(self.shell).get("metadata", {}).get("cellId") or "")

    @property
    def has_buttons(self) -> bool:
        """Whether somebody may click beneath a card."""
        return self.board.is_live and not self.is_headless

    @property
    def is_headless(self) -> bool:
        """Whether the notebook runs from top to bottom, with nobody to ask."""
        return is_headless(self.shell)

    def bind(self, name: str, value: object) -> None:
        """Give `value` a name in the notebook."""
        self.shell.user_ns[name] = value

    # tasks

    def futures(self, selection: Selection, *, everybodys: bool = False) -> list[TaskFuture]:
        """Return a future for each selected task, see `tasks`; a new one for one that its stopped farm has ended."""
        return [
            task if is_future(task) and not self._has_outlived(task) else self.session.future(self._id(task))
            for task in self.tasks(selection, everybodys=everybodys)
        ]

    def taskids(self, selection: Selection, *, everybodys: bool = False) -> list[int]:
        """Return the ids of the selected tasks, see `tasks`."""
        found = self.tasks(selection, everybodys=everybodys)
        return [self._id(task) for task in found]

    def tasks(self, selection: Selection, *, everybodys: bool = False) -> list[Any]:
        """Return the selected tasks as ids and futures: ids, ranges, variables with futures, newest tasks of a name.

        A name means a task of this notebook; `NOTEBOOK:NAME` one of another, and it is said whose that is.

        Args:
            selection: what was typed.
            everybodys: a name means a task of any notebook.

        Raises:
            BadUsage: there is no task of that name.
        """
        if count_ids(selection) > MAX_IDS:
            raise BadUsage(f"{count_ids(selection):,} tasks are too many; at most {MAX_IDS:,} at once")
        found: list[Any] = []
        for part in selection:
            found.extend(part if isinstance(part, range) else self._find_named(part, everybodys=everybodys))
        return found

    def list_owned(self, states: Sequence[str], *, everybodys: bool) -> list[TaskInfo]:
        """Return the tasks of this notebook, or of all, in one of these states, including those just submitted."""
        client = self.session.client()
        self._flush()
        return client.list_tasks(owner=None if everybodys else self.session.owner, states=states, limit=MAX_IDS)

    def _find_named(self, text: str, *, everybodys: bool) -> list[Any]:
        notebook, name = split_name(text, self.session.owner)
        value = self.namespace.get(text)
        if is_future(value):
            return [value]
        if is_group(value) and not value:
            raise BadUsage(f"{text!r} has no tasks: it is the group of a map without items")
        if (isinstance(value, list | tuple) or is_group(value)) and value and all(map(is_future, value)):
            return list(value)
        client = self.session.client()
        self._flush()  # the newest one may not be accepted yet
        owner = notebook or (None if everybodys else self.session.owner)
        newest = client.list_tasks(name=name, owner=owner, limit=1)
        if newest:
            task = newest[-1]
            if task.owner != self.session.owner:
                self.say(f"task {task.taskid} {name} is one of {task.owner}")
            return [task.taskid]
        if notebook:
            raise BadUsage(f"{notebook} has no task named {name!r}; {SEE_TASKS}")
        others = client.list_tasks(name=name, limit=1)
        if others:
            theirs = f"{short_name(others[0].owner, self.session.owner)}:{name}"
            raise BadUsage(f"no task of this notebook and no future named {name!r}; {theirs} is another notebook's")
        if name in self.namespace:
            kind = with_article(type(value).__name__)
            raise BadUsage(f"{name!r} holds {kind}, not a task's future, and no task has this name; {SEE_TASKS}")
        if name in ("all", *State):
            raise BadUsage(f"no task is named {name!r}; tasks are given as ids (12), ranges (3-7) and names")
        near = did_you_mean(name, self.task_names())
        raise BadUsage(f"no task and no future named {name!r}{near or f'; {SEE_TASKS}'}")

    def _id(self, task: TaskFuture | int) -> int:
        return task if isinstance(task, int) else self._require_id(task)

    def _require_id(self, future: TaskFuture) -> int:
        if future.farm != self.session.name:  # on that farm the same id is another task
            raise BadUsage(
                f"{future.name or future.label!r} is a task of the farm {future.farm}; `%task use {future.farm}` first"
            )
        if future.taskid is None:
            self._flush()
        if future.taskid is None:
            raise BadUsage(f"{future.name or future.label!r} was never accepted by the farm; run its cell again")
        try:
            self.session.client().check_store(future)
        except UnknownTask as error:
            raise BadUsage(one_line(f"{error.message}; {error.hint}")) from None
        return future.taskid

    def _flush(self) -> None:
        """Wait until the farm has accepted all submissions of this process."""
        from taskfc_ext.client.session.registry import flush_all  # `%load_ext` does not need it

        flush_all(self.session.name)

    def _has_outlived(self, future: TaskFuture) -> bool:
        """Tell whether the farm was stopped while the future was open, and has started again: its task goes on."""
        if future.farm != self.session.name or not (future.accepted and future.done()) or future.cancelled():
            return False
        return future.facts is None and isinstance(future.exception(), ControllerUnavailable)

    def task_names(self) -> list[str]:
        """Return the names that select tasks: names of this notebook's tasks, and variables that hold a future."""
        named = ((name, value) for name, value in self.namespace.items() if not name.startswith("_"))
        variables = [name for name, value in named if is_future(value) or is_group(value)]
        client = self.session.connected
        tasks = client.list_tasks(owner=self.session.owner, limit=1000) if client else []
        return sorted({*variables, *(task.name for task in tasks if task.name)})


def _parent(shell: Any) -> Mapping[str, Any]:
    """Return the message that runs the cell; empty without a kernel."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else None
    return parent if isinstance(parent, Mapping) else {}


def is_future(value: object) -> bool:
    """Tell whether `value` is a task's future, without importing the client."""
    return isinstance(value, concurrent.futures.Future) and hasattr(type(value), "taskid")


def error_line(error: TaskFCError) -> str:
    """Return the message of an error and its hint, in one line."""
    unknown = isinstance(error, UnknownTask | UnknownTasks) and not isinstance(error, ResultExpired)
    hint = SEE_TASKS if unknown else error.hint
    return one_line("; ".join(filter(None, (error.message, hint))))
