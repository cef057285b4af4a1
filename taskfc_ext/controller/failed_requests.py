"""The requests at which controllers have failed.

A request whose handling raises an error ends the controller, and its client sends it again to the next one: a single
request could end each controller, for ever. So the controller reports to the supervisor which request it was, and the
supervisor passes that on to the next controllers. What two of them have failed at is refused; one failure may be by
chance. A client is refused as a whole when four have failed at what it sent: the same fault may meet it under another
number, such as when it asks for its results again.
"""

from __future__ import annotations

import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.ids import Session
from taskfc_ext.protocol.supervisor_messages import RequestFailed

T = TypeVar("T")

_END: Any = object()

REQUEST_REFUSED_AFTER = 2
"""Failures after which a request is refused."""

CLIENT_REFUSED_AFTER = 4
"""Failures after which a client is refused."""

LONGEST_ERROR = 500
"""Bytes of an error that are reported."""

_NOT_ITS_FAULT = (StoreError, OSError, sqlite3.OperationalError)
"""Errors that say that the machine, or the store as a whole, does not work at present."""

_HINT = "nothing else is lost; the tracebacks are in the log of the controller: please report them"


class FailedRequests:
    """The failures of earlier controllers, and the request that is handled now."""

    def __init__(self) -> None:
        self._handled: tuple[Session, int] | None = None
        self._of_request: Counter[tuple[Session, int]] = Counter()
        self._of_client: Counter[Session] = Counter()
        self._last: dict[Session, str] = {}

    def note(self, failure: RequestFailed) -> None:
        """Note the failure of a controller before this one."""
        session = Session(failure.session)
        self._of_request[session, failure.seq] += 1
        self._of_client[session] += 1
        self._last[session] = failure.error

    def refusal(self, session: Session, seq: int) -> Refused | None:
        """Return why a request is refused, or its whole client; `None` if neither is.

        Args:
            session: the client's.
            seq: the number of the request; 0: the message has none.
        """
        if not self._last:
            return None
        if self._of_client[session] >= CLIENT_REFUSED_AFTER:
            text = f"{self._of_client[session]} controllers failed while they handled requests of this client; the last"
            return Refused(0, ErrorKind.FAILED, f"{text} error: {self._last[session]}", _HINT)
        n = self._of_request[session, seq] if seq else 0
        if n >= REQUEST_REFUSED_AFTER:
            text = f"{n} controllers failed while they handled this request: {self._last[session]}"
            return Refused(seq, ErrorKind.FAILED, text, _HINT)
        return None

    def begin(self, session: Session | None, seq: int = 0) -> None:
        """Note that a message of this client is handled from now on, or something is made for it.

        Args:
            session: the client's; `None`: nobody knows which one it is.
            seq: the number of the request; 0: there is none, or it is not known.
        """
        self._handled = None if session is None else (session, seq)

    def end(self) -> None:
        """Note that no client's message is handled any more."""
        self._handled = None

    def run(self, session: Session, seq: int, make: Callable[[], T]) -> T:
        """Return what `make` returns; it is called for this request."""
        outer, self._handled = self._handled, (session, seq)
        made = make()
        self._handled = outer
        return made

    def each(self, session: Session, seq: int, made: Iterable[T]) -> Iterator[T]:
        """Yield each of `made`; each is made for this request, when it is taken."""
        parts = iter(made)
        while True:
            part = self.run(session, seq, lambda: next(parts, _END))
            if part is _END:
                return
            yield part

    @contextmanager
    def reporting(self, send: Callable[[RequestFailed], object]) -> Iterator[None]:
        """Report the request that is handled when an error ends this block, if it may be at fault."""
        try:
            yield
        except _NOT_ITS_FAULT:
            raise
        except Exception as error:
            if self._handled is not None:
                send(RequestFailed(*self._handled, _describe(error)))
            raise


def _describe(error: Exception) -> str:
    text = "".join(traceback.format_exception_only(error)).strip()  # also of an error that has no text to show
    return text.encode("utf-8", "backslashreplace")[:LONGEST_ERROR].decode("utf-8", "ignore")
