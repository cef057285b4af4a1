"""Maps: `map` submits all items and waits for all; `mapper` and `parallel` do so with options, for both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import length_hint
from typing import Any, Generic, TypeVar

from taskfc_ext.border import all_at_border, at_border
from taskfc_ext.client.chunk import ForChunk, divide
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.group.group import Call, TaskGroup
from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.client.progress.upload import submitting
from taskfc_ext.client.submit.options import check_sequences
from taskfc_ext.client.submit.submitter import Submitter
from taskfc_ext.protocol.limits import MAX_UNFINISHED
from taskfc_ext.serialize.bound import bind_shared
from taskfc_ext.serialize.chance import carried as carried_generators
from taskfc_ext.serialize.chance import report_repeats
from taskfc_ext.tasks import BaseTask

R = TypeVar("R")
"""Return type of a map: a list, or a coroutine in the async client."""


@all_at_border
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
        options: BaseTask,
        *,
        block: bool,
    ) -> None:
        self.task_controller = task_controller
        self.clear_before = options.clear_before
        self.clear_after = options.clear_after
        self.retries = options.retries
        self.recovery_task = options.recovery_task
        self.depend = options.depend
        self.block = block
        self._options = options
        self._run = run

    def map(self, func: Callable[..., Any], *sequences: Iterable[Any]) -> R:
        """Apply `func` to the items of `sequences`; return the results, or the taskids if this does not `block`."""
        return self._run(func, sequences)

    def adapt_to(self, task_controller: Any, adapt: Callable[[R], Any]) -> Mapper[Any]:
        """Return this mapper for another client; `adapt` converts the values that its maps return."""

        def run(func: Callable[..., Any], sequences: tuple[Iterable[Any], ...]) -> Any:
            return adapt(self._run(func, sequences))

        return Mapper(task_controller, run, self._options, block=self.block)

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
        mapper: the mapper that runs it.
    """

    def __init__(self, func: Callable[..., Any], mapper: Mapper[R]) -> None:
        self.func = func
        self.mapper = mapper
        self.__doc__ = func.__doc__
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    @at_border
    def __call__(self, *sequences: Iterable[Any]) -> R:
        return self.mapper.map(self.func, *sequences)

    def __repr__(self) -> str:
        return f"<parallel {self.__name__}>"


def submit_items(
    submitter: Submitter, func: Callable[..., Any], sequences: Sequence[Iterable[Any]], chunksize: int = 1
) -> TaskGroup[Any]:
    """Submit `func` for each item of `sequences`, or a task for each `chunksize` items; return their group.

    A large object that all items share is sent once.

    Raises:
        TypeError: there is no sequence, or an argument is not one.
        ValueError: they are of different lengths, or more tasks than a client may have.
    """
    if not callable(func):
        raise TypeError(f"map takes the function first: map(f, [1, 2]); {func!r} cannot be called")
    check_sequences("map", sequences)
    columns = [list(sequence) for sequence in sequences]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"the sequences are of different lengths: {', '.join(map(str, lengths))}")
    n_tasks = -(-lengths[0] // chunksize)
    if n_tasks > MAX_UNFINISHED:
        raise ValueError(
            f"the map has {n_tasks:,} tasks, and a client may have {MAX_UNFINISHED:,} unfinished ones: give "
            f"chunksize={-(-lengths[0] // MAX_UNFINISHED)} or more, or use imap(), which keeps only some in the queue"
        )
    call = Call(func, columns, lengths[0], chunksize)
    func, different = bind_shared(func, columns, (TaskFuture,))
    template = submitter.function_template(func if chunksize == 1 else ForChunk(func))
    if carried_generators:
        report_repeats(lengths[0])  # all items get the same state of the generators that the function holds
    first: Iterator[Any] = iter(different[0]) if different else repeat((), lengths[0])
    calls: Iterable[tuple[Any, ...]] = zip(first, *different[1:], strict=True) if different else first
    if chunksize > 1:
        calls = divide(calls, chunksize)
    with submitting(LongWait(lambda: Counts(lengths[0] - length_hint(first), lengths[0]), f"sending {template.label}")):
        return TaskGroup([submitter.submit_call(template, arguments) for arguments in calls], call)
