"""Names of a cell, pickled once: the body that is sent, and how many bytes each name takes in it."""

from __future__ import annotations

import concurrent.futures
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from taskfc_ext.serialize.bodies import Body
from taskfc_ext.serialize.limited import LimitedBuffer, LimitedBuffers
from taskfc_ext.serialize.values import CellOptions, InputRef, names_body

Limit = Callable[[int], float]
"""Takes the bytes that are in the body before a name, and returns the most that may be in it with that name."""


class PackedNames(dict[str, object]):
    """Names and values of a cell, with the body in which they are pickled.

    Attributes:
        body: as `load_cell` reads it.
        futures: the futures among the values; the body has an `InputRef` in place of each, by its index here.
        sizes: bytes of each name in the body, to about 64 kB. What several names share counts for the first of them.
    """

    body: Body = b""
    futures: tuple[object, ...] = ()
    sizes: Mapping[str, int]


def pack_names(
    names: Mapping[str, object],
    out: Sequence[str],
    *,
    what: str,
    options: CellOptions | None = None,
    limits: Mapping[str, Limit] | None = None,
    sizes: dict[str, int] | None = None,
) -> PackedNames:
    """Pickle the names of a cell, as `dump_names` does.

    Args:
        names: names and values; a future stands for its result.
        out: the names that come back.
        what: how messages call the cell.
        options: settings of the notebook.
        limits: of names that may be too large, each to about 64 kB.
        sizes: gets the bytes of each name, in the order of the names; after an error, of the names before it.

    Raises:
        LimitReached: a name is over its limit.
        Exception: whatever the values' own code raises.
    """
    futures: list[object] = []
    sizes = {} if sizes is None else sizes
    referring = {name: _with_references(value, futures) for name, value in names.items()}
    file = LimitedBuffer()
    buffers = LimitedBuffers(file)
    measured = _MeasuredNames(referring, limits or {}, sizes, file, buffers)
    packed = PackedNames(names)
    packed.body = names_body(measured, out, what=what, options=options, file=file, buffers=buffers)
    packed.futures = tuple(futures)
    packed.sizes = sizes
    return packed


def _with_references(value: object, futures: list[object]) -> object:
    """Return `value`; for a future, the reference to its place in `futures`, to which it is added."""
    if not isinstance(value, concurrent.futures.Future):
        return value
    if value not in futures:
        futures.append(value)
    return InputRef(futures.index(value))


class _MeasuredNames:
    """Pickled as a dict, into `file` and `buffers`; puts the bytes of each name into `sizes` on the way."""

    def __init__(
        self,
        names: Mapping[str, object],
        limits: Mapping[str, Limit],
        sizes: dict[str, int],
        file: LimitedBuffer,
        buffers: LimitedBuffers,
    ) -> None:
        self._sizes = sizes
        self._names = names
        self._limits = limits
        self._file = file
        self._buffers = buffers

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (), None, None, self._items()

    def _items(self) -> Iterator[tuple[str, object]]:
        file, buffers = self._file, self._buffers
        self._sizes.clear()
        for i, (name, value) in enumerate(self._names.items()):
            start, n_taken = file.tell(), buffers.n_bytes
            limit = self._limits.get(name)
            file.limit = math.inf if limit is None else limit(start + n_taken) - n_taken
            yield name, value
            if i == 0:  # `pickle` asks for a second item before it writes the first; the same again takes few bytes
                yield name, value
            self._sizes[name] = file.tell() - start + buffers.n_bytes - n_taken
