"""Progress of a task: `track`, and the sampler of it and of the task's `tqdm` bars.

`track` only sets a number for each item. The helper thread reads it a few times a second; nothing is sent per item.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from taskfc_ext.protocol.worker_messages import MAX_AMOUNT, MAX_DESCRIPTION, Progress
from taskfc_ext.text import encodable
from taskfc_ext.worker.output.tqdm_bars import Bars

T = TypeVar("T")


class _Mark:
    """Progress of one `track`."""

    __slots__ = ("desc", "is_over", "lease", "n", "total")

    def __init__(self, lease: int, total: object, desc: str) -> None:
        self.lease = lease
        self.n = 0
        self.total = total
        self.desc = desc
        self.is_over = False


def _no_lease() -> int:
    return 0


_running: Callable[[], int] = _no_lease
_outermost: _Mark | None = None


def enable_in_worker(running: Callable[[], int]) -> None:
    """Make `track` report; `running` returns the lease of the running task (0: none)."""
    global _running
    _running = running


def track(iterable: Iterable[T], total: float | None = None, description: str = "") -> Iterator[T]:
    """Iterate over `iterable` and show the progress on the task's card and in lists.

    Outside a task this only iterates. Of nested calls, the outermost one is shown.

    Args:
        iterable: the items.
        total: the number of items; by default `len()` or `operator.length_hint`, if available.
        description: shown beside the progress.

    Raises:
        TypeError: `iterable` is not iterable, or `total` is not a number.
    """
    try:
        iterator = iter(iterable)
    except TypeError:
        raise TypeError(f"track() needs something to iterate over, not {type(iterable).__name__}") from None
    if total is not None and not isinstance(total, int | float):
        raise TypeError(f"track() needs a number as its total, not {type(total).__name__}")
    return _track(iterator, _length(iterable) if total is None else total, str(description))


def _track(iterator: Iterator[T], total: float | None, description: str) -> Iterator[T]:
    global _outermost
    lease = _running()
    before = _outermost
    if not lease or (before is not None and before.lease == lease and not before.is_over):
        yield from iterator
        return
    mark = _outermost = _Mark(lease, total, description)
    n = 0
    try:
        for item in iterator:
            yield item
            n += 1
            mark.n = n
    finally:
        mark.is_over = True


def _length(iterable: object) -> int | None:
    try:
        length = operator.length_hint(iterable, -1)
    except Exception:  # noqa: BLE001  raised by the user's __len__
        return None
    return length if length >= 0 else None


class Sampler:
    """Reader of the running task's progress. Helper thread."""

    def __init__(self) -> None:
        self._bars = Bars()
        self._lease = 0
        self._shows_bar = False

    def sample(self, lease: int, elapsed: float) -> Progress | None:
        """Return the progress of the attempt under `lease`, `None` if it reports none.

        An ended loop keeps its last state until another one starts.

        Args:
            lease: the running attempt.
            elapsed: its run time in seconds.
        """
        if lease != self._lease:
            self._lease, self._shows_bar = lease, False
        mark = _outermost
        is_ours = mark is not None and mark.lease == lease
        if mark is not None and is_ours and not mark.is_over:
            self._shows_bar = False
        elif self._bars.find_open(elapsed):
            self._shows_bar = True
        source = self._bars.outermost if self._shows_bar else mark if is_ours else None
        return (
            None
            if source is None
            else _report(lease, *(getattr(source, name, None) for name in ("n", "total", "desc")))
        )


def _report(lease: int, done: object, total: object, description: object) -> Progress:
    text = description if isinstance(description, str) else ""
    return Progress(
        lease,
        _amount(done) or 0.0,
        _amount(total),
        encodable(text[:MAX_DESCRIPTION].removesuffix(": "))[:MAX_DESCRIPTION],  # tqdm adds the colon itself
    )


def _amount(value: Any) -> float | None:
    """Return a number that can be sent, or `None`: bars may count in any type."""
    try:
        number = float(value)
    except Exception:  # noqa: BLE001  `None`, or the user's own number type
        return None
    return None if math.isnan(number) or not 0 <= number <= MAX_AMOUNT else number
