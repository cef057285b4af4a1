"""Pickling of functions with their source lines. Pickles are cached until a captured object may have changed."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.serialize.blame import describe_failure, type_name_of
from taskfc_ext.serialize.bodies import Buffers, join, size_without_buffers, split_body
from taskfc_ext.serialize.by_value import is_importable
from taskfc_ext.serialize.captured import Captured, capture
from taskfc_ext.serialize.pickler import PICKLE_PROTOCOL, dump
from taskfc_ext.serialize.rebuilding import check_classes
from taskfc_ext.serialize.sources import remember_sources, sources_of

_CACHED_FUNCTIONS = 512
_CACHED_BYTES = 64 * 2**20


def digest(body: bytes) -> bytes:
    """Return the digest of `body`, 16 bytes."""
    return hashlib.blake2b(body, digest_size=16).digest()


def dump_function(function: Callable[..., object]) -> tuple[bytes, bytes]:
    """Return (digest, body) of a callable. Definitions in `__main__` are pickled by value, with their source lines.

    Raises:
        UnpicklableArgument: it captures an object that cannot be pickled; the message names the object.
    """
    if type(function) is not FunctionType:
        return _dump_other(function)
    cached = _cache.get(function)
    if cached is not None and cached.is_unchanged(function):
        return cached.digest, cached.body
    n_modules = len(sys.modules)
    body = _dump_function(function)
    name = digest(body)
    captured = capture(function)
    if captured is not None:
        n_bytes = sum(len(each.body) for each in _cache.values())
        if len(_cache) >= _CACHED_FUNCTIONS or n_bytes + len(body) > _CACHED_BYTES:
            _cache.clear()  # functions that capture each other would never be dropped
        _cache[function] = _Cached(captured, name, body, n_modules)
    return name, body


def check_of(function: Callable[..., object]) -> Callable[[Any], bool] | None:
    """Return a function that tells whether a function just pickled would give the same pickle now.

    `None` where that takes a new pickle.
    """
    cached = _cache.get(function) if type(function) is FunctionType else None
    if cached is None:
        return None
    return cached.is_unchanged if cached.captured.registered is not None else cached.captured.check()


def bytes_loaded_per_task(function: Callable[..., object], body: bytes) -> int:
    """Return the number of bytes of a function just pickled that each task loads again.

    0 for a function without state, which a worker keeps loaded. Large arrays do not count: they are mapped.
    """
    is_kept = type(function) is BuiltinFunctionType or (type(function) is FunctionType and function in _cache)
    return 0 if is_kept else size_without_buffers(body)


def _dump_other(function: Callable[..., object]) -> tuple[bytes, bytes]:
    """Return (digest, body) of a builtin, a class, a method or another callable object."""
    if type(function) is not BuiltinFunctionType or not is_importable(function):
        body = _dump_function(function)
        return digest(body), body
    known = _builtins.get(function)
    if known is None:
        body = _dump_function(function)
        known = _builtins[function] = digest(body), body
    return known


def load_function(body: Any) -> Callable[..., Any]:
    """Return the callable in `body`, and register its source lines for tracebacks.

    Args:
        body: a body from `dump_function`, or a mapping of it. Large arrays of the callable are views of it.
    """
    pickled, buffers = split_body(body)
    file = io.BytesIO(pickled)
    function: Callable[..., Any] = pickle.load(file, buffers=buffers)
    remember_sources(pickle.load(file))
    return function


class _Cached(NamedTuple):
    """A pickled function.

    Attributes:
        captured: the dependencies of the pickle.
        digest: the digest of the body.
        body: the pickle, with source lines.
        n_modules: the number of imported modules then.
    """

    captured: Captured
    digest: bytes
    body: bytes
    n_modules: int

    def is_unchanged(self, function: FunctionType) -> bool:
        """Return whether `function` would give the same pickle now."""
        # once imported here, submodules of a package that the function uses are part of its pickle
        if self.captured.registered is not None and self.n_modules != len(sys.modules):
            return False
        return self.captured.is_unchanged(function)


_cache: WeakKeyDictionary[FunctionType, _Cached] = WeakKeyDictionary()
_builtins: dict[BuiltinFunctionType, tuple[bytes, bytes]] = {}
"""Pickles of modules' functions: they live as long as the modules, and their pickle is a name."""


def _dump_function(function: Callable[..., object]) -> bytes:
    file = io.BytesIO()
    buffers = Buffers()
    name = getattr(function, "__qualname__", None) or type_name_of(type(function))
    try:
        pickler = dump(function, file, buffers)
    except Exception as error:
        raise UnpicklableArgument(describe_failure(str(name), function, error)) from error
    check_classes(pickler.made_classes, what=str(name))
    pickle.dump(sources_of(pickler.filenames), file, PICKLE_PROTOCOL)
    return join(buffers.body(file.getvalue()))
