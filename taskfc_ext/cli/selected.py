"""The tasks that a command line names."""

from __future__ import annotations

from collections.abc import Sequence

from taskfc_ext.cli.output import SEE
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.errors import UnknownTask
from taskfc_ext.near_misses import nearest
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.owners import split_name
from taskfc_ext.text import plain_text
from taskfc_ext.view.selection import BadSelection, count_ids, parse_selection

NEWEST = 1000
"""How many of the newest tasks are searched for a name like the wrong one."""


def find_taskids(client: BlockingTaskClient, words: Sequence[str], most: int = MAX_IDS) -> list[int]:
    """Return the tasks that `words` name: ids, ranges of ids, names, also separated by commas.

    Raises:
        UnknownTask: a word names no task, or they name too many.
    """
    try:
        selection = parse_selection(",".join(words))
    except BadSelection as error:
        raise UnknownTask(plain_text(str(error))) from None
    if count_ids(selection) > most:
        raise UnknownTask(f"{' '.join(words)} are too many tasks: {most:,} at once")
    taskids: list[int] = []
    for part in selection:
        if isinstance(part, range):
            taskids.extend(part)
            continue
        notebook, name = split_name(part)
        newest = client.list_tasks(name=name, owner=notebook, limit=1)
        if not newest:
            raise _unknown_name(client, part, notebook, name)
        taskids.append(newest[-1].taskid)
    if not 0 < len(taskids) <= most:
        raise UnknownTask(f"{' '.join(words)!r} names {len(taskids):,} tasks; between 1 and {most:,} are possible")
    return list(dict.fromkeys(taskids))


def _unknown_name(client: BlockingTaskClient, part: str, notebook: str | None, name: str) -> UnknownTask:
    """Return the error for a name that no task has, with the nearest name of the newest tasks."""
    near = nearest(name, {task.name for task in client.list_tasks(owner=notebook, limit=NEWEST) if task.name})
    text = f"there is no task named {part!r}"
    if not near:
        return UnknownTask(text, hint=SEE)
    return UnknownTask(f"{text}; did you mean {plain_text(part.removesuffix(name) + near)}?")
