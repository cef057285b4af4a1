"""Parts of an object that are pickled with it, with names for messages. No property is evaluated."""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.by_value import is_importable, is_pickled_by_value
from taskfc_ext.serialize.needs import global_names

LEAVES = (*ATOMS, bytearray, type(Ellipsis))
"""Types whose values have no parts. Not a set: a class may have no hash, and messages must name its instances too."""

_MAX_KEY = 60
_PYTHONS_OWN = ("__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__slots__", "__abstractmethods__")

Part = tuple[str, object]
"""The step that leads to a part (`.name`, `[key]`, or words that begin with "its "), and the part."""


def parts_of(value: object) -> Iterator[Part]:
    """Yield the parts that are pickled with `value`; none for an object that is pickled by reference."""
    kind = type(value)
    if kind in LEAVES or _is_pickled_by_reference(value):
        return
    for known, yield_parts in _BY_TYPE:
        if isinstance(value, known):
            yield from yield_parts(value)
            break
    yield from _parts_of_library(value)
    if not isinstance(value, (FunctionType, type, ModuleType)):
        yield from _attributes(value)
        if not _is_pickled_by_reference(kind):
            yield f"its class `{kind.__qualname__}`", kind


def _is_pickled_by_reference(value: object) -> bool:
    try:
        if isinstance(value, ModuleType):
            return not is_pickled_by_value(value)
        return isinstance(value, (FunctionType, type)) and is_importable(value)
    except Exception:  # noqa: BLE001  raised by a metaclass
        return False


def _items_of_dict(value: dict[object, object]) -> Iterator[Part]:
    for key, item in list(dict.items(value)):
        yield f"[{text_of_key(key)}]", item
        if type(key) not in LEAVES:
            yield f"its key {text_of_key(key)}", key
    factory = getattr(value, "default_factory", None)
    if factory is not None:
        yield ".default_factory", factory


def _items_of_proxy(value: MappingProxyType[Any, Any]) -> Iterator[Part]:
    yield from ((f"[{text_of_key(key)}]", value[key]) for key in list(value))


def _items(value: Any) -> Iterator[Part]:
    names = getattr(type(value), "_fields", ())
    for i, item in enumerate(_iterate(value)):
        if type(item) not in LEAVES:
            yield (f".{names[i]}" if i < len(names) else f"[{i}]"), item


def _iterate(value: Any) -> Iterator[object]:
    """Iterate by the builtin type's own method, which a subclass may override."""
    kind: Any = next(kind for kind in (list, tuple, set, frozenset, deque) if isinstance(value, kind))
    items: Iterator[object] = kind.__iter__(value)
    return items


def _items_of_set(value: Any) -> Iterator[Part]:
    yield from ((f"its item {text_of_key(item)}", item) for item in _iterate(value) if type(item) not in LEAVES)


def _parts_of_function(function: FunctionType) -> Iterator[Part]:
    variables = function.__globals__
    names = [name for name in global_names(function.__code__) if name in variables]
    yield from ((f"its global `{name}`", variables[name]) for name in names)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"its closure variable `{name}`", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    defaults = function.__defaults__ or ()
    positional = function.__code__.co_varnames[: function.__code__.co_argcount]
    for name, item in zip(positional[len(positional) - len(defaults) :], defaults, strict=False):
        yield f"its default of `{name}`", item
    yield from ((f"its default of `{name}`", item) for name, item in (function.__kwdefaults__ or {}).items())
    yield from ((f"its annotation of `{name}`", item) for name, item in function.__annotations__.items())
    yield from ((f"its attribute `{name}`", item) for name, item in list(vars(function).items()))


def _parts_of_method(method: MethodType) -> Iterator[Part]:
    yield "its `__self__`", method.__self__
    yield "its function", method.__func__


def _parts_of_builtin_method(method: Any) -> Iterator[Part]:
    if not isinstance(method.__self__, ModuleType):
        yield "its `__self__`", method.__self__


def _parts_of_partial(partial: functools.partial[Any]) -> Iterator[Part]:
    yield "its function", partial.func
    yield from ((f"its argument {i}", item) for i, item in enumerate(partial.args, 1))
    yield from ((f"its argument `{name}`", item) for name, item in partial.keywords.items())


def _parts_of_class(kind: type) -> Iterator[Part]:
    for name, item in list(vars(kind).items()):
        if name not in _PYTHONS_OWN:
            yield f".{name}", item
    yield from ((f"its base `{base.__qualname__}`", base) for base in kind.__bases__)
    if type(kind) is not type:
        yield f"its metaclass `{type(kind).__qualname__}`", type(kind)


def _parts_of_wrapper(wrapper: Any) -> Iterator[Part]:
    yield "its function", wrapper.__func__


def _parts_of_property(value: property) -> Iterator[Part]:
    yield from ((f"its {name}", item) for name, item in (("getter", value.fget), ("setter", value.fset)) if item)
    if value.fdel:
        yield "its deleter", value.fdel


def _parts_of_module(module: ModuleType) -> Iterator[Part]:
    yield from ((f".{name}", item) for name, item in list(vars(module).items()) if name != "__builtins__")


def _parts_of_cell(cell: CellType) -> Iterator[Part]:
    try:
        yield "its contents", cell.cell_contents
    except ValueError:  # not assigned yet
        return


def _parts_of_exception(error: BaseException) -> Iterator[Part]:
    yield from ((f".args[{i}]", item) for i, item in enumerate(vars(BaseException)["args"].__get__(error)))
    if isinstance(error, BaseExceptionGroup):
        yield from ((f".exceptions[{i}]", item) for i, item in enumerate(error.exceptions))


_BY_TYPE: tuple[tuple[Any, Any], ...] = (
    (dict, _items_of_dict),
    (MappingProxyType, _items_of_proxy),
    ((list, tuple, deque), _items),
    ((set, frozenset), _items_of_set),
    (FunctionType, _parts_of_function),
    (MethodType, _parts_of_method),
    ((BuiltinFunctionType, MethodWrapperType), _parts_of_builtin_method),
    (functools.partial, _parts_of_partial),
    (type, _parts_of_class),
    ((staticmethod, classmethod), _parts_of_wrapper),
    (property, _parts_of_property),
    (ModuleType, _parts_of_module),
    (CellType, _parts_of_cell),
    (BaseException, _parts_of_exception),
)


def _attributes(value: object) -> Iterator[Part]:
    """Yield the attributes and slots of an instance."""
    try:
        named = object.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001  it has no `__dict__`
        named = None
    if isinstance(named, dict):
        yield from ((f".{name}", named[name]) for name in list(named))
    for kind in type(value).__mro__:
        for name, field in list(vars(kind).items()):
            if type(field) is MemberDescriptorType:
                try:
                    yield f".{name}", field.__get__(value)
                except Exception:  # noqa: BLE001  not set
                    continue


def _parts_of_library(value: object) -> Iterator[Part]:
    """Yield the items of numpy arrays and pandas tables of objects, by index, column and row."""
    numpy: Any = sys.modules.get("numpy")
    pandas: Any = sys.modules.get("pandas")
    try:
        if numpy is not None and isinstance(value, numpy.ndarray) and value.dtype == object:
            for index, item in numpy.ndenumerate(value):
                if type(item) not in LEAVES:
                    yield f"[{', '.join(map(str, index))}]", item
        elif pandas is not None and isinstance(value, pandas.DataFrame):
            for name, column in value.items():
                yield from _rows(f"its column {text_of_key(name)}", column)
            yield from _rows("its index", value.index)
        elif pandas is not None and isinstance(value, (pandas.Series, pandas.Index)):
            yield from _rows("", value)
            if isinstance(value, pandas.Series):
                yield from _rows("its index", value.index)
    except Exception:  # noqa: BLE001  raised by a subclass, or the module is partly imported
        return


def _rows(name: str, column: Any) -> Iterator[Part]:
    if column.dtype == object:
        yield from ((f"{name}[{i}]", item) for i, item in enumerate(column.array) if type(item) not in LEAVES)


def text_of_key(key: object) -> str:
    """Return the `repr` of a key, shortened."""
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001  the user's __repr__
        text = f"<{type(key).__qualname__}>"
    return text if len(text) <= _MAX_KEY else f"{text[: _MAX_KEY - 3]}..."
