"""The wording of tasks and of results of actions, each once for all views. Pure.

Callers are `commands.py` and `server_extension/starting.py` for the widget and the sidebar, `ipython/` for magics and
cards, and `cli/` for the terminal. The browser writes the rows of its queue view itself: `stateText` in
`labextension/src/queue/row.ts` follows `state_text`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from taskfc_ext.protocol.infos import EngineInfo, TaskInfo
from taskfc_ext.protocol.limits import MAX_WORKERS
from taskfc_ext.text import as_sentence, format_seconds, one_line, percent, plural

ICONS = {
    "waiting": "◌",
    "scheduled": "○",
    "running": "▶",
    "stopping": "◼",
    "succeeded": "✔",
    "failed": "✘",
    "aborted": "⊘",
}
"""Beside the word, never instead of it: a picture or a colour alone does not show a state."""

KEPT = "unfinished tasks stay in its store"
"""About a farm that stops."""

GONE = "its tasks were in memory only, and are gone"
"""About one that stops without a store on the disk."""

IN_MEMORY = "keeps its tasks in memory only"
"""About one that runs without a store on the disk."""

HELD = "Held {}"
RELEASED = "Released {}"
"""Verbs for `describe_steering`. That of a move is `move_text`."""

_MOST_NAMED = 10
"""Tasks that a sentence names by id."""


# a task


class TaskRow(NamedTuple):
    """The cells of one task in a table. `title`: its name, or the label of its code."""

    taskid: str
    name: str
    label: str
    title: str
    state: str
    worker: str
    attempts: str
    time: str
    message: str


def task_row(task: TaskInfo) -> TaskRow:
    """Return a task as one row of a table."""
    name, label = one_line(task.name), one_line(task.label)
    return TaskRow(
        taskid=str(task.taskid),
        name=name,
        label=label,
        title=name or label,
        state=state_text(task),
        worker="" if task.worker < 0 else str(task.worker),
        attempts=str(task.attempts) if task.attempts else "",
        time="" if task.elapsed is None else format_seconds(task.elapsed),
        message=one_line("; ".join(filter(None, (retry_text(task.retry_of), task.message)))),
    )


def state_of(task: TaskInfo) -> str:
    """Return a task's state as it is shown: *stopping* while an abort or a timeout works on it."""
    return "stopping" if task.stopping else task.state


def state_text(task: TaskInfo) -> str:
    """Return the state with its reason or its progress: `failed (timeout)`, `scheduled (held)`, `running 42 %`."""
    text, reason = state_of(task), reason_of(task)
    if reason:
        text += f" ({one_line(reason)})"
    if task.progress is not None and task.progress.total:
        text += f" {percent(task.progress.done, task.progress.total)} %"
    return text


def reason_of(task: TaskInfo) -> str:
    """Return what stands in brackets after the state: why a task ended so, or that it is held."""
    if task.held:
        return "held"
    return "" if task.reason in ("error", task.state) else task.reason


def retry_text(retry_of: int | None) -> str:
    """Return which task this one retries; empty for most."""
    return "" if retry_of is None else f"retry of {retry_of}"


def icon(state: str) -> str:
    """Return the picture that goes with a state."""
    return ICONS.get(state, "?")


def name_tasks(taskids: Sequence[int], noun: str = "task") -> str:
    """Return several tasks in words: `task 3`, `tasks 3, 4`, `40 tasks (3, 4, ...)`."""
    shown = ", ".join(str(taskid) for taskid in taskids[:_MOST_NAMED])
    if len(taskids) > _MOST_NAMED:
        return f"{plural(len(taskids), noun)} ({shown}, ...)"
    return f"{noun if len(taskids) == 1 else f'{noun}s'} {shown}"


# a farm


def farm_caption(name: str, counts: Mapping[str, int], n_workers: int, engine: EngineInfo | None = None) -> str:
    """Return a line about a farm.

    Args:
        counts: tasks by state; `queue_status` calls the running ones pending.
        n_workers: the present number, without substitutes.
        engine: the engine that has the workers; `None`: they are processes of this machine.
    """
    if engine is not None:
        n_queued = counts.get("waiting", 0) + counts.get("scheduled", 0)
        numbers = {"running": counts.get("pending", 0), "queued": n_queued}
        numbers |= {state: counts.get(state, 0) for state in ("succeeded", "failed", "aborted")}
        parts = [f"{n:,} {word}" for word, n in numbers.items() if n]
        return " · ".join([name, engine_text(engine, n_workers), *(parts or ["no tasks"])])
    words = {"waiting": "waiting", "scheduled": "scheduled", "pending": "running"}
    words |= {"succeeded": "succeeded", "failed": "failed", "aborted": "aborted"}
    shown = ", ".join(f"{counts[key]:,} {word}" for key, word in words.items() if counts.get(key))
    return f"{name} · {plural(n_workers, 'worker')} · {shown or 'no tasks'}"


def engine_text(engine: EngineInfo, n_workers: int) -> str:
    """Return an engine and its workers in words; `engineText` of the browser code writes the same.

    `Dask tcp://head:8786 · 12 of at most 40 workers on 3 hosts`, or
    `Dask tcp://head:8786 · not reachable since 12:01 (connection refused), trying`.
    """
    where = engine.kind.capitalize()
    if engine.url != engine.kind:  # `ray` has no address
        where += f" {one_line(engine.url)}"
    why = f" ({one_line(engine.text)})" if engine.text else ""
    if engine.state == "connected":
        most = f"{n_workers:,} of at most " if engine.limit < MAX_WORKERS else ""
        workers = most + plural(engine.limit if most else n_workers, "worker")
        return f"{where} · {workers}" + (f" on {plural(engine.n_places, 'host')}" if engine.n_places else "") + why
    if engine.state == "connecting":
        return f"{where} · connecting{why}"
    return f"{where} · not reachable since {clock_time(engine.since)}{why}, trying"


def clock_time(wall: float) -> str:
    """Return hours and minutes of a time, with the date unless that is today."""
    at = datetime.fromtimestamp(wall)
    return f"{at:%H:%M}" if at.date() == datetime.now().date() else f"{at:%Y-%m-%d %H:%M}"


def describe_start(name: str, n_workers: int | None = None) -> str:
    """Return the result of a start; without the number of workers where it is not known."""
    workers = "" if n_workers is None else f", with {plural(n_workers, 'worker')}"
    return f"Farm {name} runs{workers}."


def describe_memory(*, on_disk: bool, restarted: bool = False) -> str:
    """Return the line about a farm that has begun with an empty store in memory.

    Args:
        on_disk: it has a store on the disk, too.
        restarted: it had tasks in memory before.
    """
    first = f"{IN_MEMORY}, and begins empty" if restarted else f"{IN_MEMORY}: they are gone when it ends"
    return f"{first}; its store on the disk stays as it is for the next start on the disk" if on_disk else first


def describe_aside(folder: Path) -> str:
    """Return the line about a store that was put aside."""
    return f"begins with an empty store; the one before is in {folder}"


def describe_scale(before: int, n: int) -> str:
    """Return the result of `scale`: `4 workers (before: 2)`."""
    if before == n:
        return f"{plural(n, 'worker')} already"
    surplus = "; surplus workers end when they are idle" if n < before else ""
    return f"{plural(n, 'worker')} (before: {before:,}){surplus}"


# actions on tasks


def describe_abort(aborted: Sequence[int], running: Collection[int], late: Sequence[int] = ()) -> str:
    """Return the result of an abort.

    Args:
        aborted: the tasks whose abort was accepted.
        running: the tasks that ran when the abort was requested: they stop, sooner or later.
        late: the tasks for which it was too late.
    """
    ended = [taskid for taskid in aborted if taskid not in running]
    ending = [taskid for taskid in aborted if taskid in running]
    parts = [f"aborted {name_tasks(ended)}"] if ended else []
    parts += [f"stopping {name_tasks(ending)}"] if ending else []
    parts += [] if aborted else ["nothing was done"]
    was = "was" if len(late) == 1 else "were"
    parts += [f"{name_tasks(late)} had ended or {was} already stopping"] if late else []
    return as_sentence("; ".join(parts))


def describe_retry(taskids: Sequence[int], pairs: Mapping[int, int]) -> str:
    """Return the result of a retry.

    Args:
        taskids: the tasks that were to run again.
        pairs: old id -> new id of these, and of the tasks that failed because of them.
    """
    runs = "runs" if len(taskids) == 1 else "run"
    text = f"{name_tasks(taskids)} {runs} again"
    if len(taskids) <= _MOST_NAMED:
        text += f" as {name_tasks([pairs[taskid] for taskid in taskids])}"
    asked = set(taskids)
    along = [old for old in pairs if old not in asked]
    if len(along) > _MOST_NAMED:
        text += f", with {plural(len(along), 'dependant')}"
    elif along:
        text += f", with {name_tasks(along, 'dependant')} as {', '.join(str(pairs[old]) for old in along)}"
    return as_sentence(text)


def move_text(priority: int) -> str:
    """Return the verb of a move, for `describe_steering`."""
    return f"Moved {{}} to priority {priority}"


def describe_steering(verb: str, done: Sequence[int], *, ended: Sequence[int], given: Sequence[int] = ()) -> str:
    """Return the result of a hold, a release or a move.

    Args:
        verb: what was done, with `{}` for the tasks: `HELD`, `RELEASED` or a `move_text`.
        done: the tasks for which it was done.
        ended: the tasks that are not unfinished.
        given: the tasks that a worker has already.
    """
    parts = [verb.format(name_tasks(done))] if done else []
    if given:
        is_, them = ("is", "it") if len(given) == 1 else ("are", "them")
        parts.append(f"{name_tasks(given)} {is_} with a worker already (abort {them} instead)")
    if ended:
        parts.append(f"{name_tasks(ended)} had ended or never existed")
    return as_sentence("; ".join(parts) or "no task was given")


def describe_clear(n_cleared: int, *, unknown: Sequence[int] = (), n_kept: int = 0) -> str:
    """Return the result of a clear.

    Args:
        n_cleared: how many tasks were cleared.
        unknown: the tasks that had been cleared before.
        n_kept: how many were to be cleared and were not.
    """
    parts = [f"cleared {plural(n_cleared, 'finished task')}"]
    if unknown:
        parts.append(f"{name_tasks(unknown)} had been cleared before")
    if n_kept:
        was = "was" if n_kept == 1 else "were"
        parts.append(f"{plural(n_kept, 'task')} {was} kept: unfinished, or needed by an unfinished task")
    return as_sentence("; ".join(parts))
