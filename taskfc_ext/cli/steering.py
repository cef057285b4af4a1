"""Commands that act on tasks: abort, retry, hold, release, move and clear."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from taskfc_ext.cli.output import SEE, print_error, print_json, print_note
from taskfc_ext.cli.selected import find_taskids
from taskfc_ext.client.attach import attach_or_start_idle, attach_to_running
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.errors import RequestRefused, TaskFCError, UnknownTask
from taskfc_ext.protocol.ids import list_ids
from taskfc_ext.view.steering import find_running, steer
from taskfc_ext.view.wording import HELD, RELEASED, describe_abort, describe_clear, describe_retry, move_text

MOST_ERRORS = 5
"""Errors that are printed one by one; a range may have many."""


def abort(arguments: argparse.Namespace) -> int:
    """Abort tasks, also of a farm that does not run."""
    aborted, errors, unknown = [], [], []
    with attach_or_start_idle(arguments.name) as client:
        taskids = find_taskids(client, arguments.tasks)
        running = find_running(client.list_tasks, taskids)
        for taskid in taskids:
            try:
                client.abort(taskid)
            except UnknownTask as error:
                if error.hint:
                    unknown.append(taskid)
                else:  # it has ended
                    errors.append(error)
            else:
                aborted.append(taskid)
    if arguments.json:
        print_json({"aborted": aborted})
    elif aborted:
        print(describe_abort(aborted, running))
    for refused in errors:
        print_error(refused)
    if unknown:  # one line, however long the range
        what = "is no task" if len(unknown) == 1 else "are no tasks"
        print_error(UnknownTask(f"there {what} {list_ids(unknown)}", hint=SEE))
    return 1 if errors or unknown else 0


def retry(arguments: argparse.Namespace) -> int:
    """Run finished tasks again."""
    new_ids: dict[int, int] = {}
    lines: list[str] = []
    errors: list[TaskFCError] = []
    with attach_to_running(arguments.name) as client:
        for taskid in sorted(find_taskids(client, arguments.tasks)):
            if taskid in new_ids:
                continue  # it was retried with its dependency, whose id is smaller
            try:
                pairs = client.resubmit(taskid, here=False)
            except (RequestRefused, UnknownTask) as error:
                errors.append(error)
            else:
                new_ids.update(pairs)
                lines.append(describe_retry([taskid], pairs))
    if arguments.json:
        print_json({"retried": [{"taskid": new, "retry_of": old} for old, new in new_ids.items()]})
    else:
        print(*lines, sep="\n", end="\n" if lines else "")
    for refused in errors[:MOST_ERRORS]:
        print_error(refused)
    if len(errors) > MOST_ERRORS:
        print_note(f"and {len(errors) - MOST_ERRORS:,} more cannot run again")
    return 1 if errors else 0


def hold(arguments: argparse.Namespace) -> int:
    """Hold queued tasks back."""
    return _steer(arguments, lambda client: client.hold, HELD)


def release(arguments: argparse.Namespace) -> int:
    """Release held tasks."""
    return _steer(arguments, lambda client: client.release, RELEASED)


def move(arguments: argparse.Namespace) -> int:
    """Give unfinished tasks another priority."""
    priority: int = arguments.priority
    return _steer(arguments, lambda client: lambda ids: client.move(ids, priority), move_text(priority))


Act = Callable[[list[int]], Iterable[int] | None]


def _steer(arguments: argparse.Namespace, act_of: Callable[[BlockingTaskClient], Act], verb: str) -> int:
    with attach_to_running(arguments.name) as client:
        steered = steer(act_of(client), find_taskids(client, arguments.tasks))
    if arguments.json:
        print_json({"done": steered.done, "with_a_worker": steered.given, "ended": steered.ended})
    elif steered.done:
        print(steered.describe(verb))
    else:
        print_note(steered.describe(verb))
    return 0 if steered.done else 1


def clear(arguments: argparse.Namespace) -> int:
    """Clear finished tasks and their results."""
    with attach_to_running(arguments.name) as client:
        n_cleared = client.clear(find_taskids(client, arguments.tasks) if arguments.tasks else None)
    if arguments.json:
        print_json({"cleared": n_cleared})
    else:
        print(describe_clear(n_cleared))
    return 0
