"""Cache of the outputs of running tasks, so that each figure is sent only once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from taskfc_ext.protocol.outputs import all_outputs_of, is_value

KEPT = 64
"""Tasks whose outputs are kept; more than there are live cards at a time."""


class CachedOutputs(NamedTuple):
    """The outputs in the last answer about a task."""

    version: str = ""
    bodies: tuple[bytes, ...] = ()


class OutputCache:
    """The newest known outputs of tasks. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outputs: OrderedDict[int, CachedOutputs] = OrderedDict()

    def get(self, taskid: int) -> CachedOutputs:
        """Return the known outputs of `taskid`; their version belongs in the request."""
        with self._lock:
            return self._outputs.get(taskid, CachedOutputs())

    def update(self, taskid: int, before: CachedOutputs, answer: Any) -> list[dict[str, Any]]:
        """Keep and return the outputs in the `answer` to a request that was made with `before`."""
        bodies = answer["outputs"]
        outputs = before if bodies is None else CachedOutputs(answer["version"], tuple(bodies))
        with self._lock:
            self._outputs[taskid] = outputs
            self._outputs.move_to_end(taskid)
            if len(self._outputs) > KEPT:
                self._outputs.popitem(last=False)
        return outputs_of(outputs.bodies)


def outputs_of(bodies: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return a new list of displays as in a notebook's file, without a cell's value."""
    return [output for output in all_outputs_of(bodies) if not is_value(output)]
