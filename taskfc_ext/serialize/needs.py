"""Global names that code needs wherever it runs, found in code and namespaces without running any code."""

from __future__ import annotations

import dis
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from taskfc_ext.serialize.machinery import LruCache
from taskfc_ext.serialize.mentioned import names_in_strings
from taskfc_ext.serialize.scope import ABSENT, MAIN

_EMPTY_CELL = CellType()

_SMALL = 10**6
"""Largest value in bytes that is sent for a name that a string only seems to mention."""


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield `code` and the code in it, each before the code in it, in the order of the source."""
    pending = [code]
    while pending:
        code = pending.pop()
        yield code
        pending += [part for part in reversed(code.co_consts) if type(part) is CodeType]


def needed_names(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of the existing globals that `function` and the code in it use."""
    namespace = function.__globals__
    for name in global_names(function.__code__):
        try:
            yield name, namespace[name]
        except KeyError:  # a builtin, or not defined yet
            continue
    for name in hinted_names(function.__annotations__):
        value = namespace.get(name, ABSENT)
        if isinstance(value, (type, ModuleType)):
            yield name, value


def definitions(namespace: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the classes and functions that the notebook has under their own names; pickle files refer to them."""
    return {
        name: value
        for name, value in list((vars(sys.modules[MAIN]) if namespace is None else namespace).items())
        if isinstance(value, (FunctionType, type)) and value.__module__ == MAIN and value.__qualname__ == name
    }


_BIND_ANYTHING = frozenset(("exec", "globals"))


def code_may_bind(name: str, namespace: Mapping[str, Any]) -> bool:
    """Return whether a function or a class of the notebook would bind `name` when it runs, as by `global x; x = 1`."""
    return any(_may_bind(code, name) for code in _codes(namespace))


def _may_bind(code: CodeType, name: str) -> bool:
    for part in nested_codes(code):
        if not _BIND_ANYTHING.isdisjoint(part.co_names):
            return True
        if name in part.co_names:
            stored = (each.argval for each in dis.get_instructions(part) if each.opname == "STORE_GLOBAL")
            if name in stored:
                return True
    return False


def _codes(namespace: Mapping[str, Any]) -> Iterator[CodeType]:
    """Yield the code of the notebook's functions, including methods and decorated functions."""
    pending, seen = list(namespace.values()), set[int]()
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is FunctionType:
            if value.__globals__ is namespace or value.__module__ == MAIN:
                yield value.__code__
                pending += [cell.cell_contents for cell in value.__closure__ or () if cell != _EMPTY_CELL]
        elif isinstance(value, type):
            if value.__module__ == MAIN:
                pending += vars(value).values()
        elif isinstance(value, (classmethod, staticmethod, MethodType)):
            pending.append(value.__func__)
        elif isinstance(value, property):
            pending += [value.fget, value.fset, value.fdel]
        elif type(value) is LruCache:
            pending.append(value.__wrapped__)
        elif isinstance(value, functools.partial):
            pending.append(value.func)


_READERS = frozenset(("load", "loads", "Unpickler", "read_pickle"))
_PICKLE_MODULES = frozenset(("pickle", "_pickle", "cPickle", "joblib", "cloudpickle", "dill", "torch", "shelve"))


def names_read_pickles(names: Iterable[str]) -> bool:
    """Return whether code that uses these names may load pickles, which refer to classes by name."""
    names = set(names)
    return "read_pickle" in names or not (_READERS.isdisjoint(names) or _PICKLE_MODULES.isdisjoint(names))


@functools.lru_cache(maxsize=4096)
def reads_pickles(code: CodeType) -> bool:
    """Return whether `code`, or code in it, may load pickles."""
    return names_read_pickles({name for part in nested_codes(code) for name in part.co_names})


_GLOBAL_OPERATIONS = frozenset(
    name
    for name in dis.opmap
    # class bodies load globals as plain names; a scope between a class body and a function, by FROM_DICT_OR_GLOBALS
    if name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") or name.endswith("_GLOBAL")
)


@functools.lru_cache(maxsize=4096)
def global_names(code: CodeType) -> tuple[str, ...]:
    """Return the global names that `code` and the code in it read or write, in order."""
    names: dict[str, None] = {}
    for part in nested_codes(code):
        for instruction in dis.get_instructions(part):
            if instruction.opname in _GLOBAL_OPERATIONS:
                names[instruction.argval] = None
    return tuple(names)


def mentioned_names(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of the globals that strings of the function mention: queries, formulas, code as text.

    A global that a string only seems to mention is yielded if it is small.
    """
    namespace = function.__globals__
    plain, likely = names_in_strings(function.__code__)
    for name in (*plain, *likely):
        value = namespace.get(name, ABSENT)
        if value is not ABSENT and not name.startswith("__") and (name in plain or _is_small(value)):
            yield name, value


def _is_small(value: object) -> bool:
    size = getattr(value, "nbytes", None)  # an int for an array; for a table, one for each column
    return sys.getsizeof(value, _SMALL) <= _SMALL and (not isinstance(size, int) or size <= _SMALL)


_WORD = re.compile(r"[^\W\d]\w*")


def hinted_names(annotations: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names in annotations given as text: `typing.get_type_hints` looks them up in the globals."""
    for hint in annotations.values():
        if isinstance(hint, str):
            yield from _WORD.findall(hint)
