"""The requests at which controllers have failed.

A request whose handling raises an error ends the controller, and its client sends it again to the next one: a single
request could end each controller, for ever. So the controller tells the supervisor which request it was, the supervisor
tells the next controllers, and what two of them have failed at is refused. One failure may be by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from taskfc_ext.errors import TaskFCError
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.ids import Session
from taskfc_ext.protocol.supervisor_messages import RequestFailed

T = TypeVar("T")

REFUSED_AFTER = 2
"""Failures after which a request is refused."""

_LONGEST = 500
"""Characters of an error that are told."""


class FailedRequests:
    """The failures of earlier controllers, and the request that is handled now.

    Attributes:
        handled: its client and its number; `None`: no request is handled.
    """

    def __init__(self) -> None:
        self.handled: tuple[Session, int] | None = None
        self._failures: Counter[tuple[Session, int]] = Counter()
        self._errors: dict[tuple[Session, int], str] = {}

    def note(self, failure: RequestFailed) -> None:
        """Note the failure of a controller before this one."""
        request = (Session(failure.session), failure.seq)
        self._failures[request] += 1
        self._errors[request] = failure.error

    def refusal(self, session: Session, seq: int) -> Refused | None:
        """Return why a request is not handled; `None`: it is."""
        if not self._failures or self._failures[session, seq] < REFUSED_AFTER:
            return None
        text = f"{self._failures[session, seq]} controllers failed while they handled this request: "
        hint = "nothing else is lost; the tracebacks are in the log of the controller, please report them"
        return Refused(seq, ErrorKind.FAILED, text + self._errors[session, seq], hint)

    @contextmanager
    def reporting(self, send: Callable[[RequestFailed], object]) -> Iterator[None]:
        """Send what was handled when an error ends this block, unless the error tells what is wrong with the farm."""
        try:
            yield
        except TaskFCError:
            raise
        except Exception as error:
            if self.handled is not None:
                send(RequestFailed(*self.handled, f"{type(error).__name__}: {error}"[:_LONGEST]))
            raise

    def run(self, session: Session, seq: int, make: Callable[[], T]) -> T:
        """Return what `make` returns; it does so for this request."""
        self.handled = (session, seq)
        made = make()
        self.handled = None
        return made

    def each(self, session: Session, seq: int, made: Iterable[T]) -> Iterator[T]:
        """Yield each of `made`, which is made for this request when it is taken."""
        self.handled = (session, seq)
        for part in made:
            self.handled = None
            yield part
            self.handled = (session, seq)
        self.handled = None
