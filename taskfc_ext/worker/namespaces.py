"""The `__main__`s of a worker: a fresh one for each attempt, and one that outlives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from taskfc_ext.serialize.scope import ABSENT, Host, new_main


class Namespaces:
    """Makes and keeps them.

    Attributes:
        kept: the persistent one.
    """

    def __init__(self) -> None:
        self._base: dict[str, Any] = {}
        self._broadcast: dict[str, Any] = {}
        self.kept = Host(new_main(), updates=True)

    def add_everywhere(self, names: Mapping[str, Any]) -> None:
        """Have names in each namespace of source from now on, and in the persistent one at once."""
        self._base.update(names)
        self.kept.main.__dict__.update(names)

    def fresh(self) -> Host:
        """Return one for source that is to find nothing of earlier tasks."""
        return Host(new_main(self._base))

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
