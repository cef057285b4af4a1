"""`TaskGroup`: the tasks of one map."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar, overload

from taskfc_ext.border import all_at_border, at_border
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.waiting import drive
from taskfc_ext.client.group.completed import AsCompleted
from taskfc_ext.client.group.counts import GroupCounter, GroupCounts, end_of
from taskfc_ext.client.group.frame import input_names, make_frame
from taskfc_ext.client.group.results import ends_of, results_of
from taskfc_ext.client.submit.options import check_wait
from taskfc_ext.protocol.ids import ranges_of
from taskfc_ext.protocol.infos import TaskProgress
from taskfc_ext.text import plural

if TYPE_CHECKING:
    import pandas

R = TypeVar("R")
T = TypeVar("T")


class Call(NamedTuple):
    """The call of a map.

    Attributes:
        function: the function.
        columns: for each argument of the function, its values for all items.
        n_items: the number of items.
        chunksize: the number of items of a task.
    """

    function: Callable[..., Any]
    columns: Sequence[Sequence[Any]]
    n_items: int
    chunksize: int = 1

    def items_of(self, place: int) -> range:
        """Return the items of the task at this place."""
        return range(min(place * self.chunksize, self.n_items), min((place + 1) * self.chunksize, self.n_items))


@all_at_border
class TaskGroup(Sequence["TaskFuture[R]"], Generic[R]):
    """The tasks of one map: a sequence of their futures. `map_async` and `map(block=False)` return one.

    Its length is the number of tasks. With `chunksize` a task has several items; `counts`, results and `to_frame` are
    about the items. It can be awaited, for the list of results. In a notebook its display is a card with a bar, the
    first failures, and buttons. It keeps the inputs and the results alive.

    Args:
        futures: of the tasks.
        call: the map.

    Attributes:
        submitted: when it was submitted, in seconds since the epoch.
    """

    def __init__(self, futures: Sequence[TaskFuture[R]], call: Call) -> None:
        self._futures = list(futures)
        self._call = call
        self._counter = GroupCounter(self._futures, call.items_of)
        self._n_before = 0  # items that had ended when the tasks of now were submitted
        self.submitted = self._began = time.time()
        self._ranges: tuple[int, tuple[tuple[int, int], ...]] = (-1, ())  # after so many replacements

    # the sequence

    def __len__(self) -> int:
        return len(self._futures)

    @overload
    def __getitem__(self, place: int) -> TaskFuture[R]: ...

    @overload
    def __getitem__(self, place: slice) -> list[TaskFuture[R]]: ...

    @at_border
    def __getitem__(self, place: int | slice) -> TaskFuture[R] | list[TaskFuture[R]]:
        if isinstance(place, slice):
            return self._futures[place]
        try:
            return self._futures[place]
        except IndexError:
            raise IndexError(f"there is no task at {place}: {self!r} has {plural(len(self), 'task')}") from None
        except TypeError:
            raise TypeError(f"tasks of a group are given by their place, such as group[0], not {place!r}") from None

    def __iter__(self) -> Iterator[TaskFuture[R]]:
        return iter(self._futures)

    # results

    def result(self, timeout: float | None = None) -> list[R]:
        """Return the results of all items in their order, when all tasks have ended.

        Raises:
            Exception: that of the first item that failed, with a note: the others are in `failed`.
            TimeoutError: some have not ended after `timeout` seconds.
        """
        timeout = check_wait(timeout)
        return self._drive(self._results(), timeout)

    def __await__(self) -> Generator[Any, Any, list[R]]:
        return self._results().__await__()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all tasks have ended, in any state; return whether they have after `timeout` seconds."""
        timeout = check_wait(timeout)
        try:
            self._drive(self._ends(), timeout)
        except TimeoutError:
            return False
        return True

    def as_completed(self) -> AsCompleted:
        """Return an iterator over the futures, in the order in which their tasks end: for `for` and `async for`."""
        return AsCompleted(self._futures)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the farm has accepted all tasks; return whether it has after `timeout` seconds."""
        timeout = check_wait(timeout)
        if not self._futures or all(future.accepted for future in self._futures):
            return True
        try:
            drive(self._futures[0].owner.wait_until_accepted(), timeout)
        except TimeoutError:
            return False
        return True

    def done(self) -> bool:
        """Return whether all tasks have ended, in any state. Never blocks."""
        return self._counter.are_all_done()

    def to_frame(self) -> pandas.DataFrame:
        """Return a pandas `DataFrame` with a row for each item, now: unfinished items have no result yet.

        Its columns are the inputs, under the names of the function's parameters, then *result*, *error* (type and
        text), *state*, and those of the item's task: *seconds* of its last attempt, *attempts*, *started*, *completed*,
        *taskid*, *worker*.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        names = input_names(self._call.function, len(self._call.columns))
        tasks = [(future, self._results_at(place)) for place, future in enumerate(self._futures)]
        return make_frame(tasks, names, self._call.columns)

    # progress

    @property
    def counts(self) -> GroupCounts:
        """The numbers of items: total, succeeded, failed, aborted; also done and unfinished. Never blocks."""
        return self._counter.read()

    @property
    def progress(self) -> TaskProgress:
        """The number of items that have ended, and of all. Never blocks."""
        counts = self.counts
        return TaskProgress(done=counts.done, total=counts.total)

    @property
    def failed(self) -> list[TaskFuture[R]]:
        """The futures of the tasks that have failed, or were aborted or cancelled, in their order. Never blocks."""
        return [self._futures[place] for place in sorted(self._places_of_failed())]

    @property
    def seconds(self) -> float:
        """The seconds from the submission to the end, or until now. `retry_failed` starts them again."""
        end = self._counter.last_end if self.done() else time.time()
        return max(0.0, end - self._began)

    @property
    def throughput(self) -> float:
        """The items that have ended in a second, on average."""
        seconds = self.seconds
        return (self.counts.done - self._n_before) / seconds if seconds > 0 else 0.0

    def failed_tasks(self) -> list[TaskFuture[R]]:
        """Return the futures of failed tasks, not of aborted ones, as `counts` noticed them."""
        unsuccessful = (self._futures[place] for place in self._counter.unsuccessful)
        return [future for future in unsuccessful if end_of(future) == "failed"]

    # the tasks

    @property
    def label(self) -> str:
        """The name of the function."""
        return self._futures[0].label if self._futures else getattr(self._call.function, "__name__", "")

    @property
    def chunksize(self) -> int:
        """The number of items of a task."""
        return self._call.chunksize

    @property
    def farm(self) -> str:
        """The name of the farm; empty for a map of no items."""
        return self._futures[0].farm if self._futures else ""

    @property
    def id_ranges(self) -> tuple[tuple[int, int], ...]:
        """The first and the last id of each range of tasks; empty until all are accepted. For this package."""
        n_replaced = self._counter.n_replaced
        known, ranges = self._ranges
        if known != n_replaced and all(future.accepted for future in self._futures):
            ranges = ranges_of(future.taskid for future in self._futures if future.taskid is not None)
            self._ranges = n_replaced, ranges
            return ranges
        return ranges if known == n_replaced else ()

    def abort(self) -> int:
        """Stop the tasks that have not ended, running or not; return their number. Their results raise `TaskAborted`.

        Raises:
            ControllerLost: the controller is suspended.
        """
        unfinished = [future for future in self._futures if not future.done()]
        return drive(unfinished[0].owner.abort_all(unfinished)) if unfinished else 0

    def retry_failed(self) -> list[TaskFuture[R]]:
        """Run the tasks of `failed` again, as `TaskFuture.retry` does; return the new futures.

        They take the places of the failed ones in this group, so that `result` gives the whole list again.

        Raises:
            UnknownTask: a task was cleared, or never accepted.
            ResultExpired: a result that a task takes was cleared.
        """
        places = sorted(self._places_of_failed())
        if not places:
            return []
        old = [self._futures[place] for place in places]
        new = drive(old[0].owner.retry_all(old))
        self._put(dict(zip(places, new, strict=True)))
        return new

    def replace(self, new: Callable[[str, int], TaskFuture | None]) -> None:
        """Put the futures of retried tasks into the places of the old ones.

        Args:
            new: returns the new future, by the farm and the id of the old task; `None` for a task that was not retried.
        """
        retried = {
            place: future
            for place, old in enumerate(self._futures)
            if old.taskid is not None and (future := new(old.farm, old.taskid)) is not None
        }
        if retried:
            self._put(retried)

    async def follow_again(self) -> None:
        """Follow tasks whose waits ended with a stop of the farm, if it runs again. `result` and `wait` do so.

        Raises:
            UnknownTask: one was cleared, or the farm has a fresh store.
        """
        places = [place for place, future in enumerate(self._futures) if future.is_given_up]
        if places:
            old = [self._futures[place] for place in places]
            new = await old[0].owner.follow_again(old)
            self._put(dict(zip(places, new, strict=False)))  # none, if the farm does not run

    # inside

    async def _results(self) -> list[R]:
        await self.follow_again()
        return await results_of(self, others="group.failed")

    async def _ends(self) -> None:
        await self.follow_again()
        await ends_of(self)

    def _put(self, new: Mapping[int, TaskFuture]) -> None:
        if not new:
            return
        self._counter.replace(new)
        self._n_before, self._began = self.counts.done, time.time()

    def _drive(self, coroutine: Coroutine[Any, Any, T], timeout: float | None) -> T:
        try:
            return drive(coroutine, timeout)
        except TimeoutError:
            if self.done():
                raise  # a task's own
            counts = self.counts
            message = f"{counts.unfinished:,} of {counts.total:,} items have not ended after {timeout:g} s"
            raise TimeoutError(message) from None

    def _places_of_failed(self) -> list[int]:
        self._counter.read()
        return self._counter.unsuccessful

    def _results_at(self, place: int) -> Sequence[Any]:
        """Return the results of the items of a task; `None` for each where it has none."""
        future, n_items = self._futures[place], len(self._call.items_of(place))
        if not future.done() or end_of(future) != "succeeded":
            return [None] * n_items
        result: Any = future.result()
        return [result] if self._call.chunksize == 1 else result

    def __repr__(self) -> str:
        counts = self.counts
        failed = f", {counts.failed + counts.aborted:,} failed" if counts.failed + counts.aborted else ""
        return f"<TaskGroup {self.label}: {counts.done:,} of {counts.total:,} done{failed}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TaskGroup cannot be sent to a task: pass its result(), or some of its futures as arguments")
