"""The `__main__`s of a worker: a fresh one for each attempt, and one that outlives them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from taskfc_ext.serialize.scope import ABSENT, Host, new_main

MAX_UNCOLLECTED = 200 * 2**20
"""Bytes that attempts may leave to the garbage collector in classes, which are cycles, before it is called."""


class Attempt:
    """What one attempt was loaded into, to be let go at its end.

    A thread that the attempt has left behind still finds its names.

    Args:
        host: what it was loaded into.
        size: of its body, in bytes.
    """

    def __init__(self, host: Host, size: int) -> None:
        self.host = host
        self._size = size
        self._n_threads = threading.active_count()

    def end(self) -> int:
        """Let go of it; return how many bytes are left to the garbage collector."""
        left = self._size if self.host.classes else 0
        if threading.active_count() <= self._n_threads:
            self.host.release()
        return left


class Namespaces:
    """Makes and keeps them.

    Attributes:
        kept: the persistent one.
    """

    def __init__(self) -> None:
        self._base: dict[str, Any] = {}
        self._broadcast: dict[str, Any] = {}
        self._attempts: list[Attempt] = []
        self._uncollected = 0
        self.kept = Host(new_main(), updates=True)

    def add_everywhere(self, names: Mapping[str, Any]) -> None:
        """Have names in each namespace of source from now on, and in the persistent one at once."""
        self._base.update(names)
        self.kept.main.__dict__.update(names)

    def fresh(self) -> Host:
        """Return one for source that is to find nothing of earlier tasks; it lasts until `end_attempt`."""
        host = Host(new_main(self._base))
        self.begin_attempt(host, 0)
        return host

    def begin_attempt(self, host: Host, size: int) -> None:
        """Have a namespace released at the end of the attempt. An attempt has two if its `depend` needs its own."""
        self._attempts.append(Attempt(host, size))

    def end_attempt(self) -> None:
        """Let go of what the attempt was loaded into, unless that is kept."""
        while self._attempts:
            self._uncollected += self._attempts.pop().end()
        if self._uncollected > MAX_UNCOLLECTED:
            self._uncollected = 0
            gc.collect()

    def clear(self) -> None:
        """Forget what tasks have left in the persistent one; what broadcasts made stays."""
        names = self.kept.main.__dict__
        names.clear()
        names.update(new_main(self._base).__dict__)
        names.update(self._broadcast)
        self.kept.forget()

    @contextmanager
    def broadcasting(self) -> Iterator[ModuleType]:
        """Let what is bound in the persistent one meanwhile outlive every clearing."""
        names = self.kept.main.__dict__
        before = dict(names)
        try:
            yield self.kept.main
        finally:
            made = {name: value for name, value in names.items() if before.get(name, ABSENT) is not value}
            earlier = {name: value for name, value in self._broadcast.items() if name in names or name not in before}
            self._broadcast = {**earlier, **made}
