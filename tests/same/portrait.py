"""Portraits of values: plain data that says what a value is, can be compared across processes, and is no code.

A portrait is a number, a text, an array, or a tuple `(kind, part, ...)` of portraits, with a dict for attributes.
"""

from __future__ import annotations

import collections
import enum
import functools
import inspect
import io
import json
import logging
import random
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

DEEPEST = 14
MOST_PARTS = 40_000
SKIPPED = frozenset(("__dict__", "__weakref__", "_cache", "diagn", "mle_settings"))
"""Attributes that hold what was computed from others, or what libraries themselves drop when they are pickled."""

MAY_LACK = "~"
"""Begins private attributes of a library's objects: one that is there on one side only is a cache, no difference."""

_DURATION = re.compile(r"(?:mean|std|refit)_(?:\w+_)?time_?")
"""Names under which scikit-learn keeps how long something took."""

_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def portrait(value: object) -> Any:
    """Return the portrait of a value."""
    return _Painter().paint(value)


def without_addresses(text: str) -> str:
    """Return a text with memory addresses blanked."""
    return _ADDRESS.sub("0x...", text)


_UNSHARED = (type, types.ModuleType, tuple, frozenset, int, float, str, bytes)
"""What is painted each time that it comes: nobody can tell whether it is shared."""


class _Painter:
    """Paints one value and what it holds; what comes twice is painted once."""

    def __init__(self) -> None:
        self._seen: dict[int, object] = {}
        self._depth = 0

    def paint(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, float, complex, str, bytes):
            return (kind.__name__, value)
        if id(value) in self._seen:
            return ("again", _name(kind))
        if self._depth > DEEPEST or len(self._seen) > MOST_PARTS:
            return ("...", _name(kind))
        if not isinstance(value, _UNSHARED):
            self._seen[id(value)] = value  # kept alive, so that no id comes again
        self._depth += 1
        try:
            for fits, paint in _KINDS:
                if fits(value):
                    return paint(self, value)
            return self._object(value)
        except Exception as error:
            return ("cannot be painted", _name(kind), type(error).__name__)
        finally:
            self._depth -= 1

    def _all(self, values: Any) -> tuple[Any, ...]:
        return tuple(self.paint(each) for each in values)

    def _pairs(self, pairs: Any) -> tuple[Any, ...]:
        return tuple((self._key(key), self._paint_named(key, each)) for key, each in pairs)

    def _key(self, key: object) -> Any:
        return key if type(key) is str else self.paint(key)

    def _paint_named(self, name: object, value: object) -> Any:
        is_duration = type(name) is str and _DURATION.fullmatch(name)
        return ("duration",) if is_duration else self.paint(value)

    def _object(self, value: Any) -> Any:
        kind, items = _name(type(value)), self._items_of(value)
        held = {
            _attribute(type(value), name): self._paint_named(name, each) for name, each in sorted(_attributes(value))
        }
        if held or items or type(value).__repr__ is object.__repr__:
            return ("object", kind, *items, held)
        return ("object", kind, without_addresses(repr(value))[:2000])

    def _items_of(self, value: Any) -> tuple[Any, ...]:
        """Return the items of what derives from a container."""
        if isinstance(value, dict):
            return (self._pairs(dict.items(value)),)
        if isinstance(value, list | tuple):
            return (self._all(value),)
        if isinstance(value, set | frozenset):
            return (tuple(sorted(map(repr, self._all(value)))),)
        if isinstance(value, int | float | str | bytes):
            return (repr(value),)
        return ()


def _attribute(kind: type, name: str) -> str:
    is_private = name.startswith("_") and kind.__module__ != "__main__"
    return f"{MAY_LACK}{name}" if is_private else name


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    everything = {name: it for each in reversed(kind.__mro__) for name, it in vars(each).items()}
    cached = {name for name, it in everything.items() if isinstance(it, functools.cached_property)}
    for name, each in getattr(value, "__dict__", {}).items():
        if name not in SKIPPED and name not in cached:
            yield name, each
    for each in kind.__mro__:
        slots = vars(each).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in SKIPPED and hasattr(value, name):
                yield name, getattr(value, name)


def _from(module: str, *names: str) -> Callable[[Any], bool]:
    """Return a test for instances of classes of a module, which is not imported for it."""

    def fits(value: Any) -> bool:
        found = sys.modules.get(module)
        kinds = tuple(kind for name in names if (kind := getattr(found, name, None)) is not None)
        return bool(kinds) and isinstance(value, kinds)

    return fits


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def _isinstance(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _array(painter: _Painter, value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.ma.MaskedArray):
        return ("masked", painter.paint(np.asarray(value.filled())), painter.paint(np.ma.getmaskarray(value)))
    if value.dtype == object or value.dtype.hasobject:
        return (_name(type(value)), str(value.dtype), value.shape, painter._all(value.ravel().tolist()))
    kept = np.array(value, subok=False)
    return (_name(type(value)), str(value.dtype), value.flags.writeable, kept)


def _frame(painter: _Painter, value: Any) -> Any:
    columns = [painter.paint(value.iloc[:, place]) for place in range(value.shape[1])]
    return (_name(type(value)), painter.paint(value.columns), painter.paint(value.index), *columns)


def _series(painter: _Painter, value: Any) -> Any:
    import numpy as np

    is_numpy = isinstance(value.dtype, np.dtype) and value.dtype != object
    values = np.asarray(value) if is_numpy else value.tolist()
    return (
        _name(type(value)),
        str(value.dtype),
        painter.paint(value.name),
        painter.paint(value.index),
        painter.paint(values),
    )


def _index(painter: _Painter, value: Any) -> Any:
    return (_name(type(value)), str(value.dtype), painter._all(value.names), painter._all(value.tolist()))


_CACHES = frozenset(("dispatch_cache", "cache_token", "_clear_cache"))
"""Variables of `functools.singledispatch` that hold what it has looked up."""


def _function(painter: _Painter, value: Any) -> Any:
    code = value.__code__
    named = zip(code.co_freevars, value.__closure__ or (), strict=True)
    cells = [cell.cell_contents if _is_filled(cell) else "(empty)" for name, cell in named if name not in _CACHES]
    return (
        "function",
        f"{value.__module__}.{value.__qualname__}",
        str(inspect.signature(value, follow_wrapped=False)) if not value.__defaults__ else code.co_varnames,
        _code(painter, code),
        painter._all(value.__defaults__ or ()),
        painter._pairs((value.__kwdefaults__ or {}).items()),
        painter._all(cells),
        painter._pairs((name, each) for name, each in value.__dict__.items() if name not in _CACHES),
        str(value.__doc__),
    )


def _code(painter: _Painter, code: types.CodeType) -> Any:
    consts = (
        _code(painter, each) if isinstance(each, types.CodeType) else painter.paint(each) for each in code.co_consts
    )
    return (code.co_code, code.co_names, *consts)


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _class(painter: _Painter, value: Any) -> Any:
    if value.__module__ != "__main__":
        return ("class", _name(value))
    skipped = (
        "__dict__",
        "__weakref__",
        "__annotations_cache__",
        "__firstlineno__",
        "__slotnames__",
        "__static_attributes__",
    )
    held = {
        key: each for key, each in sorted(vars(value).items()) if key not in skipped and not key.startswith("_abc_")
    }
    painted = {key: painter.paint(each) for key, each in held.items()}
    return ("class", _name(value), tuple(map(_name, value.__mro__)), painted)


def _method(painter: _Painter, value: Any) -> Any:
    """Return a bound method's portrait; one of a module's hidden generator is a function of the module."""
    is_hidden = getattr(sys.modules.get("random"), "_inst", None) is value.__self__
    return ("method", value.__func__.__qualname__, None if is_hidden else painter.paint(value.__self__))


def _figure(painter: _Painter, value: Any) -> Any:
    del painter
    from matplotlib.image import imread

    file = io.BytesIO()
    value.savefig(file, format="png", dpi=40)
    file.seek(0)
    return ("pixels", imread(file))


def _artist(painter: _Painter, value: Any) -> Any:
    if type(value).__name__.startswith("Axes"):
        return (_name(type(value)), painter.paint(value.figure))
    return ("artist", _name(type(value)))


def _graph(painter: _Painter, value: Any) -> Any:
    return (
        _name(type(value)),
        *map(painter.paint, (value.graph, list(value.nodes(data=True)), list(value.edges(data=True)))),
    )


def _exception(painter: _Painter, value: Any) -> Any:
    own = {name: each for name, each in getattr(value, "__dict__", {}).items() if not name.startswith("_")}
    notes = tuple(own.pop("__notes__", ()))
    inner = painter._all(value.exceptions) if isinstance(value, BaseExceptionGroup) else ()
    return (
        "exception",
        _name(type(value)),
        without_addresses(str(value)),
        painter._all(value.args),
        painter._pairs(sorted(own.items())),
        notes,
        inner,
        painter.paint(_because(value)),
    )


def _because(error: BaseException) -> BaseException | None:
    """Return what an exception was raised from, or while what was handled; a task's remote traceback is neither."""
    found = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None if type(found).__name__ == "RemoteTraceback" else found


_BUILTIN = (types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType)
_KINDS: list[tuple[Callable[[Any], bool], Callable[[_Painter, Any], Any]]] = [
    (_is(list, tuple), lambda p, v: (type(v).__name__, *p._all(v))),
    (_is(set, frozenset), lambda p, v: (type(v).__name__, *sorted(map(repr, p._all(v))))),
    (_is(dict), lambda p, v: ("dict", *p._pairs(v.items()))),
    (_isinstance(types.ModuleType), lambda p, v: ("module", v.__name__)),
    (_isinstance(enum.Enum), lambda p, v: ("enum", _name(type(v)), str(v.name), p.paint(v.value))),
    (_isinstance(type), _class),
    (_isinstance(types.FunctionType), _function),
    (_isinstance(types.MethodType), _method),
    (_isinstance(*_BUILTIN), lambda p, v: ("built in", getattr(v, "__qualname__", repr(v)))),
    (_isinstance(functools.partial), lambda p, v: ("partial", *map(p.paint, (v.func, v.args, v.keywords)))),
    (_isinstance(staticmethod, classmethod), lambda p, v: (type(v).__name__, p.paint(v.__func__))),
    (_isinstance(property), lambda p, v: ("property", *map(p.paint, (v.fget, v.fset, v.fdel)))),
    (_isinstance(functools.cached_property), lambda p, v: ("cached property", p.paint(v.func))),
    (lambda v: hasattr(v, "cache_info"), lambda p, v: ("cached", p.paint(v.__wrapped__))),
    (_isinstance(types.GeneratorType, types.CoroutineType), lambda p, v: (type(v).__name__, v.__qualname__)),
    (_isinstance(BaseException), _exception),
    (_isinstance(logging.Logger), lambda p, v: ("logger", v.name, v.level)),
    (lambda v: type(v).__module__.partition(".")[0] == "asyncio", lambda p, v: ("of a loop", _name(type(v)))),
    (
        _isinstance(collections.defaultdict),
        lambda p, v: ("defaultdict", p.paint(v.default_factory), *p._pairs(v.items())),
    ),
    (_from("patsy.eval", "EvalEnvironment"), lambda p, v: ("environment",)),  # the frame that built the model
    (_isinstance(PurePath), lambda p, v: (_name(type(v)), str(v))),
    (_isinstance(random.Random), lambda p, v: ("random", p.paint(v.getstate()))),
    (_isinstance(re.Pattern), lambda p, v: ("pattern", v.pattern, v.flags)),
    (_isinstance(re.Match), lambda p, v: ("match", v.span(), p.paint(v.groups()))),
    (_isinstance(io.IOBase), lambda p, v: ("file", _name(type(v)), v.closed)),
    (_from("numpy", "ndarray"), _array),
    (_from("numpy", "generic"), lambda p, v: (_name(type(v)), v.item() if not v.dtype.fields else repr(v))),
    (_from("numpy", "dtype"), lambda p, v: ("dtype", str(v))),
    (_from("numpy.random", "Generator"), lambda p, v: ("generator", p.paint(v.bit_generator.state))),
    (_from("numpy.random", "RandomState"), lambda p, v: ("generator", p.paint(v.get_state(legacy=False)))),
    (_from("pandas", "DataFrame"), _frame),
    (_from("pandas", "Series"), _series),
    (_from("pandas", "Index"), _index),
    (_from("matplotlib.figure", "Figure"), _figure),
    (_from("matplotlib.artist", "Artist"), _artist),
    (_from("networkx", "Graph"), _graph),
    (
        _from("plotly.basedatatypes", "BaseFigure"),
        lambda p, v: ("chart", json.dumps(json.loads(v.to_json()), sort_keys=True)),
    ),
    (_from("altair", "TopLevelMixin"), lambda p, v: ("chart", json.dumps(v.to_dict(), sort_keys=True, default=str))),
    (_from("IPython.core.magics.execution", "TimeitResult"), lambda p, v: ("duration", v.loops, v.repeat)),
]
