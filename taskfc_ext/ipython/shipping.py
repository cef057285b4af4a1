"""What travels with a cell: its names, checked before anything is sent. No client, no shell: a namespace goes in."""

from __future__ import annotations

import concurrent.futures
import io
import pickle
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.ipython.arguments import did_you_mean
from taskfc_ext.ipython.names import BUILTINS, IPYTHON_NAMES, MODULE_NAMES, used_names
from taskfc_ext.ipython.requests import BadUsage
from taskfc_ext.serialize.blame import complaint
from taskfc_ext.serialize.pickler import Pickler
from taskfc_ext.serialize.rebuilding import check_classes
from taskfc_ext.text import one_line

LARGE = 10**6
"""Bytes from which a name's size is shown: sending it takes a while that a user may want to save."""

_ATOMS = (type(None), bool, int, float, complex)
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Shipment:
    """The names that a cell gets, and how many bytes each of them is when pickled."""

    values: dict[str, Any]
    sizes: dict[str, int]

    def large(self) -> str:
        """Return the names over 1 MB with their sizes, as text; empty where there is none."""
        return ", ".join(f"{name} ({format_size(size)})" for name, size in self.sizes.items() if size >= LARGE)


def pack(
    source: str,
    ship: tuple[str, ...] | None,
    namespace: Mapping[str, Any],
    *,
    hidden: Mapping[str, Any],
    transform: Callable[[str], str] = str,
    elsewhere: Collection[str] = (),
) -> Shipment:
    """Return the names that `source` needs, with their values.

    Args:
        ship: exactly these names, instead of those that are found in `source`.
        namespace: where the values are.
        hidden: what the shell itself has put there.
        elsewhere: names that are on the workers already, and need not be here.

    Raises:
        BadUsage: a name is unknown, or its value cannot be pickled.
        SyntaxError: the cell does not compile.
    """
    use = used_names(source, transform=transform, builtins=BUILTINS - _redefined(namespace, hidden))
    names = sorted(name for name in use.needs if name in namespace or name not in elsewhere) if ship is None else ship
    for name in names:
        if name not in namespace:
            known = {word for word in namespace if _is_the_users(word, namespace, hidden)}
            raise BadUsage(_unknown(name, known if ship else {*known, *use.defines, *BUILTINS}))
    if ship is None:
        names = [*names, *sorted(name for name in use.may_need if _is_the_users(name, namespace, hidden))]
    values = {name: namespace[name] for name in names}
    return Shipment(values, {name: _size(name, value) for name, value in values.items()})


def _redefined(namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> set[str]:
    """Return the builtins that the notebook has replaced by something of its own."""
    return {name for name in BUILTINS - MODULE_NAMES - IPYTHON_NAMES if _is_the_users(name, namespace, hidden)}


def _is_the_users(name: str, namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> bool:
    return name in namespace and namespace[name] is not hidden.get(name, _ABSENT)


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"unknown name {name!r}{did_you_mean(name, sorted(word for word in known if not word.startswith('_')))}"


class _Count(io.RawIOBase):
    """A file that keeps the number of bytes, not the bytes."""

    size = 0

    def write(self, data: Any) -> int:
        n = memoryview(data).nbytes
        self.size += n
        return n


def _size(name: str, value: object) -> int:
    """Return how many bytes `value` is when pickled, without copying its large buffers."""
    if isinstance(value, (*_ATOMS, concurrent.futures.Future)):
        return 0  # a future's result never passes through here
    count = _Count()

    def count_buffer(buffer: pickle.PickleBuffer) -> bool:
        try:
            count.size += buffer.raw().nbytes
        except BufferError:
            return True  # not contiguous: pickled in-band
        return False

    pickler = Pickler(count, count_buffer)
    try:
        pickler.dump(value)
        check_classes(pickler.made_classes, what=name)
    except UnpicklableArgument as error:
        raise BadUsage(one_line(f"{error.message}; {error.hint}")) from None
    except Exception as error:  # noqa: BLE001  the user's __reduce__
        raise BadUsage(one_line(complaint(name, value, error))) from None
    return count.size


def format_size(size: float) -> str:
    """Return a number of bytes as people read it: `1.5 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
