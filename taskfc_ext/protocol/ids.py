"""The ids of the protocol, and the limits that the edge enforces."""

from __future__ import annotations

from typing import Annotated, NewType

from msgspec import Meta

PROTOCOL = 4
"""Version of the wire. A peer that speaks another one is refused with both numbers."""

TaskId = NewType("TaskId", int)
"""Counts up from 0 in a store, never reused."""

WorkerId = NewType("WorkerId", int)
"""Counts up from 0 in a store, never reused: a replaced worker has a new one. The seed's `engineid`."""

Lease = NewType("Lease", int)
"""One hand-over of one attempt to one worker. Counts up from 1 in a store; grows along a worker's queue."""

UNKNOWN_LEASE = -1
"""Stands for the last lease that a worker started, when its page is destroyed and does not tell."""

Session = NewType("Session", str)
"""One client's lifetime, across reconnects: 16 random hex digits."""

MAX_FRAME = 256 * 2**20
"""Bytes in one frame. Larger arguments and results are refused with this figure."""

MAX_BATCH = 4096
"""Tasks in one message: bounds the longest time a turn of the controller may take (about 10 ms)."""

MAX_IDS = 100_000
"""Task ids in one request."""

MAX_MESSAGES = 1024
"""Messages in one frame."""

MAX_BROADCASTS = 1000
"""Broadcasts that a store keeps: the controller holds them in memory, and every new worker runs them all."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
Label = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(pattern=r"\A[A-Za-z_][\w.-]*\Z", max_length=100)]
Digest = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""blake2b-128 of a code body: a function or a cell's source is sent and stored once under it."""

SessionField = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
MAX_ID = 2**53
"""Largest id that can be asked for."""

IdField = Annotated[int, Meta(ge=-MAX_ID, le=MAX_ID)]
"""A task id as a peer gives it: negative ones are a caller's mistake that gets an answer, not a broken peer."""
