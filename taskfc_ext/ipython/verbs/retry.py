"""`%task retry`: run finished tasks again, and rebind names of this notebook from the old tasks to the new."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from taskfc_ext.errors import RequestRefused, UnknownTask
from taskfc_ext.ipython.cards.group_card import is_group
from taskfc_ext.ipython.notebook import Notebook, error_line, is_future
from taskfc_ext.ipython.parse.requests import BadUsage, Retry
from taskfc_ext.text import as_sentence, plural
from taskfc_ext.view.selection import names_one
from taskfc_ext.view.wording import describe_retry

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture

_MOST_LINES = 10
"""Lines that are printed, however many tasks were named."""


def retry(notebook: Notebook, request: Retry) -> TaskFuture | list[TaskFuture]:
    """Run tasks again; return the new one's future, or a list of them where several were named.

    Raises:
        BadUsage: the only named task cannot run again. Of several, a line is printed for each that cannot.
    """
    client = notebook.session.client()
    taskids = list(dict.fromkeys(notebook.taskids(request.tasks)))
    new_ids: dict[int, int] = {}
    told: list[str] = []
    for taskid in sorted(taskids):
        if taskid in new_ids:
            continue  # it was retried with the task that it depends on, whose id is smaller
        try:
            pairs = client.resubmit(taskid)
        except (RequestRefused, UnknownTask) as error:
            if len(taskids) == 1:
                raise BadUsage(error_line(error)) from None
            told.append(as_sentence(error_line(error)))
        else:
            new_ids.update(pairs)
            told.append(describe_retry([taskid], pairs))
    for line in told[:_MOST_LINES]:
        notebook.say(line)
    if len(told) > _MOST_LINES:
        notebook.say(f"... {plural(len(told) - _MOST_LINES, 'line')} more; {plural(len(new_ids), 'task')} run again")
    used = notebook.session.name
    future_of = cache(lambda old: client.future(new_ids[old]))  # one object for the variable and the value of the line
    rebind(notebook.shell.user_ns, lambda farm, old: future_of(old) if farm == used and old in new_ids else None)
    futures = [future_of(taskid) for taskid in taskids if taskid in new_ids]
    for future in futures:
        notebook.session.notices.add(future)
    return futures[0] if len(futures) == 1 and names_one(request.tasks) else futures


def rebind(user_ns: dict[str, Any], new: Callable[[str, int], TaskFuture | None]) -> None:
    """Rebind each variable that holds an old task's future, and has the task's name, to the future of the new task.

    In groups the new futures take the places of the old ones.

    Args:
        new: returns it, by the farm and the id of the old task; `None` for a task that was not retried.
    """
    for name, value in list(user_ns.items()):
        if is_group(value):
            value.replace(new)
        if is_future(value) and value.name == name and value.taskid is not None:
            future = new(value.farm, value.taskid)
            if future is not None:
                user_ns[name] = future
