"""`Spec`: everything about tasks that many of them share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import Digest, Label, Priority, Seconds
from taskfc_ext.protocol.limits import MAX_PACKS, MAX_RETRIES, MAX_SEED

Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]


class Kind(StrEnum):
    """How a worker reads code and body."""

    FUNCTION = "function"  # code: pickled callable; body: pickled (args, kwargs)
    STRING = "string"  # code: source text; body: pickled (push dict, pull names); the persistent namespace
    CELL = "cell"  # code: source text; body: pickled (names dict, out names); a fresh namespace unless `keep`


class OnLost(StrEnum):
    """What becomes of a task whose worker died while it ran."""

    RETRY = "retry"  # at least once
    FAIL = "fail"  # at most once


class Recovery(Struct, frozen=True, forbid_unknown_fields=True):
    """The task that runs, under the same id, when the first one has failed for good."""

    spec: Spec
    body: bytes


class Spec(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The options that a batch of tasks shares, and the code that it runs.

    `code`, `depend`, `retry_on`, `context` and `modules` are digests of bodies sent before in a `Define`; without a
    `context` the code runs where the worker stands. `modules`: the user's own, in few bodies, so that an edit sends few
    of them again and a spec stays small. `timeout` and `backoff` are in seconds. `retry_timeouts` says whether
    `retry_on` covers `TaskTimeout`, which only the controller sees. A higher `priority` goes first. Each attempt begins
    with the generators of random numbers in the state that `seed` gives them.
    """

    kind: Kind
    code: Digest
    label: Label
    retries: Annotated[int, Meta(ge=0, le=MAX_RETRIES)] = 0
    timeout: Seconds | None = None
    priority: Priority = 0
    on_lost: OnLost = OnLost.RETRY
    backoff: Seconds = 0.0
    depend: Digest | None = None
    retry_on: Digest | None = None
    context: Digest | None = None
    modules: Annotated[tuple[Digest, ...], Meta(max_length=MAX_PACKS)] = ()
    retry_timeouts: bool = True
    clear_before: bool = False
    clear_after: bool = False
    keep: bool = False
    seed: Seed | None = None
    recovery: Recovery | None = None

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """The digests of all that a worker needs for an attempt; the recovery task has its own."""
        named = self.context, self.code, self.depend, self.retry_on
        return (*self.modules, *[digest for digest in named if digest is not None])
