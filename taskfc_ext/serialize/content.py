"""Digests of values by their content, the same in each process.

Pickles differ between processes where values are the same: code has its file and its lines, a class its token, and the
globals of a function their order. Here these are left out or sorted. What is left may still differ for equal values, as
sets of strings do, whose order changes from process to process; different values never have one digest.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from types import CodeType, FunctionType
from typing import Any

from taskfc_ext.serialize import chance, classes
from taskfc_ext.serialize.fingerprint import HashingFile
from taskfc_ext.serialize.pickler import Pickler, Space, dump_by, is_global

_OF_SOURCE = frozenset(("__firstlineno__", "__static_attributes__"))
"""Attributes of classes that depend on lines, or on the order of a set."""


def content_digest(value: object) -> bytes:
    """Return a digest of `value`: equal digests mean equal content.

    Raises:
        Exception: raised by the value's own code.
    """
    carried = list(chance.carried)  # this pickle is not sent
    files: list[_ContentFile] = []

    def make() -> Pickler:
        files.append(_ContentFile(math.inf))
        return _ContentPickler(files[-1], files[-1].take)

    try:
        dump_by(make, value)
    finally:
        chance.carried[:] = carried
    return files[-1].digest()


def digest_of(*parts: bytes) -> bytes:
    """Return the digest of parts, each with its length."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()


class _ContentFile(HashingFile):
    """File that keeps only a hash; a large buffer goes in with its length."""

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        self.write(raw.nbytes.to_bytes(8, "big"))
        self.write(raw)
        return False


class _ContentPickler(Pickler):
    """Pickler whose output is only compared: it cannot be loaded."""

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is CodeType:
            return _content(*_code_parts(obj))
        if kind is Space:
            return _content("namespace", obj.name)
        if issubclass(kind, type) and classes.is_by_value(obj):
            self._open_classes.add(obj)
            return self._reduce_class(obj)
        return super().reducer_override(obj)

    def needs_of(self, function: FunctionType) -> dict[str, Any]:
        return dict(sorted(super().needs_of(function).items()))

    def _reduce_function(self, function: FunctionType) -> Any:
        _, arguments, state, *_ = super()._reduce_function(function)
        # the last one are submodules that are imported here, in the order of the imports
        return _content("function", arguments, state[:-1])

    @staticmethod
    def _reduce_class(cls: Any) -> Any:
        _, created, state, *_ = classes.reduce_class(cls, is_global=is_global(cls))
        (token, *made), (_, early, rest, registered, *end) = created, state
        calls = [(call.act.__name__, *(value for value in call.values if value != token)) for call in early]
        rest = {name: value for name, value in rest.items() if name not in _OF_SOURCE}
        registered = sorted(registered, key=lambda each: (each.__module__, each.__qualname__))
        return _content("class", made, calls, rest, registered, *end)


def _content(*parts: Any) -> Any:
    """Return a reduction to `parts`, which may refer to the object itself."""
    return list, (), parts


def _code_parts(code: CodeType) -> tuple[Any, ...]:
    """Return all of a code object but its file and its lines."""
    return (
        "code",
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        code.co_code,
        code.co_exceptiontable,
        tuple(map(_constant, code.co_consts)),
        (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        (code.co_name, code.co_qualname),
    )


def _constant(value: Any) -> Any:
    """Return a constant in an order that does not depend on the process."""
    if isinstance(value, frozenset):
        return "frozenset", sorted(map(repr, value))
    return tuple(map(_constant, value)) if type(value) is tuple else value
