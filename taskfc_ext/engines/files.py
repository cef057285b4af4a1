"""Large payloads on their way over a bridge: files of the store to hosts, and files of hosted workers to the store."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

from taskfc_ext.drivers.files import make_private_folder, open_private
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.protocol.slot_messages import FILE_PART, FilePart

logger = logging.getLogger(__name__)


class Files:
    """The payload files that one bridge reads and writes for its hosted workers."""

    def __init__(self, paths: FarmPaths) -> None:
        self._payloads = paths.payloads
        self._uploads = paths.uploads
        self._folders: dict[str, int] = {}

    async def parts(self, file: str) -> AsyncIterator[FilePart]:
        """Yield a payload of the store in parts; one part of size -1 if it is not there."""
        try:
            descriptor = os.open(self._payloads / file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            yield FilePart(file=file, size=-1)
            return
        try:
            size = os.fstat(descriptor).st_size
            for offset in range(0, max(size, 1), FILE_PART):
                data = await asyncio.to_thread(os.pread, descriptor, FILE_PART, offset)
                yield FilePart(file=file, size=size, offset=offset, data=data)
        finally:
            os.close(descriptor)

    def receive(self, part: FilePart) -> None:
        """Write a part of a file that a hosted worker has sent; one of size -1 removes the file.

        A file that cannot be written is left incomplete: the controller then fails the task by name.
        """
        path = self._folder(part.folder) / part.file
        try:
            if part.size < 0:
                path.unlink(missing_ok=True)
                return
            descriptor = open_private(path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, part.data, part.offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.error("a file of a hosted worker cannot be written: %s", error)

    def forget(self, worker: int) -> None:
        """Let go of the folders of a worker that has ended: the controller removes them a while later."""
        for folder in [folder for folder in self._folders if folder.startswith(f"w{worker}x")]:
            os.close(self._folders.pop(folder))

    def _folder(self, name: str) -> Path:
        """Return the folder of a sender; made and locked on first use, as the controller removes the unlocked ones."""
        folder = self._uploads / name
        if name not in self._folders:
            make_private_folder(folder)
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_SH)
            self._folders[name] = lock
        return folder

    def close(self) -> None:
        """Let go of all folders."""
        for lock in self._folders.values():
            os.close(lock)
        self._folders.clear()
