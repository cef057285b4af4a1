"""Names that are sent with a cell: chosen, checked and pickled before anything is sent. Needs no client, no shell."""

from __future__ import annotations

import concurrent.futures
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from taskfc_ext.ipython.cell.mentions import names_in_value
from taskfc_ext.ipython.cell.names import BUILTINS, IPYTHON_NAMES, MODULE_NAMES, NameUse, used_names
from taskfc_ext.ipython.hints import did_you_mean, public_names
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.protocol.resources import format_size
from taskfc_ext.serialize.blame import describe_failure, text_of
from taskfc_ext.serialize.chance import carried
from taskfc_ext.serialize.limited import LimitedFile
from taskfc_ext.serialize.mentioned import Mentions
from taskfc_ext.serialize.needs import code_may_bind, definitions, names_read_pickles
from taskfc_ext.serialize.packed_names import Limit, pack_names
from taskfc_ext.serialize.pickler import Pickler, dump_by
from taskfc_ext.serialize.rebuilding import check_classes
from taskfc_ext.serialize.scope import ABSENT
from taskfc_ext.serialize.values import CellOptions
from taskfc_ext.text import one_line

MENTIONED = 200 * 10**6
"""Bytes of all names of a cell, up to which names that only a string mentions are added."""

LARGE = 10**6
"""Bytes from which the size of a name is shown, as sending it takes time."""

_ATOMS = (type(None), bool, int, float, complex)

_WORD = re.compile(r"\w+")

_SHELL_NAMES = frozenset(("In", "Out", "get_ipython", "exit", "quit", "open", "display"))
"""Names that IPython itself puts into a namespace; other names that it hides come from startup files."""

_SHELL_MODULES = ("IPython", "ipykernel", "_sitebuiltins")


@dataclass(frozen=True, slots=True)
class Shipment:
    """The names that a cell gets.

    Attributes:
        values: by name; pickled already after `pack`.
        there_first: names whose value in the worker's persistent namespace, if there is one, is used instead of ours.
        use: the names that the cell uses and defines.
        limits: of names that are left out where they are too large or cannot be pickled; empty after `pack`, `settle`.
        sizes: bytes of each name when pickled; empty before `pack` and `settle`.
    """

    values: dict[str, Any]
    there_first: tuple[str, ...]
    use: NameUse
    limits: dict[str, Limit] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    def large(self) -> str:
        """Return the names over 1 MB with their sizes, as text; empty if there are none."""
        return ", ".join(f"{name} ({format_size(size)})" for name, size in self.sizes.items() if size >= LARGE)


def choose(
    source: str,
    ship: tuple[str, ...] | None,
    namespace: Mapping[str, Any],
    *,
    hidden: Mapping[str, Any],
    transform: Callable[[str], str] = str,
    there: Mapping[str, object] | None = None,
    lazy_hints: bool = False,
) -> Shipment:
    """Return the names that `source` needs or mentions, with their values.

    Args:
        source: the cell.
        ship: exactly these names, instead of the names that `source` uses.
        namespace: where the values are.
        hidden: names that the shell had hidden when it started: its own, and those of startup files.
        transform: turns IPython's syntax into Python's.
        there: for a cell in the persistent namespace, the names that earlier cells have bound there, with their values
            here at that time (`ABSENT`: none); unknown names may then be there too.
        lazy_hints: annotations are not evaluated, because of a future import in an earlier cell.

    Raises:
        BadUsage: a name is unknown.
        SyntaxError: the cell does not compile.
    """
    builtins = BUILTINS - _redefined_builtins(namespace, hidden)
    use = used_names(source, transform=transform, builtins=builtins, lazy_hints=lazy_hints)
    found = [name for name in use.needs if name in namespace or not (there or code_may_bind(name, namespace))]
    names = sorted(found) if ship is None else ship
    for name in names:
        if name not in namespace:
            known = {word for word in namespace if _is_the_users(word, namespace, hidden)}
            hint = "; if an earlier --keep cell has made it: `-i ''`" if there is not None and ship is None else ""
            raise BadUsage(f"{_unknown(name, known if ship else {*known, *use.defines, *BUILTINS})}{hint}")
    if ship is not None:
        return Shipment({name: namespace[name] for name in names}, (), use)
    soft = sorted(name for name in use.may_need if _is_the_users(name, namespace, hidden))
    values = {name: namespace[name] for name in (*names, *soft)}
    limits: dict[str, Limit] = {}
    _add_mentioned(values, limits, use, lambda name: _is_the_users(name, namespace, hidden), namespace)
    if names_read_pickles(_WORD.findall(source)):  # the pickles refer to classes and functions of the notebook
        for name, value in definitions(namespace).items():
            if name not in values:
                values[name], limits[name] = value, _each_up_to_large
    there_first = tuple(name for name in values if there and there.get(name, ABSENT) is values[name])
    return Shipment(values, there_first, use, limits)


def _add_mentioned(
    values: dict[str, Any],
    limits: dict[str, Limit],
    use: NameUse,
    is_the_users: Callable[[str], bool],
    namespace: Mapping[str, Any],
) -> None:
    """Add the names that strings of the cell, or strings that it gets, mention.

    A name that a string only seems to mention is added if it is small and not a future.
    """
    found = Mentions(use.in_strings, use.likely)
    for name, value in values.items():
        if type(value) is str:
            found |= names_in_value(value, is_run=name in use.run)
    for names, is_plain in ((found.plain, True), (found.likely, False)):
        for name in sorted(names.difference(values)):
            if is_the_users(name) and (is_plain or not isinstance(namespace[name], concurrent.futures.Future)):
                values[name] = namespace[name]
                limits[name] = _all_up_to_mentioned if is_plain else _each_up_to_large


def _all_up_to_mentioned(n_before: int) -> int:
    return MENTIONED


def _each_up_to_large(n_before: int) -> int:
    return n_before + LARGE


def pack(
    shipment: Shipment, out: Sequence[str] = (), options: CellOptions | None = None, *, what: str = "the cell"
) -> Shipment:
    """Pickle all names together, once. Names with a limit are left out if they are too large or cannot be pickled.

    Args:
        shipment: as `choose` has returned it.
        out: the names that come back.
        options: settings of the notebook; names that are left out are taken from them.
        what: how messages call the cell.

    Raises:
        BadUsage: a name cannot be pickled; the message names the part that cannot.
    """
    carried.clear()  # generators of a submission that failed, or was only shown
    sizes: dict[str, int] = {}
    try:
        packed = pack_names(shipment.values, out, what=what, options=options, limits=shipment.limits, sizes=sizes)
    except Exception as error:  # noqa: BLE001  the user's __reduce__
        settled = settle(shipment, sizes if shipment.limits else None)  # raises if the name may not be left out
        if not shipment.limits:
            raise BadUsage(one_line(text_of(error))) from None
        return pack(settled, out, _without_missing(options, settled.values), what=what)
    return replace(shipment, values=packed, sizes=sizes, limits={})


def _without_missing(options: CellOptions | None, values: Mapping[str, object]) -> CellOptions | None:
    if options is None:
        return None
    left = options.copy()
    if "there_first" in options:
        left["there_first"] = tuple(name for name in options["there_first"] if name in values)
    if "changed" in options:
        left["changed"] = tuple(name for name in options["changed"] if name in values)
    return left


def settle(shipment: Shipment, known: Mapping[str, int] | None = None) -> Shipment:
    """Measure each name on its own. Names with a limit are left out if they are too large or cannot be pickled.

    Args:
        shipment: as `choose` has returned it.
        known: sizes of names without a limit that were measured already.

    Raises:
        BadUsage: a name without a limit cannot be pickled; the message names the part that cannot.
    """
    values, sizes = dict(shipment.values), dict[str, int]()
    known = known or {}
    n_before = 0
    for name, value in shipment.values.items():
        limit = shipment.limits.get(name)
        if limit is not None:
            size = _size_up_to(limit(n_before) - n_before, value)
        else:
            size = known[name] if name in known else _size(name, value)
        if size is None:
            del values[name]
        else:
            sizes[name] = size
            n_before += size
    there_first = tuple(name for name in shipment.there_first if name in values)
    return replace(shipment, values=values, sizes=sizes, there_first=there_first, limits={})


def _redefined_builtins(namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> set[str]:
    """Return the builtins that the notebook has replaced by values of its own."""
    return {
        name
        for name in BUILTINS - MODULE_NAMES
        if _is_the_users(name, namespace, hidden) and not (name in IPYTHON_NAMES and _is_of_the_shell(namespace[name]))
    }


def _is_of_the_shell(value: object) -> bool:
    """Tell whether `value` is IPython's own `display`, `exit` or `get_ipython`."""
    if isinstance(value, ModuleType):
        return False
    module = getattr(value, "__module__", "")
    return isinstance(module, str) and module.partition(".")[0] in _SHELL_MODULES


def _is_the_users(name: str, namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> bool:
    """Tell whether the notebook, or a startup file of its profile, has bound the name."""
    if name not in namespace:
        return False
    if namespace[name] is not hidden.get(name, ABSENT):
        return True
    return name not in _SHELL_NAMES and not name.startswith("_")


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"unknown name {name!r}{did_you_mean(name, public_names(known))}"


def _size(name: str, value: object) -> int:
    """Return how many bytes `value` is when pickled, without copying its large buffers.

    Raises:
        BadUsage: it cannot be pickled; the message names the part that cannot.
    """
    try:
        return _pickled_size(value, math.inf)
    except Exception as error:  # noqa: BLE001  the user's __reduce__
        raise BadUsage(one_line(describe_failure(name, value, error))) from None


def _size_up_to(limit: float, value: object) -> int | None:
    """Return how many bytes `value` is when pickled; `None` if that is over `limit`, or fails."""
    try:
        return _pickled_size(value, limit)
    except Exception:  # noqa: BLE001  the user's __reduce__
        return None


def _pickled_size(value: object, limit: float) -> int:
    if isinstance(value, (*_ATOMS, concurrent.futures.Future)):
        return 0  # the result of a future goes from worker to worker
    file = LimitedFile(limit)

    def make() -> Pickler:
        file.clear()
        return Pickler(file, file.take)

    pickler = dump_by(make, value)
    check_classes(pickler.made_classes, what="it")
    return file.size
