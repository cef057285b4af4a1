"""Limit of a result's size: of a cell, the largest parts are left out, and the message names them."""

from __future__ import annotations

from taskfc_ext.errors import UnpicklableResult
from taskfc_ext.serialize.blame import type_name_of
from taskfc_ext.serialize.values import SourceResult, dump_value, pickle_alone

_WRITE_A_FILE = "write it to a file in the task, and bring back the file's path"


def dump_within(value: object, limit: int, *, what: str) -> bytes:
    """Return `value` pickled, in at most `limit` bytes.

    Args:
        value: anything; the largest parts of a cell's result are left out if it is too large.
        limit: the largest size in bytes.
        what: the name of the value in messages, such as "the result of fit".

    Raises:
        UnpicklableResult: it cannot be pickled, or it is too large and no requested part fits.
    """
    body = dump_value(value, what=what)
    if len(body) > limit and type(value) is SourceResult:
        value = _shrink(value, limit, what)
        body = dump_value(value, what=what)
    if len(body) > limit:
        raise _too_large(what, value, len(body), limit)
    return body


def _shrink(result: SourceResult, limit: int, what: str) -> SourceResult:
    """Return the parts of a result that fit, the smallest first, with the reasons for the others."""
    changes = result.class_changes
    parts = {name: (value, changes[name]) if name in changes else value for name, value in result.ns.items()}
    sizes = sorted((_size(part), name) for name, part in {**parts, "": result.value}.items())
    left, lost = 0, {}
    for size, name in sizes:
        left += size
        if left > limit:
            lost[name] = size
    if lost.keys() >= result.ns.keys() and ("" in lost or result.value is None):
        size, name = sizes[-1]
        subject, value = (f"{what}: `{name}`", result.ns[name]) if name else (what, result.value)
        raise _too_large(subject, value, size, limit)
    lost_value = _too_large(what, result.value, lost.pop(""), limit).message if "" in lost else ""
    end = f"over the limit of {limit:,} for all that comes back; {_WRITE_A_FILE}"
    reasons = {name: f"it is {size:,} bytes pickled, {end}" for name, size in lost.items()}
    return result.without(reasons, lost_value)


def _size(value: object) -> int:
    try:
        return len(pickle_alone(value))
    except Exception:  # noqa: BLE001  the user's __reduce__: it is left out later, as not picklable
        return 0


def _too_large(what: str, value: object, size: int, limit: int) -> UnpicklableResult:
    kind = type_name_of(type(value))
    text = f"{what} (of type {kind}) is {size:,} bytes pickled, over the limit of {limit:,}"
    return UnpicklableResult(text, hint=_WRITE_A_FILE)
