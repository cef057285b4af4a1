"""Displays of an attempt in their current state: figures, tables, HTML, a cell's value. Bounded."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from taskfc_ext.protocol.outputs import DISPLAY, MAX_DISPLAYS, PLAIN_TEXT, VALUE
from taskfc_ext.protocol.worker_messages import Displayed

LARGEST = 7 * 2**20
"""Largest display in bytes: room for a chart with its data. Of a larger one the largest formats are left out."""

KEPT = 8 * 2**20
"""Largest size of all displays of an attempt in bytes: they are in memory, in the store, and in messages."""

DISPLAY_EVERY = 0.25
"""Seconds between two reports of a task's displays."""

PACE = 8 * 2**20
"""Bytes of reports per second beyond that: an animation of large figures must not keep the controller busy."""

_KEPT_COUNT = MAX_DISPLAYS - 1  # one is the note that some are missing


Forms = Mapping[str, Any]
"""Contents by MIME type."""

AtTheEnd = Callable[[], Forms | None]
"""Makes the final contents of a display; `None` if it is removed at the end."""


class _Display:
    """One display. With `at_the_end` it is shown only when the attempt ends."""

    __slots__ = ("at_the_end", "body", "display_id")

    def __init__(self, body: bytes, display_id: str | None) -> None:
        self.body = body
        self.display_id = display_id
        self.at_the_end: AtTheEnd | None = None


class Displays:
    """Current displays of the running attempt. Any thread may add to them.

    Attributes:
        is_used: whether the attempt has shown or cleared a display; if not, `end` need not be called.
        n_changes: the number of changes so far.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler of the user's may display while its thread is displaying
        self._begin()

    def _begin(self) -> None:
        self._shown: list[_Display] = []
        self._size = 0
        self._n_dropped = 0
        self._clear_first = False
        self.is_used = False
        self.n_changes = 0

    def add(
        self,
        data: Forms,
        metadata: Mapping[str, Any] | None = None,
        *,
        display_id: str | None = None,
        update: bool = False,
        kind: str = DISPLAY,
        at_the_end: AtTheEnd | None = None,
    ) -> None:
        """Add a display, or update the displays with the same id. An update without such a display has no effect.

        Args:
            data: the contents by MIME type.
            metadata: as in a notebook's file.
            display_id: the id for later updates.
            update: replace instead of adding.
            kind: `VALUE` for the value of a cell.
            at_the_end: makes the contents when the attempt ends; the display is not shown before.
        """
        body = _encode_within_limit(data, metadata or {}, kind)
        with self._lock:
            self.is_used = True
            if self._clear_first:
                self._clear()
            if update:
                targets = [shown for shown in self._shown if shown.display_id == display_id]
            else:
                targets = [_Display(b"", display_id)]
                self._shown += targets
            for shown in targets:
                self._size += len(body) - len(shown.body)
                shown.body, shown.at_the_end = body, at_the_end
            while len(self._shown) > _KEPT_COUNT or self._size > KEPT:
                self._size -= len(self._shown.pop(0).body)
                self._n_dropped += 1
            self.n_changes += 1

    def clear(self, *, wait: bool = False) -> None:
        """Remove all displays; with `wait`, just before the next one is added."""
        with self._lock:
            self.is_used = True
            if wait:
                self._clear_first = True
            else:
                self._clear()

    def _clear(self) -> None:
        self._shown.clear()
        self._size = self._n_dropped = 0
        self._clear_first = False
        self.n_changes += 1

    def now(self) -> tuple[bytes, ...]:
        """Return the current displays, each as JSON in the form of an output in a notebook's file."""
        with self._lock:
            bodies = tuple([shown.body for shown in self._shown if shown.at_the_end is None])
            return (_note_of_dropped(self._n_dropped), *bodies) if self._n_dropped else bodies

    def end(self) -> tuple[bytes, ...]:
        """End the attempt: return its last displays and remove them."""
        with self._lock:
            for display in self._shown:
                if display.at_the_end is not None:
                    display.body, display.at_the_end = _final(display.at_the_end), None
            self._shown = [display for display in self._shown if display.body]
            shown = self.now()
            self._begin()
            return shown

    def detach(self) -> None:
        """Make this usable in a forked child, whose displays are not read."""
        self._lock = threading.RLock()  # the old one may be held by a thread that the child does not have


class DisplayReporter:
    """Reporter of the running attempt's displays to the controller. Helper thread."""

    def __init__(self, displays: Displays) -> None:
        self._displays = displays
        self.forget()

    def forget(self) -> None:
        """Start over with a new controller, which has received no reports."""
        self._lease = 0
        self._sent: tuple[bytes, ...] = ()
        self._revision = 0
        self._due = float("-inf")

    def report(self, lease: int, now: float) -> Displayed | None:
        """Return the changes of the attempt under `lease` since the last report; `None` if none are due."""
        if lease != self._lease:
            self._lease, self._sent, self._revision = lease, (), 0
        revision = self._displays.n_changes
        if revision == self._revision or now < self._due:
            return None
        shown = self._displays.now()
        kept = 0
        for old, new in zip(self._sent, shown, strict=False):
            if old is not new:
                break
            kept += 1
        report = Displayed(lease, revision, kept, shown[kept:])
        self._sent, self._revision = shown, revision
        self._due = now + DISPLAY_EVERY + sum(map(len, report.then)) / PACE
        return report


def _note_of_dropped(n: int) -> bytes:
    text = f"... {n:,} earlier {'output was' if n == 1 else 'outputs were'} dropped ..."
    return _encode({PLAIN_TEXT: text}, {"taskfc_dropped": n})


def _final(make: AtTheEnd) -> bytes:
    """Return the final body of a display; empty if it is removed or its objects no longer work."""
    try:
        data = make()
        return b"" if data is None else _encode_within_limit(data, {})
    except Exception:  # noqa: BLE001  the user's objects, after the user's code
        return b""


def _encode_within_limit(data: Forms, metadata: Mapping[str, Any], kind: str = DISPLAY) -> bytes:
    body = _encode(data, metadata, kind)
    if len(body) <= LARGEST:
        return body
    left = dict(data)
    sizes = {mime: len(_json(value)) for mime, value in data.items()}
    notes = []
    for mime in sorted(sizes, key=sizes.__getitem__, reverse=True):
        del left[mime]
        notes.append(f"{mime} of {sizes[mime]:,} bytes was left out: the limit of an output is {LARGEST:,}")
        text = "\n".join([*map(str, filter(None, [left.get(PLAIN_TEXT)])), *notes])
        body = _encode({**left, PLAIN_TEXT: text}, {}, kind)
        if len(body) <= LARGEST:
            break
    return body


def _encode(data: Forms, metadata: Mapping[str, Any], kind: str = DISPLAY) -> bytes:
    number = {"execution_count": None} if kind == VALUE else {}  # required in a notebook's file
    return _json({"output_type": kind, "data": dict(data), "metadata": dict(metadata), **number})


def _json(value: object) -> bytes:
    # lone surrogates, which frames and notebooks' files cannot carry, become question marks
    return json.dumps(value, ensure_ascii=False, default=_plain, skipkeys=True).encode("utf-8", "replace")


def _plain(value: object) -> object:
    """Return a value that JSON lacks in another form: bytes in base64, as in notebooks' files, others as text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
