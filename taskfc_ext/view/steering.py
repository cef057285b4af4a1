"""Acting on several tasks, of which some may have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from taskfc_ext.errors import UnknownTasks
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.states import State
from taskfc_ext.view.wording import describe_steering


class Steered(NamedTuple):
    """Tasks by the result: done, given to a worker before, and ended before."""

    done: list[int]
    given: list[int]
    ended: list[int]

    def describe(self, verb: str) -> str:
        """Return a sentence; `verb` as in `describe_steering`."""
        return describe_steering(verb, self.done, ended=self.ended, given=self.given)


def steer(act: Callable[[list[int]], Iterable[int] | None], taskids: Sequence[int]) -> Steered:
    """Call `act` with the tasks, and again without the ended ones.

    Args:
        act: does it, and returns the tasks that a worker has already.
        taskids: the tasks; one that is named twice counts once.
    """
    left = list(dict.fromkeys(taskids))
    ended: list[int] = []
    given: Iterable[int] | None = ()
    while left:
        try:
            given = act(left)
            break
        except UnknownTasks as error:  # it was done for the others, and asking again tells what became of them
            wrong = set(error.taskids).intersection(left)
            if not wrong:
                raise
            ended += [taskid for taskid in left if taskid in wrong]
            left = [taskid for taskid in left if taskid not in wrong]
    kept = list(given or ())
    return Steered([taskid for taskid in left if taskid not in kept], kept, ended)


def find_running(list_tasks: Callable[..., Iterable[TaskInfo]], taskids: Sequence[int]) -> set[int]:
    """Return those of the tasks that run, for `describe_abort`.

    Call it before the abort: it is chance which of them have ended a moment after it.

    Args:
        list_tasks: that of a client.
        taskids: at most `MAX_IDS` tasks.
    """
    return {task.taskid for task in list_tasks(taskids=taskids, states=(State.RUNNING,), limit=MAX_IDS)}
