"""`mapper` and `parallel`: maps with options, for both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from taskfc_ext.tasks import BaseTask, Depend

R = TypeVar("R")
"""What a map returns: a list, or, from an async client, a coroutine that does."""


class Mapper(Generic[R]):
    """Maps functions over sequences, one task an item, with the options that it was made with.

    Attributes:
        task_controller: the client that made it.
        block: whether `map` waits and returns results; else it returns the taskids.
    """

    def __init__(
        self,
        task_controller: Any,
        run: Callable[..., R],
        *,
        clear_before: bool,
        clear_after: bool,
        retries: int,
        recovery_task: BaseTask | None,
        depend: Depend | None,
        block: bool,
    ) -> None:
        self.task_controller = task_controller
        self.clear_before = clear_before
        self.clear_after = clear_after
        self.retries = retries
        self.recovery_task = recovery_task
        self.depend = depend
        self.block = block
        self._run = run

    def map(self, func: Callable[..., Any], *sequences: Iterable[Any]) -> R:
        """Apply `func` to the items of `sequences`; return the results, or the taskids if this does not `block`."""
        return self._run(func, sequences)

    def adapted(self, task_controller: Any, adapt: Callable[[R], Any]) -> Mapper[Any]:
        """Return the mapper of another client, whose maps are those of this one, put through `adapt`."""

        def run(func: Callable[..., Any], sequences: tuple[Iterable[Any], ...]) -> Any:
            return adapt(self._run(func, sequences))

        return Mapper(
            task_controller,
            run,
            clear_before=self.clear_before,
            clear_after=self.clear_after,
            retries=self.retries,
            recovery_task=self.recovery_task,
            depend=self.depend,
            block=self.block,
        )

    def parallel(self) -> Callable[[Callable[..., Any]], ParallelFunction[R]]:
        """Return the decorator that makes a function a parallel map with these options."""

        def decorate(function: Callable[..., Any]) -> ParallelFunction[R]:
            if not callable(function):
                raise TypeError(
                    f"parallel() decorates a function, not {function!r}: write @client.parallel() above a def"
                )
            return ParallelFunction(function, self)

        return decorate


class ParallelFunction(Generic[R]):
    """A function that was decorated with `parallel()`: called with sequences, it maps over them.

    Attributes:
        func: the function itself.
        mapper: what it is mapped with.
    """

    def __init__(self, func: Callable[..., Any], mapper: Mapper[R]) -> None:
        self.func = func
        self.mapper = mapper
        self.__doc__ = func.__doc__
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, *sequences: Iterable[Any]) -> R:
        return self.mapper.map(self.func, *sequences)

    def __repr__(self) -> str:
        return f"<parallel {self.__name__}>"
