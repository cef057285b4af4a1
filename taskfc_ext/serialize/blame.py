"""Saying which part of a value cannot be pickled, and why. Runs only after a failure, and may take its time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType

import cloudpickle

from taskfc_ext.errors import TaskFCError
from taskfc_ext.text import encodable

_DEPTH = 8  # containers within containers that are looked into


def first_complaint(named: Iterable[tuple[str, object]], error: Exception) -> str:
    """Return what is wrong with the first of these (name, value) that cannot be pickled; `error`: with all of them."""
    for what, value in named:
        own = _problem(value)
        if own is not None:
            return complaint(what, value, own)
    return f"the arguments cannot be pickled: {text_of(error)}"


def complaint(what: str, value: object, error: Exception) -> str:
    """Return a sentence that names the innermost part of `value` that cannot be pickled.

    Args:
        what: how it calls the value.
        value: what could not be pickled.
        error: what pickling it raised.
    """
    path, culprit, reason = _culprit(value, error, _DEPTH)
    where = f"{what}: {path}" if path else what
    return f"{where} ({_article(type_name_of(type(culprit)))}) cannot be pickled: {text_of(reason)}"


def text_of(value: object) -> str:
    """Return `str(value)`, whatever the value's own code does."""
    try:
        return encodable(value.message if isinstance(value, TaskFCError) else str(value))
    except Exception:  # noqa: BLE001  the user's __str__
        return f"<{type_name_of(type(value))} whose text cannot be shown>"


def type_name_of(kind: type) -> str:
    """Return the name of a type as messages show it: with its module unless that says nothing."""
    module = getattr(kind, "__module__", "")
    known = module in ("builtins", "__main__") or not isinstance(module, str)
    return encodable(kind.__qualname__ if known else f"{module}.{kind.__qualname__}")


def shortened(text: str, limit: int) -> str:
    """Return `text` with its middle left out if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"


def _article(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def _problem(value: object) -> Exception | None:
    try:
        cloudpickle.dumps(value)
    except Exception as error:  # noqa: BLE001  the user's __reduce__
        return error
    return None


def _culprit(value: object, error: Exception, depth: int) -> tuple[str, object, Exception]:
    """Return (path, object, its error) of the innermost part of `value` that cannot be pickled."""
    for path, part in _named_parts(value) if depth else ():
        own = _problem(part)
        if own is not None:
            rest, culprit, reason = _culprit(part, own, depth - 1)
            return f"{path}, {rest}" if rest.startswith("its ") else path + rest, culprit, reason
    return "", value, error


def _named_parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((f"[{text_of(key) if type(key) is not str else repr(key)}]", value[key]) for key in list(value))
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{i}]", item) for i, item in enumerate(value))
    elif isinstance(value, FunctionType):
        yield from _named_parts_of_function(value)
    else:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            yield from ((f".{name}", attributes[name]) for name in list(attributes))


def _named_parts_of_function(function: FunctionType) -> Iterator[tuple[str, object]]:
    variables = function.__globals__
    yield from ((f"its global `{name}`", variables[name]) for name in function.__code__.co_names if name in variables)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"its closure variable `{name}`", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from ((f"its default value {i}", item) for i, item in enumerate(function.__defaults__ or (), 1))
