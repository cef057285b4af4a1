"""Namespaces of a worker: a fresh `__main__` for each attempt, and a persistent one."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from taskfc_ext.serialize.scope import ABSENT, Host, new_main

MAX_UNCOLLECTED = 200 * 2**20
"""Bytes that classes of attempts, which are cycles, may leave to the garbage collector before it is called."""


class Attempt:
    """The namespace of one attempt, released at its end.

    It is kept while a thread of the attempt still runs, which needs the names.

    Args:
        host: the namespace.
        size: of the attempt's body, in bytes.
    """

    def __init__(self, host: Host, size: int) -> None:
        self.host = host
        self._size = size
        self._n_threads = threading.active_count()

    def end(self) -> int:
        """Release the namespace; return the bytes that are left to the garbage collector."""
        left = self._size if self.host.classes else 0
        if threading.active_count() <= self._n_threads:
            self.host.release()
        return left


class Namespaces:
    """The namespaces of a worker.

    Attributes:
        kept: the persistent namespace.
    """

    def __init__(self) -> None:
        self._base: dict[str, Any] = {}
        self._broadcast: dict[str, Any] = {}
        self._attempts: list[Attempt] = []
        self._uncollected = 0
        self.kept = Host(new_main(), updates=True)

    def add_everywhere(self, names: Mapping[str, Any]) -> None:
        """Add names to each namespace of source from now on, and to the persistent one at once."""
        self._base.update(names)
        self.kept.main.__dict__.update(names)

    def fresh(self) -> Host:
        """Return a namespace without names of earlier tasks; it lasts until `end_attempt`."""
        host = Host(new_main(self._base))
        self.begin_attempt(host, 0)
        return host

    def begin_attempt(self, host: Host, size: int) -> None:
        """Register a namespace for release at the end of the attempt. There are two if `depend` needs its own."""
        self._attempts.append(Attempt(host, size))

    def end_attempt(self) -> None:
        """Release the namespaces of the attempt."""
        while self._attempts:
            self._uncollected += self._attempts.pop().end()
        if self._uncollected > MAX_UNCOLLECTED:
            self._uncollected = 0
            gc.collect()

    def clear(self) -> None:
        """Remove the names that tasks have left in the persistent namespace; names of broadcasts stay."""
        names = self.kept.main.__dict__
        names.clear()
        names.update(new_main(self._base).__dict__)
        names.update(self._broadcast)
        self.kept.forget()

    @contextmanager
    def broadcasting(self) -> Iterator[ModuleType]:
        """Let names that are bound in the persistent namespace meanwhile survive every clearing."""
        names = self.kept.main.__dict__
        before = dict(names)
        try:
            yield self.kept.main
        finally:
            made = {name: value for name, value in names.items() if before.get(name, ABSENT) is not value}
            earlier = {name: value for name, value in self._broadcast.items() if name in names or name not in before}
            self._broadcast = {**earlier, **made}
