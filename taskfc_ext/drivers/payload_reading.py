"""Reading of the files of large payloads, by those who receive them."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import resource
import time
import zlib
from pathlib import Path

from taskfc_ext.protocol.payloads import PayloadRef, Upload

COMPARED_AFTER = 600.0
"""Seconds after which a file is compared with its check sum when it is read."""

READ_UP_TO = 2**20
"""Bytes up to which a payload is read, as that costs no more than a mapping."""

Content = bytes | bytearray | mmap.mmap
"""A received payload."""


def read_payload(folder: Path, payload: PayloadRef | Upload) -> Content:
    """Return the content of a payload's file. It can be written to, which nobody else sees.

    A large one is a private mapping, and its pages are read when they are needed. A mapping keeps a descriptor, so
    smaller ones are read at once, and so are all once the process has many files open.

    Args:
        folder: the store's folder of payloads.
        payload: the payload.

    Raises:
        OSError: its file is gone or damaged.
    """
    path = folder / payload.file
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return read_content(descriptor, payload, str(path))
    finally:
        os.close(descriptor)


def read_content(descriptor: int, payload: PayloadRef | Upload, path: str) -> Content:
    """Return the content of an open file with a payload; see `read_payload`.

    Args:
        descriptor: of the file.
        payload: the payload.
        path: for messages.

    Raises:
        OSError: the file has another size, or another content.
    """
    found, size = os.fstat(descriptor), payload.size
    if found.st_size != size or not found.st_size:  # a smaller file would end its readers with SIGBUS
        raise OSError(errno.EIO, "its size is not the one that was recorded", path)
    content = _content(descriptor, size, path)
    if not _is_as_written(found.st_mtime_ns, payload) and zlib.crc32(content) != payload.crc:
        raise OSError(errno.EIO, "its content is not what was written", path)
    return content


def _is_as_written(changed_ns: int, payload: PayloadRef | Upload) -> bool:
    """Return whether it is needless, or impossible, to compare a file with its check sum.

    That takes 16 ms for 100 MB, so it is left out for a file that was written a moment ago and not changed since: its
    pages are in memory still. Of an older one they may come from a disk, and disks fail.
    """
    age = time.time() - payload.written_ns / 1e9
    return not payload.crc or (changed_ns == payload.written_ns and 0 <= age < COMPARED_AFTER)


def _content(descriptor: int, size: int, path: str) -> Content:
    if size > READ_UP_TO:
        with contextlib.suppress(OSError):  # too many mappings, or no memory for their tables
            if (content := map_file(descriptor, size)) is not None:
                return content
    read = bytearray(size)
    view, n = memoryview(read), 0
    while n < size:  # by position, as other processes may have the same open file, whose own position moves
        some = os.preadv(descriptor, [view[n:]], n)
        if not some:
            raise OSError(errno.EIO, "it has been cut while it was read", path)
        n += some
    view.release()
    return read


def map_file(descriptor: int, size: int) -> mmap.mmap | None:
    """Return a private mapping of a file; `None` if that would not leave half of all descriptors to the user's files.

    A mapping duplicates its descriptor. The duplicate has the lowest free number, which tells how many are open; the
    first one is closed again each time, and tells nothing.
    """
    duplicate = os.dup(descriptor)
    os.close(duplicate)
    if duplicate >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2:
        return None
    return mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
