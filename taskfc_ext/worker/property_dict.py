"""`Properties`: what a worker can say about itself to `depend` functions."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from typing import Any


class Properties(UserDict[str, Any]):
    """A dict that remembers that it was changed. A change within a value is not noticed: assign it again.

    Attributes:
        changed: whether the controller has yet to be told.
    """

    def __init__(self) -> None:
        self.changed = False
        super().__init__()

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self.changed = True

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.changed = True

    def initialize(self, initial: Mapping[str, Any]) -> None:
        """Set what a new worker has: nothing was refused yet, so nobody needs to be told."""
        self.data = dict(initial)
        self.changed = False
