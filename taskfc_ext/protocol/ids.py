"""The ids of the protocol, and the types of fields that many messages share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, NewType

from msgspec import Meta

from taskfc_ext.protocol.limits import MAX_ID, MAX_PRIORITY, MAX_SECONDS, MAX_WORKERS, TASK_NAME

PROTOCOL = 13
"""Version of the protocol. A peer with another one is refused, with both numbers in the error."""

TaskId = NewType("TaskId", int)
"""Counts up from 0 in a store, never reused."""

WorkerId = NewType("WorkerId", int)
"""Counts up from 0 in a store, never reused: a replacement has a new id. IPython's `engineid`."""

Lease = NewType("Lease", int)
"""One dispatch of one attempt to one worker. Counts up from 1 in a store; grows along a worker's queue."""

UNKNOWN_LEASE = -1
"""Stands for the last lease that a worker started, if its page is destroyed."""

Session = NewType("Session", str)
"""One client's lifetime, across reconnects: 16 random hex digits."""

Count = Annotated[int, Meta(ge=0, le=MAX_ID)]
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
Priority = Annotated[int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
Workers = Annotated[int, Meta(ge=0, le=MAX_WORKERS)]
"""A number of workers."""

Label = Annotated[str, Meta(max_length=200)]
CellId = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(pattern=rf"\A{TASK_NAME}\Z")]
Digest = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""blake2b-128 of a code body. A function or a cell's source is sent and stored once, under its digest."""

SessionField = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
IdField = Annotated[int, Meta(ge=-MAX_ID, le=MAX_ID)]
"""A task id in a request. A negative one is a caller's mistake and is answered, so the codec lets it pass."""


def list_ids(ids: Sequence[int], at_most: int = 5) -> str:
    """Return the first of `ids` as text for a message."""
    return ", ".join(map(str, ids[:at_most])) + (", ..." if len(ids) > at_most else "")


def spans_of(ids: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return the first id and the number of each range of neighbours in `ids`, which are all different."""
    ordered = sorted(ids)
    if not ordered:
        return ()
    begins = [0, *(at for at, (a, b) in enumerate(pairwise(ordered), start=1) if b - a != 1), len(ordered)]
    return tuple((ordered[begin], end - begin) for begin, end in pairwise(begins))


def ranges_of(ids: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return the first and the last id of each range of neighbours in `ids`, which may be given twice."""
    return tuple((first, first + n - 1) for first, n in spans_of(set(ids)))
