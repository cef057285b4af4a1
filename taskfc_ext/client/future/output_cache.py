"""What tasks show, kept between questions, so that looking again at a running task moves its figures only once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from taskfc_ext.protocol.outputs import all_outputs_of, is_value

KEPT = 64
"""Tasks whose outputs are kept; more cards than are looked at together."""


class CachedOutputs(NamedTuple):
    """What a task showed when it was last asked about."""

    version: str = ""
    bodies: tuple[bytes, ...] = ()


class OutputCache:
    """The newest that is known of what tasks show. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[int, CachedOutputs] = OrderedDict()

    def get(self, taskid: int) -> CachedOutputs:
        """Return what is known of `taskid`: its version belongs into the question."""
        with self._lock:
            return self._seen.get(taskid, CachedOutputs())

    def update(self, taskid: int, before: CachedOutputs, answer: Any) -> list[dict[str, Any]]:
        """Return the outputs in the `answer` to a question that was asked with `before`."""
        bodies = answer["outputs"]
        seen = before if bodies is None else CachedOutputs(answer["version"], tuple(bodies))
        with self._lock:
            self._seen[taskid] = seen
            self._seen.move_to_end(taskid)
            if len(self._seen) > KEPT:
                self._seen.popitem(last=False)
        return outputs_of(seen.bodies)


def outputs_of(bodies: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return displays as they stand in a notebook's file, a list of one's own. A cell's value is not among them."""
    return [output for output in all_outputs_of(bodies) if not is_value(output)]
