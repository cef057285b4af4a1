"""Tasks by their ids, names or futures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.submit.options import Task, check_id
from taskfc_ext.errors import UnknownTask
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.owners import short_name, split_name
from taskfc_ext.protocol.states import State

List = Callable[..., Awaitable[list[TaskInfo]]]
Describe = Callable[[int], Awaitable[TaskInfo]]


async def find_task(list_tasks: List, describe: Describe, id_or_name: int | str, owner: str) -> TaskInfo:
    """Return the task that `id_or_name` means to `owner`, see `FCTaskClient.future`.

    Raises:
        UnknownTask: there is none; the hint says who has one of that name.
    """
    if not isinstance(id_or_name, str):
        return await describe(check_id(id_or_name))
    notebook, name = split_name(id_or_name, owner)
    found = await list_tasks(name=name, owner=notebook or owner or None, limit=1)
    missing = UnknownTask(f"there is no task named {name!r}", hint="list_tasks() has the names")
    if notebook:
        missing = UnknownTask(f"{notebook} has no task named {name!r}", hint="list_tasks() has the names")
    elif not found and (others := await list_tasks(name=name, limit=1)):
        theirs = f"{short_name(others[0].owner, owner)}:{name}"
        missing = UnknownTask(f"no task of this notebook is named {name!r}", hint=f"{theirs!r} is another's")
    if not found:
        raise missing
    return found[-1]


def check_filter(
    taskids: Iterable[int] | None, states: Iterable[str] | None
) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """Return the ids and the states of tasks to list, if they can be those; one state may be given by itself.

    Raises:
        TypeError: an id is not an int.
        ValueError: a state is not one.
    """
    known = [state.value for state in State]
    wanted = (states,) if isinstance(states, str) else None if states is None else tuple(states)
    for state in wanted or ():
        if state not in known:
            raise ValueError(f"{state!r} is not a state of a task; there are {', '.join(known)}")
    return None if taskids is None else tuple(map(check_id, taskids)), wanted


async def ids_of(
    tasks: Task | Iterable[Task],
    flush: Callable[[], Awaitable[None]],
    check_store: Callable[[list[TaskFuture]], Awaitable[None]],
) -> tuple[int, ...]:
    """Return the ids of one or several tasks.

    Args:
        tasks: ids and futures.
        flush: waits until all earlier submissions are accepted or refused.
        check_store: raises the error of a future whose task is in an earlier store.

    Raises:
        TypeError: not an id, a future or a sequence of these.
        Exception: that of a task that was never accepted.
    """
    # text is a sequence as well, but not of tasks
    if isinstance(tasks, str | bytes) or not isinstance(tasks, TaskFuture | int | Iterable):
        given: object = tasks
        hint = "; seconds are for timeout=" if isinstance(given, float) else ""
        raise TypeError(f"tasks are given as an id, a future or a sequence of these, not {given!r}{hint}")
    several = (tasks,) if isinstance(tasks, TaskFuture | int) else tuple(tasks)
    if any(isinstance(task, TaskFuture) and not task.accepted for task in several):
        await flush()
    await check_store([task for task in several if isinstance(task, TaskFuture)])
    ids = []
    for task in several:
        if isinstance(task, TaskFuture):
            task.check_accepted()
        ids.append(check_id(task.taskid if isinstance(task, TaskFuture) else task))
    return tuple(ids)
