"""`Properties`: facts about a worker for `depend` functions."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from typing import Any


class Properties(UserDict[str, Any]):
    """A dict that notes its changes. A change inside a value is not noticed: assign the value again.

    Attributes:
        changed: whether there is a change that the controller has not been notified of.
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
        """Set the properties of a new worker. The controller need not be notified: no task was rejected yet."""
        self.data = dict(initial)
        self.changed = False
