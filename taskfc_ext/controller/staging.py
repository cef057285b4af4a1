"""Staging of what the controller receives: large payloads go into files of the store, if there is room for them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from taskfc_ext.core.effects import Recall
from taskfc_ext.core.events import Recalled
from taskfc_ext.drivers.paths import uploads_of
from taskfc_ext.drivers.payload_files import may_be_large
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.uploads import UploadGone, find_upload
from taskfc_ext.errors import StorageFull
from taskfc_ext.protocol.client_messages import Define, ErrorKind, Refused
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, Reason, Upload, encode_failure
from taskfc_ext.protocol.worker_messages import Finished, WorkerMessage

logger = logging.getLogger(__name__)


def refuse_missing_file(seq: int, error: UploadGone) -> Refused:
    """Return the refusal of a request whose code or arguments are gone."""
    text = f"the file with the code or the arguments is gone: {error}"
    return Refused(seq, ErrorKind.NOT_ALLOWED, text, "submit again; nothing may be removed from the farm's folder")


class Staging:
    """Writer of large payloads, before the records that refer to them.

    Args:
        store: the store.
        note: notes that there is no room, and tells the core.
        has_room: returns whether there is room for a row with so many bytes; if not, it tells the core.
    """

    def __init__(self, store: Store, note: Callable[[StorageFull], None], has_room: Callable[[int], bool]) -> None:
        self._store = store
        self._note = note
        self._has_room = has_room

    def arguments(self, payloads: tuple[Payload, ...]) -> tuple[Payload, ...]:
        """Return `payloads` with references for large ones; without room as they are, and the core refuses them.

        Raises:
            UploadGone: the file of an `Upload` is not there.
        """
        try:
            return self._store.stage(payloads)
        except StorageFull as error:
            self._note(error)
            return payloads

    def code(self, define: Define) -> Define:
        """Return code with its body in a file of the store, if it is large; a file of it that is missing is made again.

        Raises:
            UploadGone: the file of its `Upload` is not there.
        """
        (body,) = self.arguments((define.body,))
        self._store.restore_code(define.digest, body)
        return Define(define.digest, body)

    def content(self, payload: bytes | Upload) -> bytes:
        """Return the content of `payload`; without room for a row with it nothing, and the core refuses the request.

        Raises:
            UploadGone: its file is not there, or cannot be read.
        """
        if isinstance(payload, bytes):
            return payload
        if not self._has_room(payload.size):
            return b""
        try:
            return find_upload(uploads_of(self._store.path), payload).read_bytes()
        except OSError as error:
            raise UploadGone(str(error)) from error

    def again(self, wanted: Recall, recall: Callable[[Recall], Recalled | Refused]) -> Recalled | Refused:
        """Return the answer of `recall` to `wanted`; without room an empty one, and the core refuses the request.

        The code in the request is staged only now: a commit since it came would have removed its files.
        """
        request = wanted.request
        try:
            if request.context is not None:
                modules = tuple(map(self.code, request.modules))
                request = msgspec.structs.replace(request, context=self.code(request.context), modules=modules)
            return recall(wanted._replace(request=request))
        except UploadGone as error:
            return refuse_missing_file(request.seq, error)
        except StorageFull as error:
            self._note(error)
            return Recalled(wanted.session, wanted.request, ())

    def values(self, frame: bytes, message: WorkerMessage) -> WorkerMessage:
        """Return `message`, which came in `frame`, with its large values in files of the store.

        Raises:
            StorageFull: there is no room, so the message has to wait.
        """
        if not (isinstance(message, Finished) and may_be_large(len(frame), message.values)):
            return message
        try:
            rows = [self._value(*row) for row in zip(message.outcomes, message.values, strict=True)]
        except StorageFull as error:
            self._note(error)
            raise
        outcomes, values = zip(*rows, strict=True)
        return msgspec.structs.replace(message, outcomes=outcomes, values=values)

    def _value(self, outcome: int, value: Payload) -> tuple[int, Payload]:
        try:
            return outcome, self._store.stage([value])[0]
        except UploadGone as error:
            logger.error("the file with a result is gone: %s", error)
            text = "its result was removed from the farm's folder before it was in the store"
            return int(Outcome.ERROR), encode_failure(Failure(Reason.ERROR, text, type_name="StoreError"))
