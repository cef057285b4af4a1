"""Frames: one msgpack list of messages, decoded once, at the edge, into the union of the messages allowed there."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol.bridge_messages import FromBridge, ToBridge
from taskfc_ext.protocol.client_messages import ControllerMessage, FromClient
from taskfc_ext.protocol.limits import MAX_FRAME, MAX_MESSAGES
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.slot_messages import FilesFromWorker, FilesToWorker, FromHost, ToHost
from taskfc_ext.protocol.supervisor_messages import FromSupervisor, ToSupervisor
from taskfc_ext.protocol.worker_messages import ToWorker, WorkerMessage

M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()


def encode(messages: Sequence[Message]) -> bytes:
    """Return one frame that carries `messages` in order."""
    return _encoder.encode(messages)


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

    @cached_property
    def _part_decoder(self) -> msgspec.msgpack.Decoder[M]:
        return msgspec.msgpack.Decoder(self.union)

    @cached_property
    def _decoder(self) -> msgspec.msgpack.Decoder[list[M]]:
        # Built on first use: it takes 2 ms, and no process needs all decoders.
        union = self.union
        bounded = Annotated[list[union], Meta(max_length=MAX_MESSAGES)]  # type: ignore[valid-type]
        return msgspec.msgpack.Decoder(bounded)

    def decode(self, frame: bytes | memoryview) -> list[M]:
        """Return the messages of `frame`.

        Raises:
            ProtocolError: it is too large, not msgpack, or breaks a message's schema; the text says where.
        """
        self._check_size(frame)
        return _understand(self._decoder, frame)

    def split(self, frame: bytes | memoryview) -> list[msgspec.Raw]:
        """Return the messages of `frame` as they are, for `decode_part`: each takes as long as a small frame at most.

        Raises:
            ProtocolError: it is too large, or not a list in msgpack.
        """
        self._check_size(frame)
        return _understand(_splitter, frame)

    def decode_part(self, part: msgspec.Raw) -> M:
        """Return the message in `part`.

        Raises:
            ProtocolError: it breaks the schema; the text says where.
        """
        return _understand(self._part_decoder, part)

    def _check_size(self, frame: bytes | memoryview) -> None:
        if len(frame) > self._limit:
            raise ProtocolError(f"a frame of {len(frame):,} bytes is over the limit of {self._limit:,}")


_splitter = msgspec.msgpack.Decoder(Annotated[list[msgspec.Raw], Meta(max_length=MAX_MESSAGES)])

T = TypeVar("T")


def _understand(decoder: msgspec.msgpack.Decoder[T], content: bytes | memoryview | msgspec.Raw) -> T:
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a frame is not understood: {error}") from error


from_client: FrameDecoder[FromClient] = FrameDecoder(FromClient)
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
