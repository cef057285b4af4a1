"""Large payloads, each in a file of its own beside the journal.

So an argument of 20 MB is written once, read only when needed, and removed with one `unlink`. A file is written before
the commit that refers to it, and removed after the commit that clears it. Files that a crash leaves behind are removed
when the store is opened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from taskfc_ext.protocol.payloads import PayloadRef

LARGE = 64 * 2**10
"""Bytes from which a payload has a file: below that, a file would cost more than a row of the journal."""

_FRESH_BYTES = 64 * 2**20
"""Bytes of new files that are kept in memory until the end of the turn, since messages often need them at once."""


class PayloadFiles:
    """The files of one store.

    Args:
        folder: their folder; made on first use.

    Attributes:
        staged: the files that no committed record refers to yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 1
        self._fresh: dict[int, bytes] = {}
        self._fresh_bytes = 0
        self.staged: set[int] = set()

    def begin(self, known: Collection[int]) -> None:
        """Remove all files but those in `known`."""
        self._next = max(known, default=0) + 1
        if self._folder.is_dir():
            for entry in list(os.scandir(self._folder)):
                if _number(entry.name) not in known:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)

    def write(self, body: bytes) -> PayloadRef:
        """Write a new file.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        number = self._new()
        path = self._path(number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(descriptor, view) :]
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        if self._fresh_bytes + len(body) <= _FRESH_BYTES:
            self._fresh[number] = body
            self._fresh_bytes += len(body)
        return self._staged_ref(number, len(body))

    def again(self, ref: PayloadRef) -> PayloadRef:
        """Return a second file with the same content, since the two are cleared at different times."""
        number = self._new()
        try:
            os.link(self._path(number_of(ref)), self._path(number))
        except OSError:  # a file system without hard links
            return self.write(self.read(ref))
        return self._staged_ref(number, ref.size)

    def read(self, ref: PayloadRef) -> bytes:
        """Return the payload; empty if its file is damaged or missing, as after a power cut."""
        number = number_of(ref)
        body = self._fresh.get(number)
        if body is None:
            try:
                body = self._path(number).read_bytes()
            except OSError:
                return b""
        return body if len(body) == ref.size else b""

    def forget_fresh(self) -> None:
        """Drop all payloads in memory."""
        if self._fresh:
            self._fresh.clear()
            self._fresh_bytes = 0

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove files that no record refers to any more."""
        for number in numbers:
            self.staged.discard(number)
            self._fresh_bytes -= len(self._fresh.pop(number, b""))
            with contextlib.suppress(OSError):  # the file stays until the store is opened again
                os.unlink(self._path(number))

    def _new(self) -> int:
        if self._next == 1 or not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, exist_ok=True)
        number, self._next = self._next, self._next + 1
        return number

    def _staged_ref(self, number: int, size: int) -> PayloadRef:
        self.staged.add(number)
        return PayloadRef(f"{number:x}", size)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:x}"


def number_of(ref: PayloadRef) -> int:
    """Return the number of the file of `ref`."""
    return int(ref.file, 16)


def _number(name: str) -> int:
    try:
        return int(name, 16)
    except ValueError:
        return -1
