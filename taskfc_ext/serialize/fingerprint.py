"""Fingerprints of values, to find values that have changed inside while they stayed the same object."""

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
"""Largest total in bytes of all values that get a fingerprint, which takes a fifth of a second. A value larger than the
rest of it is left out and does not count."""


def fingerprints(values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a fingerprint of each value that can change inside, can be pickled, and is not too large."""
    found: dict[str, bytes] = {}
    left = MAX_READ
    for name, value in values.items():
        if type(value) in ATOMS or isinstance(value, ModuleType):
            continue
        file = HashingFile(left)
        pickler = _OwnPartsPickler(file, value)
        try:
            pickler.dump(value)
        except Exception:  # noqa: BLE001  too large, or raised by the user's `__reduce__`
            continue
        left -= file.size
        found[name] = file.digest()
    return found


def changed_names(before: Mapping[str, bytes], values: Mapping[str, Any]) -> list[str]:
    """Return the names in `before` whose values have a different fingerprint now."""
    now = fingerprints({name: values[name] for name in before if name in values})
    return [name for name, print_ in before.items() if name in now and now[name] != print_]


class HashingFile(LimitedFile):
    """File that keeps only a hash of its content.

    Args:
        limit: the largest size in bytes.
    """

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self._hash = hashlib.blake2b(digest_size=16)

    def write(self, data: Any) -> int:
        """Add `data` to the hash."""
        n = super().write(data)
        self._hash.update(data)
        return n

    def digest(self) -> bytes:
        """Return the hash."""
        return self._hash.digest()


class _OwnPartsPickler(Pickler):
    """Pickler of a value's own parts, without the globals of its functions and the classes of its parts."""

    def __init__(self, file: HashingFile, value: object) -> None:
        super().__init__(file, file.take)
        self._value = value

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj is not self._value and classes.is_by_value(obj):
            return str, (scope.token_of(obj),)
        return super().reducer_override(obj)

    def needs_of(self, function: FunctionType) -> dict[str, Any]:
        """Return no names: globals have their own fingerprints."""
        return {}
