"""Harmless functions: after a call of one, the worker need not check its process for changes."""

from __future__ import annotations

import dis
import math
import sys
from collections.abc import Iterable
from inspect import CO_COROUTINE
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.needs import nested_codes
from taskfc_ext.serialize.scope import MAIN

_BUILTINS = frozenset(
    [
        "abs",
        "all",
        "any",
        "ascii",
        "bin",
        "bool",
        "bytearray",
        "bytes",
        "callable",
        "chr",
        "complex",
        "dict",
        "divmod",
        "enumerate",
        "filter",
        "float",
        "frozenset",
        "hash",
        "hex",
        "id",
        "int",
        "isinstance",
        "iter",
        "len",
        "list",
        "map",
        "max",
        "min",
        "next",
        "oct",
        "ord",
        "pow",
        "print",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "slice",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
        "ArithmeticError",
        "AssertionError",
        "Exception",
        "IndexError",
        "KeyError",
        "LookupError",
        "OverflowError",
        "RuntimeError",
        "StopIteration",
        "TypeError",
        "ValueError",
        "ZeroDivisionError",
    ]
)

_NUMPY = frozenset(
    [
        *("all", "any", "arange", "argmax", "argmin", "argsort", "array", "asarray", "average", "clip", "concatenate"),
        *("cov", "cumsum", "diff", "dot", "empty", "eye", "float32", "float64", "full", "hstack", "int32", "int64"),
        *("linspace", "max", "mean", "median", "min", "ndarray", "ones", "percentile", "prod", "quantile", "round"),
        *("sort", "stack", "std", "sum", "unique", "var", "vstack", "where", "zeros", "zeros_like", "ones_like"),
    ]
)
"""Functions of numpy that only calculate, in addition to its ufuncs."""

_CHANGES = "IMPORT", "STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR", "LOAD_BUILD", "LOAD_SUPER"
"""Beginnings of the instructions that can change something outside of a call. Even a function has attributes."""

_WRITES = frozenset(["STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE", "STORE_ATTR", "DELETE_ATTR"])
_SIZES = frozenset(["dtype", "nbytes", "ndim", "shape", "size"])
"""Attributes of an array that are read without a call."""


def are_atoms(values: Iterable[object]) -> bool:
    """Tell whether all values are of plain types, whose methods change nothing."""
    for value in values:  # noqa: SIM110  a generator costs more than the rest of it
        if type(value) not in ATOMS:
            return False
    return True


def is_harmless(function: Any) -> bool:
    """Tell whether a call of `function` with atoms provably does not change its process.

    It can reach only atoms, builtin containers of atoms, and functions that are known or harmless.
    """
    return _is_harmless(function, set())


def _is_harmless(function: Any, seen: set[CodeType]) -> bool:
    if type(function) is BuiltinFunctionType:
        return _is_known(function)
    if type(function) is not FunctionType or function.__closure__ or function.__kwdefaults__ or function.__dict__:
        return False
    code = function.__code__
    if code.co_flags & CO_COROUTINE or _is_of_a_module(function) or not are_atoms(function.__defaults__ or ()):
        return False
    if code in seen:  # it calls itself, directly or through others
        return True
    seen.add(code)
    return _is_code_harmless(code, function.__globals__, seen)


def only_reads(function: Any) -> bool:
    """Tell whether a harmless function does not change the arrays that it uses, if it is called with atoms.

    It must not assign to items, or call methods or functions of numpy, as these take `out`.
    """
    return type(function) is FunctionType and all(map(_is_reading, _codes_of(function, set())))


def _codes_of(function: FunctionType, seen: set[CodeType]) -> set[CodeType]:
    """Return the code of `function` and of all functions that it names, with nested code."""
    codes = set(nested_codes(function.__code__)) - seen
    seen |= codes
    for name in {name for code in codes for name in code.co_names}:
        value = function.__globals__.get(name)
        if type(value) is FunctionType and value.__code__ not in seen:
            _codes_of(value, seen)
    return seen


def _is_reading(code: CodeType) -> bool:
    for step in dis.get_instructions(code):
        if step.opname in _WRITES or (step.opname == "BINARY_OP" and step.argrepr.endswith("=")):
            return False
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and step.argval not in _SIZES:
            return False
    return True


def _is_known(function: BuiltinFunctionType) -> bool:
    home = getattr(function.__self__, "__name__", None) if type(function.__self__) is ModuleType else None
    return home in ("math", "_operator") or (home == "builtins" and function.__name__ in _BUILTINS)


def _is_of_a_module(function: FunctionType) -> bool:
    """Tell whether other code may rebind its globals. A `__main__` here belongs to the function alone."""
    if function.__module__ == MAIN:
        return False
    return getattr(sys.modules.get(function.__module__), "__dict__", None) is function.__globals__


def _is_code_harmless(code: CodeType, variables: dict[str, Any], seen: set[CodeType]) -> bool:
    names, attributes = set(), set()
    for step in dis.get_instructions(code):
        match step.opname:
            case "LOAD_GLOBAL" | "LOAD_NAME" | "LOAD_FROM_DICT_OR_GLOBALS":
                names.add(str(step.argval))
            case "LOAD_ATTR" | "LOAD_METHOD":
                attributes.add(str(step.argval))
            case opname if opname.startswith(_CHANGES):
                return False
    if any(name.startswith("_") for name in attributes):  # the way from a value to its class, and to everything
        return False
    numpy = sys.modules.get("numpy")
    if numpy is not None and any(variables.get(name) is numpy for name in names):
        if not all(_is_numpy_harmless(getattr(numpy, name, None), name, numpy) for name in attributes):
            return False
        names = {name for name in names if variables.get(name) is not numpy}
    if not all(_is_name_harmless(name, variables, seen) for name in names):
        return False
    return all(_is_code_harmless(part, variables, seen) for part in code.co_consts if type(part) is CodeType)


def _is_name_harmless(name: str, variables: dict[str, Any], seen: set[CodeType]) -> bool:
    if name not in variables:
        return name in _BUILTINS
    value = variables[name]
    if type(value) is FunctionType:
        return _is_harmless(value, seen)
    return type(value) in ATOMS or value is math or _is_array(value)


def _is_numpy_harmless(found: Any, name: str, numpy: Any) -> bool:
    """Tell whether an attribute of some value, which may be numpy itself, only calculates."""
    return found is None or type(found) is numpy.ufunc or type(found) in ATOMS or name in _NUMPY


def _is_array(value: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject
