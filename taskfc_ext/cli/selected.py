"""The tasks that a command line names."""

from __future__ import annotations

from collections.abc import Sequence

from taskfc_ext.cli.output import SEE
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.errors import UnknownTask
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.owners import split_name
from taskfc_ext.text import plain_text
from taskfc_ext.view.selection import BadSelection, count_ids, parse_selection


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
            raise UnknownTask(f"there is no task named {part!r}", hint=SEE)
        taskids.append(newest[-1].taskid)
    if not 0 < len(taskids) <= most:
        raise UnknownTask(f"{' '.join(words)!r} names {len(taskids):,} tasks; between 1 and {most:,} are possible")
    return list(dict.fromkeys(taskids))
