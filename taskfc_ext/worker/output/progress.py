"""How far a task is: `track`, and what the helper thread reads of it and of the task's `tqdm` bars.

The user's code writes a number where the helper thread finds it, a few times a second; nothing is sent per item.
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
    """How far one `track` is."""

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
    """From now on `track` reports; `running` says under which lease (0: no task runs)."""
    global _running
    _running = running


def track(iterable: Iterable[T], total: float | None = None, description: str = "") -> Iterator[T]:
    """Iterate over `iterable`, and let the task's card and lists show how far that is.

    Outside a task it only iterates. Of several that are nested, the outermost one is shown.

    Args:
        iterable: what to go through.
        total: how many items there are; by default what `len()` or `operator.length_hint` says, if anything.
        description: shown beside the progress.

    Raises:
        TypeError: `iterable` is not one, or `total` is no number.
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
    except Exception:  # noqa: BLE001  the user's __len__: what it cannot say is unknown
        return None
    return length if length >= 0 else None


class Sampler:
    """Reads how far the running task is. Runs in the helper thread."""

    def __init__(self) -> None:
        self._bars = Bars()
        self._lease = 0
        self._shows_bar = False

    def sample(self, lease: int, elapsed: float) -> Progress | None:
        """Return how far the attempt under `lease`, which has run for `elapsed` seconds, is; `None`: it does not say.

        What has ended stays as it was left, until something else begins.
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
    """Return a number that may be sent, or `None`: bars count in whatever their users do."""
    try:
        number = float(value)
    except Exception:  # noqa: BLE001  None, or a number of the user's own making
        return None
    return None if math.isnan(number) or not 0 <= number <= MAX_AMOUNT else number
