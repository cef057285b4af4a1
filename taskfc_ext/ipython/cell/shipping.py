"""What travels with a cell: its names, checked before anything is sent. No client, no shell: a namespace goes in."""

from __future__ import annotations

import concurrent.futures
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from taskfc_ext.ipython.cell.mentions import names_in_value
from taskfc_ext.ipython.cell.names import BUILTINS, IPYTHON_NAMES, MODULE_NAMES, NameUse, used_names
from taskfc_ext.ipython.hints import did_you_mean
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.serialize.blame import describe_failure
from taskfc_ext.serialize.limited import LimitedFile
from taskfc_ext.serialize.mentioned import Mentions
from taskfc_ext.serialize.needs import code_may_bind, definitions, names_read_pickles
from taskfc_ext.serialize.pickler import Pickler, dump_by
from taskfc_ext.serialize.rebuilding import check_classes
from taskfc_ext.serialize.scope import ABSENT
from taskfc_ext.text import one_line

MENTIONED = 200 * 10**6
"""Bytes that a cell's names may have in all, up to which names that only a string mentions are added."""

LARGE = 10**6
"""Bytes from which a name's size is shown: sending it takes a while that a user may want to save."""

_ATOMS = (type(None), bool, int, float, complex)

_WORD = re.compile(r"\w+")

_SHELL_NAMES = frozenset(("In", "Out", "get_ipython", "exit", "quit", "open", "display"))
"""Names that IPython itself puts into a namespace; others that it hides are of a profile's startup files."""

_SHELL_MODULES = ("IPython", "ipykernel", "_sitebuiltins")


@dataclass(frozen=True, slots=True)
class Shipment:
    """The names that a cell gets, and how many bytes each of them is when pickled.

    Attributes:
        there_first: those for which a value that the worker's persistent namespace has by then goes before ours.
        use: what the cell asks of its namespace.
    """

    values: dict[str, Any]
    sizes: dict[str, int]
    there_first: tuple[str, ...]
    use: NameUse

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
    there: Mapping[str, object] | None = None,
    lazy_hints: bool = False,
) -> Shipment:
    """Return the names that `source` needs, with their values.

    Args:
        ship: exactly these names, instead of those that are found in `source`.
        namespace: where the values are.
        hidden: what the shell had hidden when it started: its own names, and those of startup files.
        there: of a cell for the persistent namespace, the names that earlier ones have bound there, with what they
            were here at that time (`ABSENT`: nothing); where there is one, unknown names may be there too.
        lazy_hints: annotations are not evaluated, by a future import of an earlier cell.

    Raises:
        BadUsage: a name is unknown, or its value cannot be pickled.
        SyntaxError: the cell does not compile.
    """
    builtins = BUILTINS - _redefined(namespace, hidden)
    use = used_names(source, transform=transform, builtins=builtins, lazy_hints=lazy_hints)
    found = [name for name in use.needs if name in namespace or not (there or code_may_bind(name, namespace))]
    names = sorted(found) if ship is None else ship
    for name in names:
        if name not in namespace:
            known = {word for word in namespace if _is_the_users(word, namespace, hidden)}
            hint = "; if an earlier --keep cell has made it: `-i ''`" if there is not None and ship is None else ""
            raise BadUsage(f"{_unknown(name, known if ship else {*known, *use.defines, *BUILTINS})}{hint}")
    if ship is not None:
        values = {name: namespace[name] for name in names}
        return Shipment(values, {name: _size(name, value) for name, value in values.items()}, (), use)
    soft = sorted(name for name in use.may_need if _is_the_users(name, namespace, hidden))
    values = {name: namespace[name] for name in (*names, *soft)}
    sizes = {name: _size(name, value) for name, value in values.items()}
    _add_mentioned(values, sizes, use, lambda name: _is_the_users(name, namespace, hidden), namespace)
    if names_read_pickles(_WORD.findall(source)):
        _add_definitions(values, sizes, namespace)
    there_first = tuple(name for name in values if there and there.get(name, ABSENT) is values[name])
    return Shipment(values, sizes, there_first, use)


def _add_mentioned(
    values: dict[str, Any],
    sizes: dict[str, int],
    use: NameUse,
    is_the_users: Callable[[str], bool],
    namespace: Mapping[str, Any],
) -> None:
    """Add the names that strings of the cell, or strings that it gets, mention; what cannot travel is left out.

    Those that a string only seems to mention are added where they are small, and never wait for another task.
    """
    found = Mentions(use.in_strings, use.likely)
    for name, value in values.items():
        if type(value) is str:
            found |= names_in_value(value, is_run=name in use.run)
    for names, is_plain in ((found.plain, True), (found.likely, False)):
        for name in sorted(names.difference(values)):
            if not is_the_users(name) or (isinstance(namespace[name], concurrent.futures.Future) and not is_plain):
                continue
            limit = MENTIONED - sum(sizes.values()) if is_plain else LARGE
            size = _size_up_to(limit, namespace[name])
            if size is not None:
                values[name], sizes[name] = namespace[name], size


def _add_definitions(values: dict[str, Any], sizes: dict[str, int], namespace: Mapping[str, Any]) -> None:
    """Add the classes and functions of the notebook that can be sent: pickles that the cell reads refer to them."""
    for name, value in definitions(namespace).items():
        size = None if name in values else _size_up_to(LARGE, value)
        if size is not None:
            values[name], sizes[name] = value, size


def _redefined(namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> set[str]:
    """Return the builtins that the notebook has replaced by something of its own."""
    return {
        name
        for name in BUILTINS - MODULE_NAMES
        if _is_the_users(name, namespace, hidden) and not (name in IPYTHON_NAMES and _is_of_the_shell(namespace[name]))
    }


def _is_of_the_shell(value: object) -> bool:
    """Whether `value` is what IPython itself calls `display`, `exit` or `get_ipython`."""
    if isinstance(value, ModuleType):
        return False
    module = getattr(value, "__module__", "")
    return isinstance(module, str) and module.partition(".")[0] in _SHELL_MODULES


def _is_the_users(name: str, namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> bool:
    """Whether the notebook, or a startup file of its profile, has bound the name."""
    if name not in namespace:
        return False
    if namespace[name] is not hidden.get(name, ABSENT):
        return True
    return name not in _SHELL_NAMES and not name.startswith("_")


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"unknown name {name!r}{did_you_mean(name, sorted(word for word in known if not word.startswith('_')))}"


def _size(name: str, value: object) -> int:
    """Return how many bytes `value` is when pickled, without copying its large buffers.

    Raises:
        BadUsage: it cannot be pickled; the message names the part that cannot.
    """
    try:
        return _pickled_size(value, math.inf)
    except Exception as error:  # noqa: BLE001  the user's __reduce__
        raise BadUsage(one_line(describe_failure(name, value, error))) from None


def _size_up_to(limit: int, value: object) -> int | None:
    """Return how many bytes `value` is when pickled; `None` where that is over `limit`, or cannot be done."""
    try:
        return _pickled_size(value, limit)
    except Exception:  # noqa: BLE001  the user's __reduce__
        return None


def _pickled_size(value: object, limit: float) -> int:
    if isinstance(value, (*_ATOMS, concurrent.futures.Future)):
        return 0  # a future's result never passes through here
    file = LimitedFile(limit)

    def make() -> Pickler:
        file.clear()
        return Pickler(file, file.take)

    pickler = dump_by(make, value)
    check_classes(pickler.made_classes, what="it")
    return file.size


def format_size(size: float) -> str:
    """Return a number of bytes as people read it: `1.5 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
