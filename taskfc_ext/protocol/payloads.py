"""Payloads: the user's arguments, code and results, as opaque bytes that only clients and workers unpickle."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

from taskfc_ext.protocol.ids import Count


class PayloadRef(Struct, frozen=True, tag="ref", array_like=True, forbid_unknown_fields=True):
    """Stands for a payload in a file of the store. Only the controller makes them; clients and workers map the file.

    Attributes:
        file: its name.
        size: in bytes.
        crc: the CRC-32 of its content; 0: not known, as of code, which has a digest, and in stores of earlier versions.
        written_ns: the time of its last change when it was written, in ns.
    """

    file: Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
    size: Count
    crc: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    written_ns: int = 0


class Upload(Struct, frozen=True, tag="upload", array_like=True, forbid_unknown_fields=True):
    """Stands for a payload in a file that its sender has written beside the store; the controller links it into it.

    Attributes:
        folder: the sender's own folder.
        file: the name in it.
        size: in bytes.
        crc: as in `PayloadRef`.
        written_ns: as in `PayloadRef`.
    """

    folder: Annotated[str, Meta(pattern=r"\A[0-9a-z]{1,64}\Z")]
    file: Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,16}\Z")]
    size: Annotated[int, Meta(ge=1)]
    crc: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    written_ns: int = 0


Payload = bytes | PayloadRef | Upload
"""Pickled by a client or a worker, and opaque to the controller. Large ones stand in files.

The way of a large one: its sender writes a file and sends an `Upload`; the controller links the file into the store
and sends a `PayloadRef` instead, whose file the receiver maps. Records hold no `Upload`. A field that never stands in a
file has the type `bytes`.
"""


def size_of(payload: Payload) -> int:
    """Return the size of `payload` in bytes."""
    return len(payload) if isinstance(payload, bytes) else payload.size


def bytes_outside_files(payloads: Iterable[Payload]) -> int:
    """Return the bytes of those payloads that stand in no file: they are in the message or the record itself."""
    return sum([len(payload) for payload in payloads if isinstance(payload, bytes)])


class Outcome(IntEnum):
    """The outcome of an attempt, as its worker reports it."""

    OK = 0
    ERROR = 1  # the task raised; a retry may help
    FINAL_ERROR = 2  # the task raised something that `retry_on` does not name
    REFUSED = 3  # `depend` returned a false value or raised; the value is the reason, as text
    NOT_NOW = 4  # the task raised TaskRejectError; the value is a text
    INTERRUPTED = 5  # an interrupt for this lease ended it


class Reason(StrEnum):
    """Why a task has no value."""

    ERROR = "error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    LOST = "lost"
    POISONED = "poisoned"
    DEPENDENCY = "dependency"
    ABORTED = "aborted"
    MEMORY = "memory"  # last: the store keeps the position of each


class Failure(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The value of a task that did not succeed, readable without unpickling.

    Attributes:
        pickled: the exception, for clients; only for the reason `error`.
        parent: the failed dependency.
        of_string: a string task raised it, so its `TaskResult` holds the exception and does not raise it.
    """

    reason: Reason
    message: str
    type_name: str = ""
    traceback: str = ""
    note: str = ""
    pickled: bytes | None = None
    parent: int | None = None
    of_string: bool = False

    @property
    def summary(self) -> str:
        """The text for lists: of the task's own exception with its type, without the module."""
        kind = self.type_name.rpartition(".")[2] if self.reason is Reason.ERROR else ""
        return ": ".join(filter(None, (kind, self.message)))


_encoder = Encoder()
_decoder: Decoder[Failure] = Decoder(Failure)


def encode_failure(failure: Failure) -> bytes:
    """Return `failure` as a payload."""
    return _encoder.encode(failure)


def decode_failure(payload: bytes) -> Failure:
    """Return the failure in `payload`.

    Raises:
        msgspec.DecodeError: it is not a failure.
    """
    return _decoder.decode(payload)
