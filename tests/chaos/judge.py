"""The verdict over a run: what clients noted, what the farm has, and the ledger of executions, against each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.errors import UnknownTask, WorkerLost
from taskfc_ext.protocol.options import MAX_DEATHS
from tests.chaos.client import Notes, Part, may_repeat, way_to_die
from tests.chaos.deaths import BREAKS, HARMLESS
from tests.chaos.report import Report

GONE = "gone"

LISTED_AT_ONCE = 10_000
"""Tasks in one list of the farm's."""


@dataclass
class Facts:
    """Facts about a run after its end, each by the key of a task.

    Attributes:
        noted: the end that its client noted; absent: none.
        found: the end that the farm has: "ok KEY RUN", "lost", "failed ...", or `GONE`.
        runs: the names of its executions.
        taskids: its id in the farm.
        listed: owner -> the number of its tasks that the farm has.
    """

    noted: dict[str, str]
    found: dict[str, str]
    runs: dict[str, list[str]]
    taskids: dict[str, int]
    listed: dict[str, int]

    @classmethod
    def collect(cls, client: BlockingTaskClient, parts: list[Part], runs: dict[str, list[str]]) -> Facts:
        """Read the notes of all clients, and ask the farm for the end of each accepted task."""
        facts = cls({}, {}, runs, {}, {})
        for part in parts:
            notes = Notes(part.notes)
            facts.noted |= {part.key(number): words for number, words in notes.ends.items()}
            facts.taskids |= {part.key(number): taskid for number, taskid in enumerate(notes.taskids)}
            facts.listed[part.owner] = count_tasks(client, part.owner)
        for key, taskid in facts.taskids.items():
            facts.found[key] = end_of(client, taskid)
        return facts


def count_tasks(client: BlockingTaskClient, owner: str) -> int:
    """Return the number of tasks of `owner` in the farm. A list that is not of ids searches the newest of them only."""
    n_tasks = sum(client.queue_status().values())
    parts = (range(first, first + LISTED_AT_ONCE) for first in range(0, n_tasks, LISTED_AT_ONCE))
    return sum(len(client.list_tasks(part, owner=owner, limit=LISTED_AT_ONCE)) for part in parts)


def end_of(client: BlockingTaskClient, taskid: int) -> str:
    """Return the end of a task in the words of its client."""
    try:
        key, run = client.get_task_result(taskid)
    except UnknownTask:
        return GONE
    except WorkerLost:
        return "lost"
    except Exception as error:
        return f"failed {type(error).__name__}: {str(error).splitlines()[0]}"
    return f"ok {key} {run}"


def judge(parts: list[Part], facts: Facts, ends: Counter[int], struck: Counter[str], n_workers: int) -> Report:
    """Return the figures of a run and its broken promises.

    Args:
        ends: task id -> the number of ends in the farm's store.
        struck: the kills and stops.
    """
    report = Report("load", 0)
    counts: Counter[str] = Counter()
    for part in parts:
        if (n := facts.listed[part.owner]) != part.n_tasks:
            report.problems.append(f"{part.owner} submitted {part.n_tasks} tasks, and the farm has {n}")
        for number in range(part.n_tasks):
            _judge_task(part, number, facts, ends, counts, report.problems)
    bound = struck["worker"] + struck["supervisor"] * n_workers + counts["broke"]
    if counts["extra"] > bound:
        report.problems.append(f"{counts['extra']} extra executions, and the kills explain {bound}")
    kills = {f"SIGKILLs of {kind}s": n for kind, n in struck.items() if not kind.startswith("stop ")}
    report.figures = {
        "tasks accepted": len(facts.taskids),
        **kills,
        "SIGSTOPs": sum(n for kind, n in struck.items() if kind.startswith("stop ")),
        "tasks that took their worker along": counts["deadly"],
        "accepted tasks lost": counts["gone"],
        "doubly committed": counts["double"],
        "wrong results": counts["wrong"],
        "extra executions": counts["extra"],
        "extra executions that kills explain": bound,
        "at-most-once tasks that ended as lost": counts["lost"],
        "tasks given up after three deaths": counts["poisoned"],
    }
    return report


def _judge_task(
    part: Part, number: int, facts: Facts, ends: Counter[int], counts: Counter[str], problems: list[str]
) -> None:
    key = part.key(number)
    found, noted, n_runs = facts.found.get(key, GONE), facts.noted.get(key), len(facts.runs.get(key, ()))
    way = way_to_die(number, part.deadly)
    is_deadly = way is not None and way != HARMLESS
    counts["deadly"] += is_deadly and n_runs > 0
    counts["broke"] += way == BREAKS and n_runs > 0
    if found == GONE:
        counts["gone"] += 1
        problems.append(f"task {key} is gone")
        return
    if noted != found or ends[facts.taskids[key]] != 1:
        counts["double"] += 1
        n_ends = ends[facts.taskids[key]]
        problems.append(f"task {key} ended as {noted!r} to its client, as {found!r} now, {n_ends} times in the store")
    kind, *words = found.split(" ")
    if kind == "ok" and (words[0] != key or words[1] not in facts.runs.get(key, ())):
        counts["wrong"] += 1
        problems.append(f"task {key} has the result of no execution of it: {found!r}")
    if kind == "failed":
        counts["wrong"] += 1
        problems.append(f"task {key} {found}")
    if may_repeat(number, part.batch):
        counts["extra"] += max(0, n_runs - 1 - is_deadly)
        if kind == "lost":
            counts["poisoned"] += 1
            if n_runs < MAX_DEATHS:
                problems.append(f"task {key} may be made again, and was given up after {n_runs} executions")
    else:
        counts["lost"] += kind == "lost"
        if n_runs > 1:
            problems.append(f"task {key} may run only once, and ran {n_runs} times")
