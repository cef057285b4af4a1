"""The options of a submission, checked once, where the user gives them."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, TypedDict

from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.errors import MemoryLimitExceeded, TaskTimeout, UnknownTask
from taskfc_ext.near_misses import OPTIONS, nearest_option
from taskfc_ext.protocol.limits import MAX_ID, MAX_PRIORITY, MAX_RETRIES, MAX_SECONDS, MAX_SEED, TASK_NAME
from taskfc_ext.protocol.resources import Needs
from taskfc_ext.protocol.spec import OnLost
from taskfc_ext.tasks import (
    BaseTask,
    Depend,
    check_cores,
    check_count,
    check_depend,
    check_flag,
    check_gpus,
    check_memory,
    check_recovery,
    check_resources,
    needs_of,
)

Task = TaskFuture | int
"""A task, by future or by id."""


class TaskOptions(TypedDict, total=False):
    """The options of `with_options`."""

    clear_before: bool
    clear_after: bool
    retries: int
    recovery_task: BaseTask | None
    depend: Depend | None
    name: str | None
    priority: int
    timeout: float | None
    after: Task | Sequence[Task]
    after_any: bool
    on_lost: str
    retry_on: type[BaseException] | tuple[type[BaseException], ...] | None
    backoff: float
    seed: int | None
    cores: int | None
    memory: int | str | None
    gpus: int | None
    resources: Mapping[str, int] | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a submission.

    Attributes:
        clear_before: clear the worker's persistent namespace first.
        clear_after: clear it afterwards, also when the task failed.
        retries: number of further attempts when the task fails.
        recovery_task: runs under the same id after the last attempt has failed.
        depend: called on the worker with its properties; a false result rejects the task there.
        name: a name of the task; it means the newest task with that name.
        priority: higher ones go first.
        timeout: seconds of run time that one attempt may take.
        after: futures or ids of tasks that have to succeed first.
        after_any: these only have to end, in any state.
        on_lost: `"retry"` or `"fail"` when its worker dies; `"fail"` never runs it twice.
        retry_on: only these exceptions are worth a retry; `None`: all.
        backoff: seconds before the first retry, doubled for each further one.
        seed: seed of `random`, numpy and torch, for each attempt of each task.
        cores: that an attempt needs; `None`: one, which its thread pools need not respect.
        memory: bytes that it needs and may use.
        gpus: devices that it has alone.
        resources: amounts of the farm's own resources.
    """

    clear_before: bool = False
    clear_after: bool = False
    retries: int = 0
    recovery_task: BaseTask | None = None
    depend: Depend | None = None
    name: str | None = None
    priority: int = 0
    timeout: float | None = None
    after: tuple[Task, ...] = ()
    after_any: bool = False
    on_lost: OnLost = OnLost.RETRY
    retry_on: tuple[type[BaseException], ...] | None = None
    backoff: float = 0.0
    seed: int | None = None
    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    resources: Mapping[str, int] | None = None

    def with_changes(self, changes: dict[str, Any]) -> Options:
        """Return these options with `changes`, each of them checked.

        Raises:
            TypeError: no such option, or a value of the wrong type.
            ValueError: a value out of its range.
        """
        checked = {}
        for name, value in changes.items():
            check = _CHECKS.get(name)
            if check is None:
                raise TypeError(f"there is no option {name!r}{_near_miss(name)}")
            checked[name] = check(value)
        return replace(self, **checked)

    def of_task(self, task: BaseTask) -> Options:
        """Return these options with those of a `MapTask` or a `StringTask` in their place.

        The resources of the client stay, if the task names none.
        """
        named = ("cores", "memory", "gpus", "resources")
        resources: dict[str, Any] = {name: value for name in named if (value := getattr(task, name)) is not None}
        return replace(
            self,
            **resources,
            clear_before=task.clear_before,
            clear_after=task.clear_after,
            retries=task.retries,
            recovery_task=task.recovery_task,
            depend=task.depend,
        )

    @property
    def needs(self) -> Needs | None:
        """The resources as a submission has them."""
        return needs_of(self.cores, self.memory, self.gpus, self.resources)

    @property
    def retries_memory(self) -> bool:
        """Whether `retry_on` covers an attempt that used too much memory, which only the supervisor notices."""
        return self.retry_on is None or any(issubclass(MemoryLimitExceeded, kind) for kind in self.retry_on)

    @property
    def retries_timeouts(self) -> bool:
        """Whether `retry_on` covers a timeout, which only the controller notices."""
        return self.retry_on is None or any(issubclass(TaskTimeout, kind) for kind in self.retry_on)


def _near_miss(name: str) -> str:
    near = nearest_option(name, OPTIONS)
    return f"; did you mean {near!r}?" if near else f"; there are {', '.join(OPTIONS)}"


def check_no_option(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that `function` does not take and that are, or mean, options of a submission.

    Raises:
        TypeError: one is; the message says how it is given.
    """
    near = {name: option for name in kwargs if (option := _option_near(name))}
    if not near:
        return  # before the signature, which takes longer than the rest of a submission
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of C code
        return
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for name, option in near.items():
        if name not in parameters:
            what = getattr(function, "__name__", type(function).__name__)
            raise TypeError(f"{what}() takes no {name}=; options are given as with_options({option}=...).submit(...)")


@lru_cache(maxsize=1024)
def _option_near(name: str) -> str:
    return nearest_option(name, OPTIONS)


def _check_retries(value: object) -> int:
    retries = check_count("retries", value)
    if retries > MAX_RETRIES:
        raise ValueError(f"retries is at most {MAX_RETRIES:,}, not {retries:,}")
    return retries


def _check_name(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"name is a str, not {value!r}")
    if not re.fullmatch(TASK_NAME, value):
        raise ValueError(f"name is a letter or _ and then letters, digits, _, . or -, at most 100, not {value!r}")
    return value


def check_priority(value: object) -> int:
    """Return `value` if it is a priority, else raise a `TypeError` or a `ValueError` that shows it."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"priority is an int, not {value!r}")
    if abs(value) > MAX_PRIORITY:
        raise ValueError(f"priority is from -{MAX_PRIORITY:,} to {MAX_PRIORITY:,}, not {value:,}")
    return value


def check_seconds(name: str, value: object) -> float:
    """Return `value` if it is a number of seconds, else raise a `TypeError` or a `ValueError` that shows it."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"{name} is a number of seconds, from 0 to {MAX_SECONDS:.0e}, not {value!r}")
    return float(value)


def check_wait(timeout: object) -> float | None:
    """Return a time limit in seconds; `None` and infinity mean no limit."""
    return None if timeout is None or timeout == math.inf else check_seconds("timeout", timeout)


def _check_timeout(value: object) -> float | None:
    if value is None:
        return None
    seconds = check_seconds("timeout", value)
    if seconds == 0:
        raise ValueError("timeout is more than 0 seconds; None means no timeout")
    return seconds


def _check_after(value: object) -> tuple[Task, ...]:
    if value is None:
        return ()
    tasks = tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
    for task in tasks:
        if isinstance(task, TaskFuture):
            continue
        if not isinstance(task, int) or isinstance(task, bool):
            raise TypeError(f"after takes futures and task ids, not {task!r}")
        check_id(task)
    return tasks


def _check_on_lost(value: object) -> OnLost:
    try:
        return OnLost(value)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"on_lost is 'retry' or 'fail', not {value!r}") from None


def _check_retry_on(value: object) -> tuple[type[BaseException], ...] | None:
    if value is None:
        return None
    kinds = tuple(value) if isinstance(value, list | tuple) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"retry_on is an exception type or a tuple of them, not {kind!r}")
    return kinds


def _check_seed(value: object) -> int | None:
    if value is None:
        return None
    seed = check_count("seed", value)
    if seed > MAX_SEED:
        raise ValueError(f"seed is at most {MAX_SEED:,}, which is what numpy takes, not {seed:,}")
    return seed


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "clear_before": lambda value: check_flag("clear_before", value),
    "clear_after": lambda value: check_flag("clear_after", value),
    "retries": _check_retries,
    "recovery_task": check_recovery,
    "depend": check_depend,
    "name": _check_name,
    "priority": check_priority,
    "timeout": _check_timeout,
    "after": _check_after,
    "after_any": lambda value: check_flag("after_any", value),
    "on_lost": _check_on_lost,
    "retry_on": _check_retry_on,
    "backoff": lambda value: check_seconds("backoff", value),
    "seed": _check_seed,
    "cores": check_cores,
    "memory": check_memory,
    "gpus": check_gpus,
    "resources": check_resources,
}

assert set(_CHECKS) == {field.name for field in fields(Options)} == set(TaskOptions.__annotations__) == set(OPTIONS)


def check_id(taskid: object) -> int:
    """Return `taskid` if it can be a task's id.

    Raises:
        TypeError: not an int.
        UnknownTask: larger than any id.
    """
    if not isinstance(taskid, int) or isinstance(taskid, bool):
        more = ""
        if isinstance(taskid, TaskFuture):
            more = "; a future has one as .taskid, and methods of its own such as abort()"
        elif isinstance(taskid, str):
            more = "; client.future(name) finds the newest task of a name"
        raise TypeError(f"a taskid is an int, not {taskid!r}{more}")
    if abs(taskid) > MAX_ID:
        raise UnknownTask("there is no task of so large a number", taskid=taskid, hint="ids count up from 0")
    return taskid


def check_sequences(where: str, sequences: Sequence[object]) -> None:
    """Refuse arguments of a map that have no items.

    Raises:
        TypeError: there is none, or one cannot be iterated over.
    """
    if not sequences:
        raise TypeError(f"{where} takes a function and a sequence for each of its arguments: {where}(f, [1, 2])")
    for each in sequences:
        if not isinstance(each, Iterable) and not hasattr(each, "__getitem__"):
            raise TypeError(f"{where} takes sequences behind the function, not {each!r}: {where}(f, [1, 2])")
