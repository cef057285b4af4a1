"""Frames: one msgpack list of messages, decoded once, at the edge, into the union of the messages allowed there."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol.batches import split
from taskfc_ext.protocol.bridge_messages import FromBridge, ToBridge
from taskfc_ext.protocol.client_messages import ControllerMessage, FromClient
from taskfc_ext.protocol.limits import MAX_CLIENT_FRAME, MAX_FRAME, MAX_MESSAGES, MAX_SHARED_FRAME
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.slot_messages import FilesFromWorker, FilesToWorker, FromHost, ToHost
from taskfc_ext.protocol.supervisor_messages import FromSupervisor, ToSupervisor
from taskfc_ext.protocol.worker_messages import ToWorker, WorkerMessage

M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()

_HEADER = struct.Struct(">BH")
_LIST = 0xDC  # of msgpack: the items of a list follow, after their number in two bytes


def encode(messages: Sequence[Message]) -> bytes:
    """Return one frame that carries `messages` in order."""
    return _encoder.encode(messages)


def pack(messages: Iterable[Message]) -> Iterator[bytes]:
    """Yield the frames in which a client sends `messages`, in order: small ones together, a large one alone."""
    parts = map(_encoder.encode, messages)
    for some in split(parts, len, max_bytes=MAX_SHARED_FRAME - _HEADER.size, max_items=MAX_MESSAGES):
        yield _HEADER.pack(_LIST, len(some)) + b"".join(some)


def check_sendable(message: Message) -> None:
    """Refuse a client's message that cannot be sent: it would end the connection, and so would each repetition.

    Raises:
        TypeError, ValueError, OverflowError: a field cannot be encoded.
        ProtocolError: it is too large; the text has the figures.
    """
    size = _HEADER.size + len(_encoder.encode(message))
    if size > MAX_CLIENT_FRAME:
        text = f"this {type(message).__name__} request takes {size:,} bytes, over the limit of {MAX_CLIENT_FRAME:,}"
        raise ProtocolError(text, hint="divide it into several")


def check_fields(kind: type[Message], fields: Mapping[str, object]) -> None:
    """Refuse fields that `kind` does not permit: the peer would refuse the whole frame, and other requests with it.

    Raises:
        TypeError, ValueError: names the first of them.
    """
    try:
        msgspec.msgpack.decode(_encoder.encode(kind(**fields)), type=kind)
    except msgspec.ValidationError as error:
        raise as_argument_error(error, fields) from None


def as_argument_error(error: msgspec.ValidationError, fields: Mapping[str, object]) -> TypeError | ValueError:
    """Return the error of msgspec as that of an argument: `limit=0 is not possible: expected int >= 1`."""
    what, _, path = str(error).replace("`", "").partition(" - at ")
    names = re.findall(r"\w*[a-z]\w*", path)
    field = next((f"{name}={fields[name]!r} is" for name in names if name in fields), "an argument is")
    text = f"{field} not possible: {what[:1].lower()}{what[1:]}"
    return TypeError(text) if ", got " in what else ValueError(text)


class FrameDecoder(Generic[M]):
    """Decoder of the frames that one peer may send; refuses all others.

    Args:
        union: the message types, as a union.
        limit: bytes of a frame. The controller's own frames may be larger: they collect parts of accepted frames.

    Attributes:
        union: as given.
    """

    def __init__(self, union: object, *, limit: int = MAX_FRAME) -> None:
        self.union = union
        self._limit = limit

    # Decoders are built on first use: each takes 2 ms, and no process needs all.

    @cached_property
    def _decoder(self) -> msgspec.msgpack.Decoder[list[M]]:
        return self._decoder_of(MAX_MESSAGES)

    @cached_property
    def _decoder_of_one(self) -> msgspec.msgpack.Decoder[list[M]]:
        return self._decoder_of(1)

    def _decoder_of(self, n: int) -> msgspec.msgpack.Decoder[list[M]]:
        union = self.union
        bounded = Annotated[list[union], Meta(max_length=n)]  # type: ignore[valid-type]
        return msgspec.msgpack.Decoder(bounded)

    def decode(self, frame: bytes | memoryview) -> list[M]:
        """Return the messages of `frame`.

        Raises:
            ProtocolError: it is too large, not msgpack, or breaks a message's schema; the text says where.
        """
        return self._understand(self._decoder, frame)

    def decode_one(self, frame: bytes) -> M:
        """Return the message of a frame that has one.

        Raises:
            ProtocolError: as for `decode`, or it has another number of messages.
        """
        messages = self._understand(self._decoder_of_one, frame)
        if not messages:
            raise ProtocolError(f"a frame of {len(frame):,} bytes has no message")
        return messages[0]

    def _understand(self, decoder: msgspec.msgpack.Decoder[list[M]], frame: bytes | memoryview) -> list[M]:
        if len(frame) > self._limit:
            raise ProtocolError(f"a frame of {len(frame):,} bytes is over the limit of {self._limit:,}")
        try:
            return decoder.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"a frame is not understood: {error}") from error


from_client: FrameDecoder[FromClient] = FrameDecoder(FromClient, limit=MAX_CLIENT_FRAME)
from_controller: FrameDecoder[ControllerMessage] = FrameDecoder(ControllerMessage, limit=sys.maxsize)
from_worker: FrameDecoder[WorkerMessage] = FrameDecoder(WorkerMessage)
to_worker: FrameDecoder[ToWorker] = FrameDecoder(ToWorker, limit=sys.maxsize)
from_supervisor: FrameDecoder[FromSupervisor] = FrameDecoder(FromSupervisor)
to_supervisor: FrameDecoder[ToSupervisor] = FrameDecoder(ToSupervisor)
from_host: FrameDecoder[FromHost] = FrameDecoder(FromHost, limit=sys.maxsize)
to_host: FrameDecoder[ToHost] = FrameDecoder(ToHost, limit=sys.maxsize)
from_bridge: FrameDecoder[FromBridge] = FrameDecoder(FromBridge)
to_bridge: FrameDecoder[ToBridge] = FrameDecoder(ToBridge)
files_from_worker: FrameDecoder[FilesFromWorker] = FrameDecoder(FilesFromWorker)
files_to_worker: FrameDecoder[FilesToWorker] = FrameDecoder(FilesToWorker)
