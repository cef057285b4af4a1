"""What travels for the user: opaque bytes that only clients and workers open."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

from taskfc_ext.protocol.ids import Count


class PayloadRef(Struct, frozen=True, tag="ref", array_like=True, forbid_unknown_fields=True):
    """Stands for a payload in a file of the store. Only the controller makes them, and it sends none."""

    file: Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
    size: Count


Payload = bytes | PayloadRef
"""Pickled by a client or a worker; controller and store never look inside. A large one is a file in the store.

A field that is never put into a file has the type `bytes`.
"""


def size_of(payload: Payload) -> int:
    """Return the bytes of `payload`, wherever it stands."""
    return len(payload) if isinstance(payload, bytes) else payload.size


class Outcome(IntEnum):
    """How an attempt ended, as the worker reports it."""

    OK = 0
    ERROR = 1  # the task raised; a retry may help
    FINAL_ERROR = 2  # the task raised something that `retry_on` does not name
    REFUSED = 3  # `depend` said no; the value is a text, why
    NOT_NOW = 4  # the task raised TaskRejectError; the value is a text
    INTERRUPTED = 5  # the interrupt that named this lease ended it


class Reason(StrEnum):
    """Why a task has no value."""

    ERROR = "error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    LOST = "lost"
    POISONED = "poisoned"
    DEPENDENCY = "dependency"
    ABORTED = "aborted"


class Failure(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The value of a task that did not succeed: readable without unpickling anything.

    `pickled` is the exception itself (`error` only), for clients. `parent` names the failed dependency. `of_string`: it
    is the task's own exception in a string task, whose `TaskResult` holds it instead of raising it.
    """

    reason: Reason
    message: str
    type_name: str = ""
    traceback: str = ""
    note: str = ""
    pickled: bytes | None = None
    parent: int | None = None
    of_string: bool = False


_encoder = Encoder()
_decoder: Decoder[Failure] = Decoder(Failure)


def encode_failure(failure: Failure) -> bytes:
    """Return `failure` as a payload."""
    return _encoder.encode(failure)


def decode_failure(payload: bytes) -> Failure:
    """Return the failure in `payload`.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return _decoder.decode(payload)
