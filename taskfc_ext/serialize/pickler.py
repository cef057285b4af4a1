"""Pickler of objects that go by value: functions, their cells and namespaces, caches, modules, classes.

Based on cloudpickle, which would copy shared objects. Here all functions of one namespace keep one namespace, functions
that share a variable keep sharing it, and a class is made once.
"""

from __future__ import annotations

import functools
import io
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as _cloudpickle

from taskfc_ext.serialize import chance, classes, instances, machinery, out_of_band, scope
from taskfc_ext.serialize.bodies import Buffers
from taskfc_ext.serialize.by_value import is_importable, is_pickled_by_reference, is_pickled_by_value
from taskfc_ext.serialize.exceptions import Exceptions
from taskfc_ext.serialize.limited import LimitReached
from taskfc_ext.serialize.needs import definitions, mentioned_names, needed_names, reads_pickles
from taskfc_ext.serialize.scope import ABSENT, MAIN, Brought

PICKLE_PROTOCOL = 5

names_in_code: set[tuple[str, ...]] = set()
"""`co_names` of all code that this process has pickled by value. It only grows."""

_untyped: Any = _cloudpickle  # it has no types
_inherited: Any = cloudpickle.Pickler.dispatch_table

_FILENAME = 10
"""Position of the file name in the arguments of `CodeType`."""


def _reduce_code(code: CodeType) -> Any:
    names_in_code.add(code.co_names)
    make, arguments = _inherited[CodeType](code)
    # from 3.1.2 on, cloudpickle names every file "<dynamic-code>", and tracebacks would not find the source lines
    return make, (*arguments[:_FILENAME], code.co_filename, *arguments[_FILENAME + 1 :])


# reducers for exact types


def _reduce_sentinel(sentinel: object) -> Any:
    for name, value in vars(sys.modules[MAIN]).items():
        if value is sentinel:
            return _sentinel, (name,)
    return object, ()


def _reduce_module(module: ModuleType) -> Any:
    if not is_pickled_by_value(module):
        return _inherited[ModuleType](module)
    key, name = scope.key_of(module.__dict__)
    names = {name: value for name, value in vars(module).items() if name != "__builtins__"}
    return _module, (key, name), names, None, None, _fill_module


def _reduce_lru_cache(cached: Any) -> Any:
    return cached.__reduce__() if is_importable(cached) else machinery.reduce_lru_cache(cached)


class _Reducers(dict[type, Any]):
    """The reducers by type. Those of libraries are found by name, as a library may be imported later."""

    def __missing__(self, kind: type) -> Any:
        if kind.__module__ == "IPython.core.autocall":
            return machinery.reduce_exit
        reduce = out_of_band.reducer_for(kind)
        if reduce is None:
            raise KeyError(kind)
        return reduce


_BY_TYPE = {
    CodeType: _reduce_code,
    ModuleType: _reduce_module,
    object: _reduce_sentinel,
    functools.cached_property: machinery.reduce_cached_property,
    machinery.LruCache: _reduce_lru_cache,
    **dict.fromkeys(machinery.WEAK_MAPPINGS, machinery.reduce_weak_mapping),
}


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickler with reducers for the notebook's definitions, and for objects that pickle and cloudpickle do not restore.

    Args:
        file: receives the pickle.
        buffer_callback: receives large buffers instead; see `pickle.Pickler`.

    Attributes:
        filenames: the file names of the code in the pickle.
        made_classes: the classes in the pickle that are made again.
        exceptions: the reducer of exceptions.
        sends_guesses: whether functions get globals that they may need: the names in their strings, and the names in
            pickles that they read.
        has_guesses: whether the pickle holds such a global.
    """

    dispatch_table = ChainMap(_Reducers(_BY_TYPE), chance.TABLE, _inherited)

    def __init__(self, file: Any, buffer_callback: Callable[[Any], Any] | None = None) -> None:
        chance.learn_types()
        super().__init__(file, PICKLE_PROTOCOL, buffer_callback)
        self.filenames: dict[str, None] = {}
        self.made_classes: dict[type, None] = {}
        self.exceptions = Exceptions()
        self.sends_guesses = True
        self.has_guesses = False
        self._spaces: dict[str, Space] = {}
        self._filled_cells: set[int] = set()
        self._open_classes: set[type] = set()
        self._reducers: dict[type, Callable[[Any], Any] | None] = {}

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is FunctionType:
            if not is_pickled_by_reference(obj):
                return machinery.reduce_dispatcher(obj) if machinery.is_dispatcher(obj) else self._reduce_function(obj)
        elif kind is CodeType:
            self.filenames[obj.co_filename] = None
        elif kind is CellType:
            return self._reduce_cell(obj)
        elif kind is Space:
            return _space, (obj.key, obj.name)
        elif issubclass(kind, type):
            if classes.is_by_value(obj):
                self.made_classes[obj] = None
                self._open_classes.add(obj)
                return classes.reduce_class(obj, is_global=is_global(obj))
        elif kind is classes.Early:
            return classes.reduce_early(obj)
        elif kind is classes.Complete:
            self._open_classes.discard(obj.cls)
            return classes.reduce_complete(obj)
        elif issubclass(kind, BaseException):
            return self.exceptions.reduce(obj)
        elif classes.is_member(obj):
            return classes.reduce_member(obj)
        elif (reduce := self._reducer_of(kind)) is not None:
            return reduce(obj)
        elif kind in self._open_classes:
            return instances.bare_instance(obj)
        return super().reducer_override(obj)

    def _reducer_of(self, kind: type) -> Callable[[Any], Any] | None:
        try:
            return self._reducers[kind]
        except KeyError:
            reduce = self._reducers[kind] = instances.reducer_of(kind)
            return reduce

    # functions

    def _reduce_function(self, function: FunctionType) -> Any:
        needs = self.needs_of(function)
        key, module = scope.key_of(function.__globals__)
        private = self._private(key, needs)
        if isinstance(function.__globals__, Brought) and _fits(function.__globals__, needs):
            key = module = MAIN
        cells = function.__closure__ or ()
        self._filled_cells.update(map(id, cells))
        arguments = (
            function.__code__,
            self._space(key, module),
            function.__name__,
            cells,
            tuple(needs),
            private,
        )
        state = (
            function.__qualname__,
            function.__module__,
            function.__doc__,
            function.__defaults__,
            function.__kwdefaults__,
            function.__annotations__,
            dict(function.__dict__),
            getattr(function, "__type_params__", ()),
            tuple([_contents(cell) for cell in cells]),
            needs,
            private,
            is_global(function),
            _submodules(function, needs),
        )
        return _make_function, arguments, state, None, None, _set_function

    def needs_of(self, function: FunctionType) -> dict[str, Any]:
        """Return the globals that are pickled with a function."""
        needs = dict(needed_names(function))
        if not self.sends_guesses:
            return needs
        guessed = dict(mentioned_names(function))
        if reads_pickles(function.__code__):
            guessed |= definitions()
        self.has_guesses |= bool(guessed)
        return {**guessed, **needs}

    @staticmethod
    def _private(key: str, needs: Mapping[str, Any]) -> tuple[str, ...]:
        host = scope.host()
        if host is None or key != MAIN:
            return ()
        return tuple([name for name, value in needs.items() if host.is_private(name, value)])

    def _space(self, key: str, name: str) -> Space:
        return self._spaces.setdefault(key, Space(key, name))

    def _reduce_cell(self, cell: CellType) -> Any:
        if id(cell) in self._filled_cells:
            return _untyped._make_empty_cell, ()  # filled by the functions that share it, once all of them exist
        return _inherited[CellType](cell)


class Space:
    """Placeholder in a pickle for the namespace under a key."""

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name


# called by pickles when they are loaded


def _space(key: str, name: str) -> tuple[str, str]:
    return key, name


def _make_function(
    code: CodeType,
    space: tuple[str, str],
    name: str,
    cells: tuple[CellType, ...],
    needs: tuple[str, ...],
    private: tuple[str, ...],
) -> FunctionType:
    return FunctionType(code, scope.loader().globals_for(*space, needs, private), name, None, cells or None)


def _set_function(function: FunctionType, state: tuple[Any, ...]) -> None:
    qualname, module, doc, defaults, kwdefaults, annotations, attributes, type_params, contents, *rest = state
    needs, private, is_global, _ = rest
    function.__qualname__ = qualname
    function.__module__ = module
    function.__doc__ = doc
    function.__defaults__ = defaults
    function.__kwdefaults__ = kwdefaults
    if annotations:
        function.__annotations__ = annotations
    function.__dict__.update(attributes)
    if type_params:
        function.__type_params__ = type_params  # type: ignore[attr-defined]  # from Python 3.12 on
    for cell, value in zip(function.__closure__ or (), contents, strict=True):
        if value is not _EMPTY:
            cell.cell_contents = value
    loader = scope.loader()
    loader.define(function.__globals__, needs, private)
    if is_global and isinstance(loader, scope.Host):
        loader.define(function.__globals__, {qualname: function})


class _Empty:
    def __reduce__(self) -> str:
        return "_EMPTY"


_EMPTY = _Empty()
"""The content of a cell that was not assigned yet."""


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _sentinel(name: str) -> object:
    return scope.loader().sentinel(name)


def _module(key: str, name: str) -> ModuleType:
    return scope.loader().space(key, name)


def _fill_module(module: ModuleType, names: Mapping[str, Any]) -> None:
    loader = scope.loader()
    loader.define(vars(module), names)


# names of the notebook


def is_global(item: Any) -> bool:
    """Return whether the notebook has `item` under its own name, so that a task can also pickle it by reference."""
    return vars(sys.modules[MAIN]).get(item.__qualname__, ABSENT) is item


def _fits(brought: Brought, needs: Mapping[str, Any]) -> bool:
    """Return whether the names that came back with a function agree with the notebook's."""
    here = vars(sys.modules[MAIN])
    return brought.below is here and all(here.get(name, value) is value for name, value in needs.items())


def _submodules(function: FunctionType, needs: Mapping[str, Any]) -> Any:
    """Return the submodules that the function uses through their package: the loading end has to import them."""
    values = [*needs.values(), *map(_contents, function.__closure__ or ())]
    if not any(type(value) is ModuleType for value in values):
        return ()
    return _untyped._find_imported_submodules(function.__code__, values)


def dump(
    value: object, file: io.BytesIO, buffers: Buffers | None = None, exceptions: Exceptions | None = None
) -> Pickler:
    """Pickle `value` to the end of `file`; return the pickler.

    Args:
        value: anything.
        file: a file, positioned at its end.
        buffers: receives large buffers.
        exceptions: the reducer of exceptions; by default they are pickled without their chains.

    Raises:
        Exception: raised by the value's own code.
    """
    start = file.tell()

    def make() -> Pickler:
        file.seek(start)
        file.truncate()
        if buffers is not None:
            buffers.clear()
        pickler = Pickler(file, buffers.take if buffers is not None else None)
        pickler.exceptions = exceptions or pickler.exceptions
        return pickler

    return dump_by(make, value)


def dump_by(make: Callable[[], Pickler], value: object) -> Pickler:
    """Pickle `value`; return the pickler. After a failure, try once more without guesses.

    Args:
        make: makes a pickler whose file is empty.
        value: anything.

    Raises:
        LimitReached: the file has reached a limit.
        Exception: raised by the value's own code.
    """
    pickler = make()
    try:
        pickler.dump(value)
    except LimitReached:
        raise
    except Exception:
        if not pickler.has_guesses:
            raise
    else:
        return pickler
    pickler = make()
    pickler.sends_guesses = False
    pickler.dump(value)
    return pickler
