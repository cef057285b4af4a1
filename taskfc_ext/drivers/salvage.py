"""Salvage of a damaged database: all rows that agree with their checks, wherever they stand in the files.

SQLite finds a row along a tree of pages, and one damaged page hides all below it. Here each page of the database and of
its log is read by itself, by SQLite's file format; since each row has its own check, no damage can pass as a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from taskfc_ext.drivers.journal import Row, is_whole
from taskfc_ext.drivers.paths import log_of
from taskfc_ext.drivers.row_checks import check_code

_PAGE = 4096
"""Bytes of a page: SQLite's default, which is never changed."""

_FRAME = 24
_LOG_HEADER = 32
_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 0x0D, 0x0A, 0x02

_Column = int | float | bytes | str | None


@dataclass
class Salvaged:
    """Rows that are whole.

    Attributes:
        rows: of the journal, by number.
        code: bodies, or else files, with sizes, by digest.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    code: dict[bytes, tuple[bytes | None, int | None, int]] = field(default_factory=dict)


def salvage(journal: Path) -> Salvaged:
    """Return the whole rows in the files of a damaged journal. Changes nothing.

    Raises:
        OSError: a file cannot be read.
    """
    pages = _Pages(journal)
    found = Salvaged()
    for page in pages.leaves():
        for columns in pages.rows(page):
            _keep(found, columns)
    return found


def _keep(found: Salvaged, columns: list[_Column]) -> None:
    match columns:
        case [int(seq), int(kind), first, last, bytes(check), _, bytes(body)]:
            row: Row = (seq, kind, first, last, check, body)  # type: ignore[assignment]
            before = found.rows.get(seq)
            # a row that was made hollow since is found twice
            if is_whole(row) and (before is None or first is None):
                found.rows[seq] = row
        case [bytes(key), file, int(size), bytes(check), body]:
            with suppress(Exception):  # a column has another type
                if check == check_code(key, file, size, body):  # type: ignore[arg-type]
                    found.code[key] = body, file, size  # type: ignore[assignment]


class _Pages:
    """The pages of a database with its log: those of the log are newer."""

    def __init__(self, journal: Path) -> None:
        content = journal.read_bytes() if journal.exists() else b""
        self._of = {at // _PAGE + 1: content[at : at + _PAGE] for at in range(0, len(content), _PAGE)}
        self._older = list(self._of.items())
        log = log_of(journal)
        content = log.read_bytes() if log.exists() else b""
        for at in range(_LOG_HEADER, len(content) - _FRAME - _PAGE + 1, _FRAME + _PAGE):
            number = int.from_bytes(content[at : at + 4], "big")
            page = content[at + _FRAME : at + _FRAME + _PAGE]
            self._of[number] = page
            self._older.append((number, page))

    def leaves(self) -> Iterator[tuple[int, bytes]]:
        """Yield all pages with rows, the oldest first."""
        for number, page in self._older:
            at = 100 if number == 1 else 0
            if len(page) == _PAGE and page[at] in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR):
                yield number, page

    def rows(self, page: tuple[int, bytes]) -> Iterator[list[_Column]]:
        """Yield the rows of a page that can be decoded; they may be nonsense."""
        number, content = page
        at = 100 if number == 1 else 0
        kind = content[at]
        pointers = at + (12 if kind == _INDEX_INTERIOR else 8)
        for cell in range(min(int.from_bytes(content[at + 3 : at + 5], "big"), _PAGE // 4)):
            where = int.from_bytes(content[pointers + 2 * cell : pointers + 2 * cell + 2], "big")
            with suppress(IndexError, ValueError, KeyError):
                yield self._row(content, where + (4 if kind == _INDEX_INTERIOR else 0), kind == _TABLE_LEAF)

    def _row(self, page: bytes, at: int, is_table: bool) -> list[_Column]:
        size, at = _varint(page, at)
        rowid = 0
        if is_table:
            rowid, at = _varint(page, at)
        most = _PAGE - 35 if is_table else (_PAGE - 12) * 64 // 255 - 23
        local = size
        if size > most:
            least = (_PAGE - 12) * 32 // 255 - 23
            local = least + (size - least) % (_PAGE - 4)
            local = local if local <= most else least
        payload = bytearray(page[at : at + local])
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while len(payload) < size:
            more = self._of[following]
            payload += more[4 : 4 + min(_PAGE - 4, size - len(payload))]
            following = int.from_bytes(more[:4], "big")
        columns = _decode(bytes(payload))
        if is_table and columns and columns[0] is None:
            columns[0] = rowid  # stands for the primary key
        return columns


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n in range(8):
        byte = content[at + n]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + n + 1
    return value << 8 | content[at + 8], at + 9


def _decode(payload: bytes) -> list[_Column]:
    """Return the columns of a record in SQLite's format."""
    end, at = _varint(payload, 0)
    body, columns = end, list[_Column]()
    while at < end:
        kind, at = _varint(payload, at)
        if kind >= 12:
            size = (kind - 12) // 2
            columns.append(payload[body : body + size] if kind % 2 == 0 else "")
        elif kind in (8, 9):
            size = 0
            columns.append(kind - 8)
        else:
            size = (0, 1, 2, 3, 4, 6, 8, 8)[kind]
            columns.append(int.from_bytes(payload[body : body + size], "big", signed=True) if kind else None)
        body += size
    if body > len(payload):
        raise ValueError("a column ends after its row")
    return columns
