"""Code in the store: the tasks that need it, the clients that may name it, the workers that hold it.

Tasks that were not cleared and broadcasts need code; both are known from the records alone. A client names code that it
has defined on its connection, so before code is dropped that nothing needs, each such client is asked to release it.
The code of a worker is bounded by bytes. The controller decides what it forgets, since it knows what it has to run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec import Struct

from taskfc_ext.protocol.records import Broadcasted, CodeSpan
from taskfc_ext.protocol.spec import Spec

if TYPE_CHECKING:
    from taskfc_ext.core.state.farm import Farm
    from taskfc_ext.core.state.worker import Worker

WORKER_BYTES = 64 * 2**20
"""Bytes of code that a worker holds, unless its tasks need more."""

WORKER_CODES = 4096
"""Code bodies that a worker holds, however small."""


class _Span(Struct):
    """A run of tasks that need the same code, of one batch or of several; `n` of them are not cleared."""

    first: int
    last: int
    n: int
    digests: tuple[bytes, ...]


_first = attrgetter("first")


class Codes:
    """The code in the store, with a count of its needs.

    Attributes:
        sizes: digest -> bytes of the body.
        idle: code that has lost its last need or a client that could name it, and may be dropped.
    """

    def __init__(self) -> None:
        self.sizes: dict[bytes, int] = {}
        self.idle: set[bytes] = set()
        self._needs: Counter[bytes] = Counter()
        self._spans: list[_Span] = []  # by their first task, ascending

    def __contains__(self, digest: bytes) -> bool:
        return digest in self.sizes

    def is_needed(self, digest: bytes) -> bool:
        """Return whether a task or a broadcast needs it."""
        return digest in self._needs

    def needs(self) -> dict[bytes, int]:
        """Return the number of needs of each code: of runs of tasks, and of broadcasts."""
        return dict(self._needs)

    def add_needs(self, digests: Iterable[bytes]) -> None:
        """Count one more need of `digests`."""
        self._needs.update(digests)

    def remove_needs(self, digests: Iterable[bytes]) -> None:
        """Count one less need of `digests`."""
        for digest in digests:
            if self._needs[digest] > 1:
                self._needs[digest] -= 1
            else:
                del self._needs[digest]
                self.idle.add(digest)

    def release_idle(self, digests: Iterable[bytes]) -> None:
        """Note that a client no longer names `digests`."""
        self.idle.update(digest for digest in digests if digest in self.sizes and digest not in self._needs)

    def drop(self, digests: Iterable[bytes]) -> None:
        """Forget code that is gone from the store."""
        for digest in digests:
            self.sizes.pop(digest, None)

    # tasks

    def add_tasks(self, first: int, n: int, spec: Spec) -> None:
        """Count the needs of `n` tasks of `spec`, from `first` on."""
        digests = tuple(dict.fromkeys(all_bodies(spec)))
        last = first + n - 1
        newest = self._spans[-1] if self._spans else None
        if newest is not None and newest.digests == digests:
            newest.last = last
            newest.n += n
            return
        self._append(_Span(first, last, n, digests))

    def clear_tasks(self, taskids: Iterable[int]) -> None:
        """Remove the needs of these tasks, which must exist."""
        span, at = None, -1
        for taskid in taskids:
            if span is None or not span.first <= taskid <= span.last:
                at = bisect_right(self._spans, taskid, key=_first) - 1
                span = self._spans[at]
            span.n -= 1
            if not span.n:
                del self._spans[at]
                self.remove_needs(span.digests)
                span = None

    def _append(self, span: _Span) -> None:
        self._spans.append(span)
        self.add_needs(span.digests)

    def spans(self) -> tuple[CodeSpan, ...]:
        """Return the runs of tasks that need code, as a record has them."""
        return tuple(CodeSpan(span.first, span.last, span.n, span.digests) for span in self._spans)

    @classmethod
    def from_record(cls, sizes: dict[bytes, int], spans: Iterable[CodeSpan]) -> Codes:
        """Return the codes that a record holds."""
        codes = cls()
        codes.sizes = dict(sizes)
        for span in spans:
            codes._append(_Span(span.first, span.last, span.n, span.digests))
        return codes


def all_bodies(spec: Spec) -> Iterator[bytes]:
    """Yield the digests of all code that the tasks of `spec` may need, including recoveries."""
    yield from spec.bodies
    if spec.recovery is not None:
        yield from all_bodies(spec.recovery.spec)


def code_of(broadcast: Broadcasted) -> tuple[bytes, ...]:
    """Return the digests of the code in the store that `broadcast` needs; its own code travels within it."""
    return broadcast.modules if broadcast.context is None else (*broadcast.modules, broadcast.context)


def make_room(farm: Farm, worker: Worker, wanted: Iterable[bytes]) -> tuple[bytes, ...]:
    """Remove the code that `worker` used longest ago, to make room for `wanted`; return what was removed.

    Code that it has still to run stays. All code stays while it has a pending broadcast, which may be cleared here.
    """
    sizes = farm.codes.sizes
    coming = {digest for digest in wanted if digest not in worker.known}
    n_bytes = sum(worker.known.values()) + sum(sizes.get(digest, 0) for digest in coming)
    n_codes = len(worker.known) + len(coming)
    if (n_bytes <= WORKER_BYTES and n_codes <= WORKER_CODES) or worker.pending:
        return ()
    needed = {digest for taskid in worker.leases.values() for digest in farm.tasks[taskid].spec.bodies}
    going = []
    for digest, size in worker.known.items():
        if n_bytes <= WORKER_BYTES // 2 and n_codes <= WORKER_CODES // 2:
            break  # half of it at a time, so that this is not due for each task
        if digest not in needed:
            going.append(digest)
            n_bytes -= size
            n_codes -= 1
    for digest in going:
        del worker.known[digest]
    return tuple(going)


def remove_dropped(farm: Farm, worker: Worker) -> tuple[bytes, ...]:
    """Remove the code of `worker` that the store has dropped, once no pending broadcast may need it; return it."""
    if worker.pending:
        return ()
    going = tuple(digest for digest in worker.known if digest not in farm.codes)
    for digest in going:
        del worker.known[digest]
    return going
