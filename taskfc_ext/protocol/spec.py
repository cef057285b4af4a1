"""`Spec`: the facts that the tasks of a batch share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import CellId, Digest, Label, Priority, Seconds
from taskfc_ext.protocol.limits import MAX_PACKS, MAX_RETRIES, MAX_SEED
from taskfc_ext.protocol.resources import Needs

Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]


class Kind(StrEnum):
    """The form of a task's code and body."""

    FUNCTION = "function"  # code: pickled callable; body: pickled (args, kwargs)
    STRING = "string"  # code: source text; body: pickled (push dict, pull names); the persistent namespace
    CELL = "cell"  # code: source text; body: pickled (names dict, out names); a fresh namespace unless `keep`
    VALUE = "value"  # code: empty; body: the pickled value; the task has ended as soon as it is accepted


class OnLost(StrEnum):
    """The fate of a task whose worker died while it ran."""

    RETRY = "retry"  # at least once
    FAIL = "fail"  # at most once


class Recovery(Struct, frozen=True, forbid_unknown_fields=True):
    """The task that runs under the same id after the last attempt of the first one has failed."""

    spec: Spec
    body: bytes


class Origin(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The cell of a notebook that tasks come from.

    Attributes:
        cell: identifies it in its notebook; empty: the tasks come from no cell.
        key: digest of all that their result depends on; empty where it is not known.
    """

    cell: CellId = ""
    key: Annotated[bytes, Meta(max_length=16)] = b""


NO_CELL = Origin()


def is_from(origin: Origin, wanted: Origin) -> bool:
    """Return whether `origin` has the cell and the key in `wanted`; what is empty there is any."""
    return wanted.cell in ("", origin.cell) and wanted.key in (b"", origin.key)


class Spec(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The options and the code that a batch of tasks shares.

    `code`, `depend`, `retry_on`, `context` and `modules` are digests of bodies that an earlier `Define` sent.

    Attributes:
        timeout: seconds of one attempt.
        priority: higher goes first.
        backoff: seconds before the first retry.
        context: the execution context; `None`: the worker's own.
        modules: the user's own modules, in few bodies: a spec stays small, and an edit sends few of them again.
        retry_timeouts: `retry_on` covers `TaskTimeout`, which only the controller raises.
        retry_memory: `retry_on` covers `MemoryLimitExceeded`, which only the controller raises.
        seed: seeds the random number generators before each attempt.
        needs: the resources that an attempt holds while it runs; `None`: it names none.
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
    retry_memory: bool = True
    clear_before: bool = False
    clear_after: bool = False
    keep: bool = False
    seed: Seed | None = None
    needs: Needs | None = None
    recovery: Recovery | None = None

    @property
    def recovery_bytes(self) -> int:
        """The bytes of the arguments of its recovery task, of that one's recovery task, and so on."""
        n, spec = 0, self
        while spec.recovery is not None:
            n, spec = n + len(spec.recovery.body), spec.recovery.spec
        return n

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """The digests of all bodies that a worker needs for an attempt; the recovery task has its own."""
        named = self.context, self.code, self.depend, self.retry_on
        return (*self.modules, *[digest for digest in named if digest is not None])
