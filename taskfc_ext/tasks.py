"""Tasks and results of the class API: `MapTask`, `StringTask`, `TaskResult`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from taskfc_ext.border import at_border
from taskfc_ext.errors import UnpicklableResult
from taskfc_ext.protocol.limits import MAX_RESOURCES, MAX_UNITS, RESOURCE_NAME
from taskfc_ext.protocol.resources import CORES, GPUS, MEMORY, Needs, check_size, parse_size

Depend = Callable[[dict[str, Any]], object]
"""Called on the worker with its properties; the worker rejects the task on a false return value or an exception."""


class BaseTask:
    """Options common to all tasks.

    Args:
        clear_before: clear the worker's persistent namespace before the task runs.
        clear_after: clear it after the task, also when the task failed.
        retries: the number of further attempts when the task fails; on another idle worker if there is one.
        recovery_task: runs under the same taskid when the task has failed for good.
        depend: called on the worker with its properties; the task runs only where this returns true.
        cores: number of cores that the task needs; a task that does not name them counts as one.
        memory: bytes that it needs and may use: an int, or a size such as `"500M"`, `"8G"`, `"1.5GiB"`.
        gpus: number of GPUs, which no other task has meanwhile.
        resources: amounts of the farm's own resources, by name: see `start`.
    """

    def __init__(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        *,
        cores: int | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        resources: Mapping[str, int] | None = None,
    ) -> None:
        self.clear_before = check_flag("clear_before", clear_before)
        self.clear_after = check_flag("clear_after", clear_after)
        self.retries = check_count("retries", retries)
        self.recovery_task = check_recovery(recovery_task)
        self.depend = check_depend(depend)
        self.cores = check_cores(cores)
        self.memory = check_memory(memory)
        self.gpus = check_gpus(gpus)
        self.resources = check_resources(resources)


class MapTask(BaseTask):
    """Call `function(*args, **kwargs)` on a worker; its return value is the task's result.

    Raises:
        TypeError: `function` cannot be called, `args` is not a list or tuple, or `kwargs` is not a dict.
    """

    @at_border
    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        *,
        cores: int | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        resources: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(
            clear_before,
            clear_after,
            retries,
            recovery_task,
            depend,
            cores=cores,
            memory=memory,
            gpus=gpus,
            resources=resources,
        )
        if not callable(function):
            raise TypeError(f"function: {function!r} cannot be called")
        if args is not None and not isinstance(args, list | tuple):
            raise TypeError(f"args is a list or a tuple, not {args!r}")
        if kwargs is not None and not isinstance(kwargs, dict):
            raise TypeError(f"kwargs is a dict, not {kwargs!r}")
        self.function = function
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or {})


class StringTask(BaseTask):
    """Run code in a worker's persistent namespace.

    Args:
        expression: the code, as text.
        pull: the name or names to bring back from the namespace afterwards.
        push: names and values to put into the namespace first.

    Raises:
        TypeError: an argument has the wrong type.
    """

    @at_border
    def __init__(
        self,
        expression: str,
        pull: str | Sequence[str] | None = None,
        push: Mapping[str, Any] | None = None,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        *,
        cores: int | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        resources: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(
            clear_before,
            clear_after,
            retries,
            recovery_task,
            depend,
            cores=cores,
            memory=memory,
            gpus=gpus,
            resources=resources,
        )
        if not isinstance(expression, str):
            raise TypeError(f"expression is a str, not {expression!r}")
        if push is not None and not (isinstance(push, Mapping) and all(isinstance(name, str) for name in push)):
            raise TypeError(f"push is a dict of names, not {push!r}")
        self.expression = expression
        self.pull = check_names("pull", pull)
        self.push = dict(push or {})


class Namespace:
    """Names and values of a finished task, as attributes (`ns.x`) and as items (`ns["x"]`).

    If the task failed, every access raises its exception. Access to a name that could not be pickled raises
    `UnpicklableResult` with the reason.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        failure: BaseException | None = None,
        lost: Mapping[str, str] | None = None,
    ) -> None:
        self.__dict__["_values"] = dict(values)
        self.__dict__["_failure"] = failure
        self.__dict__["_lost"] = dict(lost or {})

    def _get(self) -> dict[str, Any]:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        values: dict[str, Any] = self.__dict__["_values"]
        return values

    @at_border
    def __getattr__(self, name: str) -> Any:
        if re.fullmatch(r"__\w+__|_ipython_\w+_|_repr_\w+_", name):
            raise AttributeError(name)  # front ends and `copy` probe for these: they must not get the task's exception
        values = self._get()
        if name not in values:
            self._check_returned(name)
            raise AttributeError(f"the task has no name {name!r}; it has: {', '.join(values) or 'none'}")
        return values[name]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("the names of a finished task cannot be changed")

    @at_border
    def __getitem__(self, name: str) -> Any:
        values = self._get()
        if name not in values:
            self._check_returned(name)
            raise KeyError(f"the task has no name {name!r}; it has: {', '.join(values) or 'none'}")
        return values[name]

    def _check_returned(self, name: str) -> None:
        check_returned(name, self.__dict__["_lost"])

    def __contains__(self, name: object) -> bool:
        return name in self._get()

    def __iter__(self) -> Iterator[str]:
        return iter(self._get())

    def __len__(self) -> int:
        return len(self._get())

    def __dir__(self) -> list[str]:
        return list(self.__dict__["_values"])

    def __repr__(self) -> str:
        if self._failure is not None:
            return f"<Namespace of a task that failed: {type(self._failure).__name__}>"
        lost = f"; not brought back: {', '.join(self.__dict__['_lost'])}" if self.__dict__["_lost"] else ""
        return f"<Namespace: {', '.join(self.__dict__['_values']) or 'empty'}{lost}>"

    def __reduce__(self) -> tuple[object, ...]:
        return Namespace, (self.__dict__["_values"], self.__dict__["_failure"], self.__dict__["_lost"])


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The end of a task: its values or its failure, and its times.

    Attributes:
        taskid: the task's id.
        engineid: the worker of the last attempt; -1 if there was none.
        results: the pulled values by name; empty after a failure.
        lost: the requested names that could not be pickled, with the reasons.
        failure: the task's exception; `None` after a success.
        submitted: time of acceptance, with time zone.
        completed: time of the end, with time zone.
        duration: run time of the last attempt in seconds.
        attempts: the number of attempts.
    """

    taskid: int
    engineid: int
    results: dict[str, Any] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    failure: BaseException | None = None
    submitted: datetime
    completed: datetime
    duration: float
    attempts: int

    @property
    def keys(self) -> list[str]:
        """The pulled names, in the order of the request."""
        return list(self.results)

    @property
    @at_border
    def ns(self) -> Namespace:
        """The pulled names as attributes and items. Raises the failure if the task failed."""
        self.raise_exception()
        return Namespace(self.results, lost=self.lost)

    @at_border
    def raise_exception(self) -> None:
        """Raise the failure, if any."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)

    @at_border
    def __getitem__(self, name: str) -> Any:
        self.raise_exception()
        check_returned(name, self.lost)
        return self.results[name]


def check_returned(name: str, lost: Mapping[str, str]) -> None:
    """Raise an `UnpicklableResult` with the reason if `name` could not be pickled."""
    if name in lost:
        raise UnpicklableResult(f"{name!r} was not brought back: {lost[name]}")


def check_flag(name: str, value: object) -> bool:
    """Return `value` if it is a bool, else raise a `TypeError`."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, not {value!r}")
    return value


def check_count(name: str, value: object) -> int:
    """Return `value` if it is an int of at least 0, else raise a `TypeError` or a `ValueError`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is an int, not {value!r}")
    if value < 0:
        raise ValueError(f"{name} is at least 0, not {value}")
    return value


def check_recovery(task: object) -> BaseTask | None:
    """Return `task` if it is a task or `None`, else raise a `TypeError`."""
    if task is not None and not isinstance(task, BaseTask):
        raise TypeError(f"recovery_task is a MapTask or a StringTask, not {task!r}")
    return task


def check_depend(depend: Depend | None) -> Depend | None:
    """Return `depend` if it can be called or is `None`, else raise a `TypeError`."""
    if depend is not None and not callable(depend):
        raise TypeError(f"depend is a function of a worker's properties, not {depend!r}")
    return depend


def check_names(argument: str, names: object) -> tuple[str, ...]:
    """Return one name, several names or `None` as a tuple, else raise a `TypeError`."""
    if names is None:
        return ()
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument} is a name or a sequence of names, not {names!r}")
    return tuple(names)


# resources


def needs_of(
    cores: int | None, memory: int | None, gpus: int | None, resources: Mapping[str, int] | None
) -> Needs | None:
    """Return checked needs as a submission has them; `None` if nothing is named."""
    others = tuple(sorted((name, amount) for name, amount in (resources or {}).items() if amount))
    needs = Needs(cores=cores or 0, memory=memory or 0, gpus=gpus or 0, others=others)
    return None if needs == Needs() else needs


def check_cores(value: object) -> int | None:
    """Return `value` if it is a number of cores or `None`, else raise a `TypeError` or a `ValueError`."""
    return None if value is None else _check_amount("cores", value, least=1)


def check_gpus(value: object) -> int | None:
    """Return `value` if it is a number of GPUs or `None`, else raise a `TypeError` or a `ValueError`."""
    return None if value is None else _check_amount("gpus", value)


def check_memory(value: object) -> int | None:
    """Return an amount of memory in bytes, or `None`.

    Raises:
        TypeError: it is neither an int nor a str.
        ValueError: it is not a size, or so small that its unit must be missing.
    """
    if value is None:
        return None
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise TypeError(f"memory is a number of bytes or a size such as '8G', not {value!r}")
    try:
        if isinstance(value, str):
            return parse_size(value)
        check_size(value, f"{value:,}")
    except ValueError as error:
        raise ValueError(f"memory is {error}") from None
    return value


def check_resources(value: object, of: str = "resources") -> dict[str, int] | None:
    """Return amounts of a farm's own resources, by name, or `None`.

    Raises:
        TypeError: it is not a dict of names and ints.
        ValueError: a name or an amount is not possible.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"{of} is a dict of names and amounts, such as {{'licence': 1}}, not {value!r}")
    for name, amount in value.items():
        _check_resource_name(name)
        _check_amount(f"{of}[{name!r}]", amount)
    if len(value) > MAX_RESOURCES:
        raise ValueError(f"{of} has at most {MAX_RESOURCES} names, not {len(value)}")
    return dict(value)


def parse_resources(text: str) -> dict[str, int]:
    """Return the amounts in `text`: `NAME=N`, separated by commas.

    Raises:
        ValueError: it has another form, or a name or an amount is not possible.
    """
    found: dict[str, int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, amount = (each.strip() for each in part.partition("="))
        if not amount.isascii() or not amount.isdecimal():
            raise ValueError(f"takes NAME=N, separated by commas, not {part!r}")
        found[_check_resource_name(name)] = _check_amount(name, int(amount), least=1)
    return found


def _check_resource_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a resource is a str, not {name!r}")
    if name in (CORES, MEMORY, GPUS):
        raise ValueError(f"{name} is an option of its own, not an own resource of a farm")
    if not re.fullmatch(RESOURCE_NAME, name):
        raise ValueError(f"the name of a resource is a letter or _ and then letters, digits, _ . or -, not {name!r}")
    return name


def _check_amount(name: str, value: object, *, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is an int, not {value!r}")
    if value < least:
        raise ValueError(f"{name} is at least {least}, not {value:,}")
    if value > MAX_UNITS:
        raise ValueError(f"{name} is at most {MAX_UNITS:,}, not {value:,}")
    return value
