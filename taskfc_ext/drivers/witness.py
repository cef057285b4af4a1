"""The witness of a store: a small file beside the journal that tells how far the journal has to go.

SQLite drops the end of a damaged log without a word, and a journal that is gone is made again empty. The witness notes
the totals of the journal after each commit, before any answer is sent. A journal that is behind it has lost accepted
tasks. One that is ahead is usual: the process died between the two.

The page cache keeps both files when a process dies, but not when the system does. So each note names the boot of its
system: after another boot, a store whose commits are not synced may be behind, and that is reported, not refused.

Two notes take turns, each in a page of its own with its own check, so that a torn write costs one commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from taskfc_ext.drivers.files import open_private
from taskfc_ext.drivers.row_checks import TOTALS_BYTES, Totals
from taskfc_ext.drivers.schema import IDENTITY_BYTES

_PAGE = 4096
_CHECK_BYTES = 4
_BOOT_BYTES = 36
_HEAD = Struct(f"<{IDENTITY_BYTES}s{_BOOT_BYTES}sB")
_MAGIC: Final = b"taskfc witness 1"


@dataclass(frozen=True)
class Note:
    """The content of a witness.

    Attributes:
        identity: the store's.
        boot: of the system that wrote it; empty: not known.
        totals: packed, as the journal has them after the commit.
        synced: the commit, and this note, are on the disk.
    """

    identity: bytes
    boot: str
    totals: bytes
    synced: bool = False

    @property
    def next_seq(self) -> int:
        """The number of the next record."""
        return Totals.unpack(self.totals).next_seq


class Witness:
    """Writer of one witness.

    Args:
        path: the file, which is made if it is missing.
        note: its first content; if that is `synced`, so is each later one.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, note: Note) -> None:
        self._note = note
        self._use_head(note)
        self._at = 0
        self._fd = -1
        self._fd = open_private(path)
        try:
            first, second = read_notes(path)
            if first is not None and (second is None or second.next_seq <= first.next_seq):
                self._at = 1  # the older note is overwritten
            # both pages are made now, so that later notes need no room on the disk
            if os.fstat(self._fd).st_size != 2 * _PAGE:
                os.pwrite(self._fd, bytes(2 * _PAGE), 0)
            self.note(note.totals)
        except BaseException:
            self._release()
            raise

    def note(self, totals: bytes) -> None:
        """Note the totals after a commit. If that is impossible, the witness stays behind, which harms nothing."""
        # no map of the file: one that was cut short would end the process at the next write
        check = crc32(totals, self._check_of_head).to_bytes(_CHECK_BYTES, "little")
        try:
            os.pwrite(self._fd, self._head + totals + check, self._at * _PAGE)
            self._at = 1 - self._at
            if self._note.synced:
                os.fdatasync(self._fd)
        except OSError:
            pass

    def _use_head(self, note: Note) -> None:
        self._head = _head(note)
        self._check_of_head = crc32(self._head)

    def _release(self) -> None:
        """Close the file; also when nobody has the witness any more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = _release

    def close(self, totals: bytes) -> None:
        """Note the totals of a journal that is synced, and close the file."""
        self._use_head(replace(self._note, synced=True))
        self.note(totals)
        with suppress(OSError):
            os.fsync(self._fd)
        self._release()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._release()


@dataclass(frozen=True)
class Loss:
    """Something that a journal has lost.

    Attributes:
        fact: in words, to follow the name of the store.
        is_damage: it is not the usual consequence of a power cut.
    """

    fact: str
    is_damage: bool = True


def find_loss(note: Note | None, now: Note) -> Loss | None:
    """Return what a journal has lost since the last note of its witness; `None`: nothing.

    Args:
        note: the last note; `None`: there is none, or it is damaged.
        now: the note that the journal gives now.
    """
    if note is None:
        lost = "its witness was gone or damaged, so that losses before now cannot be noticed"
        return Loss(lost, is_damage=False) if now.next_seq > 1 else None
    if note.identity != now.identity:
        return Loss("its journal is another store's")
    n = note.next_seq - now.next_seq
    if n > 0:
        lost = f"its last {n} records, which were accepted, are gone"
        if n == 1:
            lost = "its last record, which was accepted, is gone"
        if note.synced or (note.boot and note.boot == now.boot):
            return Loss(lost)
        return Loss(f"{lost}, as the system went down before they were on the disk", is_damage=False)
    if n == 0 and note.totals != now.totals:
        return Loss("its journal is not the one that was written last")
    return None


def read_witness(path: Path) -> Note | None:
    """Return the newest note of a witness; `None` if there is none, or it is damaged."""
    notes = [note for note in read_notes(path) if note is not None]
    return max(notes, key=lambda note: (note.next_seq, note.synced), default=None)


def read_notes(path: Path) -> tuple[Note | None, Note | None]:
    """Return both notes of a witness; `None` for one that is not there or is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None, None
    first, second = _decode_all(content)
    return first, second


def _decode_all(content: bytes) -> Iterator[Note | None]:
    for at in (0, _PAGE):
        yield _decode(content[at : at + _PAGE])


def _head(note: Note) -> bytes:
    """Return the constant part of the notes of one witness."""
    return _MAGIC + _HEAD.pack(note.identity, note.boot.encode()[:_BOOT_BYTES], note.synced)


def _decode(page: bytes) -> Note | None:
    head = len(_MAGIC) + _HEAD.size
    size = head + TOTALS_BYTES
    content, check = page[:size], page[size : size + _CHECK_BYTES]
    if not content.startswith(_MAGIC) or check != _check(content):
        return None
    identity, boot, synced = _HEAD.unpack(content[len(_MAGIC) : head])
    return Note(identity, boot.rstrip(b"\0").decode(errors="replace"), content[head:], bool(synced))


def _check(content: bytes) -> bytes:
    return crc32(content).to_bytes(_CHECK_BYTES, "little")
