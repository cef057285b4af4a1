"""Types of `submit` and of the maps, for type checkers: the arguments are those of the function, the value its own.

A future may stand for an argument, which `ParamSpec` cannot say: so there are overloads for one to three arguments by
position. The value of a coroutine function of one or two arguments is what it returns when it has been awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, cast, overload

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

Async = Coroutine[Any, Any, R]

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture
    from taskfc_ext.client.group.group import TaskGroup
    from taskfc_ext.client.imap import ItemResults

    Items = Iterable[A | TaskFuture[A]]


class Submit(Protocol):
    """`submit(f, *args, **kwargs)` of the clients and of the executor."""

    @overload
    def __call__(self, f: Callable[P, Async[R]], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R]: ...

    @overload
    def __call__(self, f: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R]: ...

    @overload
    def __call__(self, f: Callable[[A], Async[R]], a: A | TaskFuture[A], /) -> TaskFuture[R]: ...

    @overload
    def __call__(self, f: Callable[[A], R], a: A | TaskFuture[A], /) -> TaskFuture[R]: ...

    @overload
    def __call__(
        self, f: Callable[[A, B], Async[R]], a: A | TaskFuture[A], b: B | TaskFuture[B], /
    ) -> TaskFuture[R]: ...

    @overload
    def __call__(self, f: Callable[[A, B], R], a: A | TaskFuture[A], b: B | TaskFuture[B], /) -> TaskFuture[R]: ...

    @overload
    def __call__(
        self, f: Callable[[A, B, C], R], a: A | TaskFuture[A], b: B | TaskFuture[B], c: C | TaskFuture[C], /
    ) -> TaskFuture[R]: ...

    def __call__(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Queue `f(*args, **kwargs)`; see `FCTaskClient.submit`."""
        ...


def as_submit(method: Callable[..., TaskFuture[Any]]) -> Submit:
    """Give a method the types of `Submit`."""
    return cast("Submit", method)


class BlockingMap(Protocol):
    """`map(func, *sequences)` of the blocking client."""

    @overload
    def __call__(
        self, func: Callable[[A], Async[R]], a: Items[A], /, *, chunksize: int = 1, block: Literal[True] = True
    ) -> list[R]: ...

    @overload
    def __call__(
        self, func: Callable[[A], R], a: Items[A], /, *, chunksize: int = 1, block: Literal[True] = True
    ) -> list[R]: ...

    @overload
    def __call__(
        self,
        func: Callable[[A, B], Async[R]],
        a: Items[A],
        b: Items[B],
        /,
        *,
        chunksize: int = 1,
        block: Literal[True] = True,
    ) -> list[R]: ...

    @overload
    def __call__(
        self, func: Callable[[A, B], R], a: Items[A], b: Items[B], /, *, chunksize: int = 1, block: Literal[True] = True
    ) -> list[R]: ...

    @overload
    def __call__(
        self,
        func: Callable[..., R],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int = 1,
        block: Literal[True] = True,
    ) -> list[R]: ...

    @overload
    def __call__(
        self, func: Callable[..., Async[R]], /, *sequences: Iterable[Any], chunksize: int = 1, block: Literal[False]
    ) -> TaskGroup[R]: ...

    @overload
    def __call__(
        self, func: Callable[..., R], /, *sequences: Iterable[Any], chunksize: int = 1, block: Literal[False]
    ) -> TaskGroup[R]: ...

    @overload
    def __call__(
        self, func: Callable[..., Async[R]], /, *sequences: Iterable[Any], chunksize: int = 1, block: bool
    ) -> list[R] | TaskGroup[R]: ...

    @overload
    def __call__(
        self, func: Callable[..., R], /, *sequences: Iterable[Any], chunksize: int = 1, block: bool
    ) -> list[R] | TaskGroup[R]: ...

    def __call__(
        self, func: Callable[..., Any], /, *sequences: Iterable[Any], chunksize: int = 1, block: bool = True
    ) -> list[Any] | TaskGroup[Any]:
        """Apply `func` to the items of the sequences; see `FCTaskClient.map`."""
        ...


def as_map(method: Callable[..., list[Any] | TaskGroup[Any]]) -> BlockingMap:
    """Give a method the types of `BlockingMap`."""
    return cast("BlockingMap", method)


class AsyncMap(Protocol):
    """`map(func, *sequences)` of the async client."""

    @overload
    def __call__(
        self, func: Callable[[A], Async[R]], a: Items[A], /, *, chunksize: int = 1, block: Literal[True] = True
    ) -> Async[list[R]]: ...

    @overload
    def __call__(
        self, func: Callable[[A], R], a: Items[A], /, *, chunksize: int = 1, block: Literal[True] = True
    ) -> Async[list[R]]: ...

    @overload
    def __call__(
        self,
        func: Callable[[A, B], Async[R]],
        a: Items[A],
        b: Items[B],
        /,
        *,
        chunksize: int = 1,
        block: Literal[True] = True,
    ) -> Async[list[R]]: ...

    @overload
    def __call__(
        self, func: Callable[[A, B], R], a: Items[A], b: Items[B], /, *, chunksize: int = 1, block: Literal[True] = True
    ) -> Async[list[R]]: ...

    @overload
    def __call__(
        self,
        func: Callable[..., R],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int = 1,
        block: Literal[True] = True,
    ) -> Async[list[R]]: ...

    @overload
    def __call__(
        self, func: Callable[..., Async[R]], /, *sequences: Iterable[Any], chunksize: int = 1, block: Literal[False]
    ) -> Async[TaskGroup[R]]: ...

    @overload
    def __call__(
        self, func: Callable[..., R], /, *sequences: Iterable[Any], chunksize: int = 1, block: Literal[False]
    ) -> Async[TaskGroup[R]]: ...

    @overload
    def __call__(
        self, func: Callable[..., Async[R]], /, *sequences: Iterable[Any], chunksize: int = 1, block: bool
    ) -> Async[list[R] | TaskGroup[R]]: ...

    @overload
    def __call__(
        self, func: Callable[..., R], /, *sequences: Iterable[Any], chunksize: int = 1, block: bool
    ) -> Async[list[R] | TaskGroup[R]]: ...

    def __call__(
        self, func: Callable[..., Any], /, *sequences: Iterable[Any], chunksize: int = 1, block: bool = True
    ) -> Async[list[Any] | TaskGroup[Any]]:
        """Apply `func` to the items of the sequences; see `FCTaskClient.map`."""
        ...


def as_async_map(method: Callable[..., Async[list[Any] | TaskGroup[Any]]]) -> AsyncMap:
    """Give a method the types of `AsyncMap`."""
    return cast("AsyncMap", method)


class MapAsync(Protocol):
    """`map_async(func, *sequences)` of both clients."""

    @overload
    def __call__(self, func: Callable[[A], Async[R]], a: Items[A], /, *, chunksize: int = 1) -> TaskGroup[R]: ...

    @overload
    def __call__(self, func: Callable[[A], R], a: Items[A], /, *, chunksize: int = 1) -> TaskGroup[R]: ...

    @overload
    def __call__(
        self, func: Callable[[A, B], Async[R]], a: Items[A], b: Items[B], /, *, chunksize: int = 1
    ) -> TaskGroup[R]: ...

    @overload
    def __call__(
        self, func: Callable[[A, B], R], a: Items[A], b: Items[B], /, *, chunksize: int = 1
    ) -> TaskGroup[R]: ...

    @overload
    def __call__(
        self,
        func: Callable[..., R],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int = 1,
    ) -> TaskGroup[R]: ...

    def __call__(self, func: Callable[..., Any], /, *sequences: Iterable[Any], chunksize: int = 1) -> TaskGroup[Any]:
        """Submit the tasks of a map; see `FCTaskClient.map_async`."""
        ...


def as_map_async(method: Callable[..., TaskGroup[Any]]) -> MapAsync:
    """Give a method the types of `MapAsync`."""
    return cast("MapAsync", method)


class BlockingImap(Protocol):
    """`imap(func, *iterables)` of the blocking client."""

    @overload
    def __call__(
        self, func: Callable[[A], Async[R]], a: Items[A], /, *, window: int | None = None, ordered: bool = True
    ) -> Generator[R, None, None]: ...

    @overload
    def __call__(
        self, func: Callable[[A], R], a: Items[A], /, *, window: int | None = None, ordered: bool = True
    ) -> Generator[R, None, None]: ...

    @overload
    def __call__(
        self,
        func: Callable[[A, B], Async[R]],
        a: Items[A],
        b: Items[B],
        /,
        *,
        window: int | None = None,
        ordered: bool = True,
    ) -> Generator[R, None, None]: ...

    @overload
    def __call__(
        self, func: Callable[[A, B], R], a: Items[A], b: Items[B], /, *, window: int | None = None, ordered: bool = True
    ) -> Generator[R, None, None]: ...

    @overload
    def __call__(
        self,
        func: Callable[..., R],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        /,
        *more: Iterable[Any],
        window: int | None = None,
        ordered: bool = True,
    ) -> Generator[R, None, None]: ...

    def __call__(
        self, func: Callable[..., Any], /, *sequences: Iterable[Any], window: int | None = None, ordered: bool = True
    ) -> Generator[Any, None, None]:
        """Apply `func` to the items of the sequences; see `FCTaskClient.imap`."""
        ...


def as_imap(method: Callable[..., Generator[Any, None, None]]) -> BlockingImap:
    """Give a method the types of `BlockingImap`."""
    return cast("BlockingImap", method)


class AsyncImap(Protocol):
    """`imap(func, *iterables)` of the async client."""

    @overload
    def __call__(
        self, func: Callable[[A], Async[R]], a: Items[A], /, *, window: int | None = None, ordered: bool = True
    ) -> ItemResults[R]: ...

    @overload
    def __call__(
        self, func: Callable[[A], R], a: Items[A], /, *, window: int | None = None, ordered: bool = True
    ) -> ItemResults[R]: ...

    @overload
    def __call__(
        self,
        func: Callable[[A, B], Async[R]],
        a: Items[A],
        b: Items[B],
        /,
        *,
        window: int | None = None,
        ordered: bool = True,
    ) -> ItemResults[R]: ...

    @overload
    def __call__(
        self, func: Callable[[A, B], R], a: Items[A], b: Items[B], /, *, window: int | None = None, ordered: bool = True
    ) -> ItemResults[R]: ...

    @overload
    def __call__(
        self,
        func: Callable[..., R],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        /,
        *more: Iterable[Any],
        window: int | None = None,
        ordered: bool = True,
    ) -> ItemResults[R]: ...

    def __call__(
        self, func: Callable[..., Any], /, *sequences: Iterable[Any], window: int | None = None, ordered: bool = True
    ) -> ItemResults[Any]:
        """Apply `func` to the items of the sequences; see `FCTaskClient.imap`."""
        ...


def as_async_imap(method: Callable[..., ItemResults[Any]]) -> AsyncImap:
    """Give a method the types of `AsyncImap`."""
    return cast("AsyncImap", method)


class ExecutorMap(Protocol):
    """`map(func, *iterables)` of the executor."""

    @overload
    def __call__(
        self, func: Callable[[A], Async[R]], a: Items[A], /, *, timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[R]: ...

    @overload
    def __call__(
        self, func: Callable[[A], R], a: Items[A], /, *, timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[R]: ...

    @overload
    def __call__(
        self,
        func: Callable[[A, B], R],
        a: Items[A],
        b: Items[B],
        /,
        *,
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[R]: ...

    @overload
    def __call__(
        self,
        func: Callable[..., R],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        /,
        *more: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[R]: ...

    def __call__(
        self, func: Callable[..., Any], /, *sequences: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """Apply `func` to the items of the sequences; see `FCTaskClient.map`."""
        ...


def as_executor_map(method: Callable[..., Iterator[Any]]) -> ExecutorMap:
    """Give a method the types of `ExecutorMap`."""
    return cast("ExecutorMap", method)
