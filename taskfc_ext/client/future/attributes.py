"""Answers to attributes that a `TaskFuture` does not have: names of its cell, and words of other libraries. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from taskfc_ext.near_misses import nearest

_ELSEWHERE = {
    **dict.fromkeys(("get", "value", "wait", "join", "compute", "fetch"), "result()"),
    **dict.fromkeys(("status", "get_state"), "state"),
    **dict.fromkeys(("id", "task_id", "key", "job_id"), "taskid"),
    **dict.fromkeys(("kill", "stop", "terminate", "revoke"), "abort()"),
    **dict.fromkeys(("error", "traceback", "get_exception"), "exception()"),
    **dict.fromkeys(("ready", "is_done", "finished", "successful"), "done()"),
    **dict.fromkeys(("output", "logs", "print"), "log"),
}
"""Words that other libraries have for ours."""


def why_no_attribute(
    name: str, known: Iterable[str], *, is_cell: bool, out: Collection[str], defines: Collection[str]
) -> str:
    """Return why a future has no attribute of this name, and what there is in its place.

    Args:
        name: the attribute.
        known: the attributes that it has.
        is_cell: whether the task is a cell, or may be one.
        out: the names that its cell brings back; `*`: all that it binds.
        defines: the names that its cell binds, as far as they are known.
    """
    if name in out or ("*" in out and name in defines):
        return f"a name that comes back is read with .ns: write .ns.{name}"
    if name in defines:
        return (
            f"this task's cell has no -o {name}: add `-o {name}` to its %%task and run it again, then read .ns.{name}"
        )
    problem = f"a TaskFuture has no attribute {name!r}"
    if meant := _ELSEWHERE.get(name.lower()) or nearest(name, known):
        return f"{problem}; did you mean .{meant}?"
    if is_cell and not defines:
        return f"{problem}; a name that its cell brings back with -o is read as .ns.{name}"
    return problem
