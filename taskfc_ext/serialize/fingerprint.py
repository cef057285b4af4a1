"""Fingerprints of values: whether a value has changed within, while it stayed the same object."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

from taskfc_ext.serialize import classes, scope
from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.limited import LimitedFile
from taskfc_ext.serialize.pickler import Pickler

MAX_READ = 200 * 10**6
"""Bytes of all values together that get a fingerprint: a fifth of a second. One that is larger than what is left of
them is read up to there, and left out; it takes nothing from those after it."""


def fingerprints(values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a fingerprint of each value that can change within, can be pickled, and is not too large."""
    found: dict[str, bytes] = {}
    left = MAX_READ
    for name, value in values.items():
        if type(value) in ATOMS or isinstance(value, ModuleType):
            continue
        file = _HashingFile(left)
        pickler = _OwnPartsPickler(file, value)
        try:
            pickler.dump(value)
        except Exception:  # noqa: BLE001  it is too large, or the user's `__reduce__` raises
            continue
        left -= file.size
        found[name] = file.digest()
    return found


def changed_names(before: Mapping[str, bytes], values: Mapping[str, Any]) -> list[str]:
    """Return the names in `before` whose values have other fingerprints now."""
    now = fingerprints({name: values[name] for name in before if name in values})
    return [name for name, print_ in before.items() if name in now and now[name] != print_]


class _HashingFile(LimitedFile):
    """Keeps a hash of what is written to it.

    Args:
        limit: bytes that it takes.
    """

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self._hash = hashlib.blake2b(digest_size=16)

    def write(self, data: Any) -> int:
        """Take `data`."""
        n = super().write(data)
        self._hash.update(data)
        return n

    def digest(self) -> bytes:
        """Return the hash."""
        return self._hash.digest()


class _OwnPartsPickler(Pickler):
    """Pickles what belongs to a value alone: not the globals of its functions, nor the classes of its parts."""

    def __init__(self, file: _HashingFile, value: object) -> None:
        super().__init__(file, file.take)
        self._value = value

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj is not self._value and classes.is_by_value(obj):
            return str, (scope.token_of(obj),)
        return super().reducer_override(obj)

    def needs_of(self, function: FunctionType) -> dict[str, Any]:
        """Return nothing: globals have names of their own."""
        return {}
