"""The pickler of everything that travels by value: functions, their cells and namespaces, caches, modules, classes.

cloudpickle serves what is common. What it would copy, and so tear apart, is made here: all functions of one namespace
keep one namespace, functions that share a variable keep sharing it, a class is made once.
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

from taskfc_ext.serialize import chance, classes, instances, machinery, scope
from taskfc_ext.serialize.bodies import Buffers
from taskfc_ext.serialize.by_value import is_importable, travels_as_name, travels_by_value
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
"""Where `CodeType` takes the name of the file."""


def _reduce_code(code: CodeType) -> Any:
    names_in_code.add(code.co_names)
    make, arguments = _inherited[CodeType](code)
    # from 3.1.2 on, cloudpickle calls every file "<dynamic-code>", under which no traceback finds its lines
    return make, (*arguments[:_FILENAME], code.co_filename, *arguments[_FILENAME + 1 :])


# of one type exactly, whatever the pickler has met before


def _reduce_sentinel(sentinel: object) -> Any:
    for name, value in vars(sys.modules[MAIN]).items():
        if value is sentinel:
            return _sentinel, (name,)
    return object, ()


def _reduce_module(module: ModuleType) -> Any:
    if not travels_by_value(module):
        return _inherited[ModuleType](module)
    key, name = scope.key_of(module.__dict__)
    names = {name: value for name, value in vars(module).items() if name != "__builtins__"}
    return _module, (key, name), names, None, None, _fill_module


def _reduce_lru_cache(cached: Any) -> Any:
    return cached.__reduce__() if is_importable(cached) else machinery.reduce_lru_cache(cached)


class _Reducers(dict[type, Any]):
    """Reducers of ours; IPython's `exit` is known by the module of its type, as IPython may be imported later."""

    def __missing__(self, kind: type) -> Any:
        if kind.__module__ == "IPython.core.autocall":
            return machinery.reduce_exit
        raise KeyError(kind)


_BY_TYPE = {
    CodeType: _reduce_code,
    ModuleType: _reduce_module,
    object: _reduce_sentinel,
    functools.cached_property: machinery.reduce_cached_property,
    machinery.LruCache: _reduce_lru_cache,
    **dict.fromkeys(machinery.WEAK_MAPPINGS, machinery.reduce_weak_mapping),
}


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles what the notebook defines by value, and what would not come back as it is.

    Args:
        file: takes the pickle.
        buffer_callback: takes large buffers instead; see `pickle.Pickler`.

    Attributes:
        filenames: of the code in the pickle.
        made_classes: the classes in it.
        exceptions: how exceptions are pickled.
        sends_guesses: whether functions get what their strings mention, and what pickles that they read may refer to.
        has_guesses: whether any did.
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
        self._spaces: dict[str, _Space] = {}
        self._filled_cells: set[int] = set()
        self._open_classes: set[type] = set()
        self._reducers: dict[type, Callable[[Any], Any] | None] = {}

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is FunctionType:
            if not travels_as_name(obj):
                return machinery.reduce_dispatcher(obj) if machinery.is_dispatcher(obj) else self._reduce_function(obj)
        elif kind is CodeType:
            self.filenames[obj.co_filename] = None
        elif kind is CellType:
            return self._reduce_cell(obj)
        elif kind is _Space:
            return _space, (obj.key, obj.name)
        elif issubclass(kind, type):
            if classes.is_by_value(obj):
                self.made_classes[obj] = None
                self._open_classes.add(obj)
                return classes.reduce_class(obj, is_global=_is_global(obj))
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
            _is_global(function),
            _submodules(function, needs),
        )
        return _make_function, arguments, state, None, None, _set_function

    def needs_of(self, function: FunctionType) -> dict[str, Any]:
        """Return the globals that go with a function."""
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

    def _space(self, key: str, name: str) -> _Space:
        return self._spaces.setdefault(key, _Space(key, name))

    def _reduce_cell(self, cell: CellType) -> Any:
        if id(cell) in self._filled_cells:
            return _untyped._make_empty_cell, ()  # the functions that share it fill it, once all of them are there
        return _inherited[CellType](cell)


class _Space:
    """Stands in a pickle for the namespace under a key."""

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name


# what a pickle calls when it is loaded


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
"""What a cell holds that was not assigned yet."""


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


# what stands in the notebook under its own name


def _is_global(item: Any) -> bool:
    """Say whether the notebook has `item` under its own name, so that it can be pickled by that in a task, too."""
    return vars(sys.modules[MAIN]).get(item.__qualname__, ABSENT) is item


def _fits(brought: Brought, needs: Mapping[str, Any]) -> bool:
    """Say whether the names that came back with a function contradict none of the notebook's."""
    here = vars(sys.modules[MAIN])
    return brought.below is here and all(here.get(name, value) is value for name, value in needs.items())


def _submodules(function: FunctionType, needs: Mapping[str, Any]) -> Any:
    """Return modules that the function reaches through their package: to be imported there, too."""
    values = [*needs.values(), *map(_contents, function.__closure__ or ())]
    if not any(type(value) is ModuleType for value in values):
        return ()
    return _untyped._find_imported_submodules(function.__code__, values)


def dump(
    value: object, file: io.BytesIO, buffers: Buffers | None = None, exceptions: Exceptions | None = None
) -> Pickler:
    """Pickle `value` to the end of `file`, and return what did.

    Args:
        value: anything.
        file: at its end.
        buffers: takes large buffers.
        exceptions: how exceptions are pickled; by default without what they came of.

    Raises:
        Exception: whatever the value's own code raises.
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
    """Pickle `value`, and return what did.

    Where that fails, it is done once more without what is only sent in case that it is needed.

    Args:
        make: makes a pickler whose file is empty.
        value: anything.

    Raises:
        LimitReached: the file takes no more.
        Exception: whatever the value's own code raises.
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
