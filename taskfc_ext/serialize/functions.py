"""Pickling of functions with their source lines. Pickles are cached until a captured object may have changed.

A large one is not kept: it stands in the file in which it was sent. An equal pickle has an equal digest, so that a
function with a large array is sent once although it is submitted many times, and its array may change in between.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import mmap
import pickle
import sys
import weakref
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, MappingProxyType
from typing import Any, NamedTuple

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.serialize.blame import describe_failure, type_name_of
from taskfc_ext.serialize.bodies import (
    Body,
    Buffers,
    Pieces,
    Received,
    parts_of,
    size_without_buffers,
    split_body,
)
from taskfc_ext.serialize.by_value import is_importable
from taskfc_ext.serialize.captured import Captured, capture
from taskfc_ext.serialize.pickler import PICKLE_PROTOCOL, dump
from taskfc_ext.serialize.rebuilding import check_classes
from taskfc_ext.serialize.sources import remember_sources, sources_of

_CACHED_FUNCTIONS = 512

_MAX_KEPT = 64 * 2**10
"""Bytes of the largest body that is cached. A larger one that is needed again is pickled again."""


def digest(body: Body | Received) -> bytes:
    """Return the digest of `body`, 16 bytes."""
    name = hashlib.blake2b(digest_size=16)
    for part in parts_of(body) if isinstance(body, Pieces) else (body,):
        name.update(part)
    return name.digest()


def dump_function(
    function: Callable[..., object], sent: Mapping[bytes, mmap.mmap] = MappingProxyType({})
) -> tuple[bytes, Body]:
    """Return (digest, body) of a callable. Definitions in `__main__` are pickled by value, with their source lines.

    Args:
        function: the callable.
        sent: files with large bodies, by digest: to compare a body with them takes less time than its digest.

    Raises:
        UnpicklableArgument: it captures an object that cannot be pickled; the message names the object.
    """
    if type(function) is not FunctionType:
        return _dump_other(function, sent)
    cached = _cache.get(function)
    if cached is not None and cached.is_unchanged(function):
        return cached.digest, cached.body
    n_modules = len(sys.modules)
    body = _dump_function(function)
    name = _digest(body, sent)
    captured = capture(function)
    if captured is not None:
        if len(_cache) >= _CACHED_FUNCTIONS:
            _cache.clear()  # functions that capture each other would never be dropped
        kept = body if isinstance(body, bytes) and len(body) <= _MAX_KEPT else _Again(function)
        _cache[function] = _Cached(captured, name, kept, n_modules)
    return name, body


def check_of(function: Callable[..., object]) -> Callable[[Any], bool] | None:
    """Return a function that tells whether a function just pickled would give the same pickle now.

    `None` where that takes a new pickle.
    """
    cached = _cache.get(function) if type(function) is FunctionType else None
    if cached is None:
        return None
    return cached.is_unchanged if cached.captured.registered is not None else cached.captured.check()


def _digest(body: Body, sent: Mapping[bytes, mmap.mmap]) -> bytes:
    n_bytes = len(body)
    for name, content in sent.items():
        if len(content) == n_bytes and _is_equal(body, content):
            return name
    return digest(body)


def _is_equal(body: Body, content: mmap.mmap) -> bool:
    at = 0
    with memoryview(content) as whole:
        for part in parts_of(body):
            end = at + len(part)
            with whole[at:end] as other:
                if not _are_equal(part, other):
                    return False
            at = end
    return True


def _are_equal(part: bytes | memoryview, other: memoryview) -> bool:
    """Return whether both are equal; `other` is as long as `part`, and can be written to."""
    if not other:
        return True
    if isinstance(part, memoryview) and part.readonly:  # its address is not known
        return part == other  # this takes 15 times as long
    start = part if isinstance(part, bytes) else ctypes.byref(ctypes.c_char.from_buffer(part))
    return not _memcmp(start, ctypes.byref(ctypes.c_char.from_buffer(other)), len(other))


_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t


def bytes_loaded_per_task(function: Callable[..., object], body: Body) -> int:
    """Return the number of bytes of a function just pickled that each task loads again.

    0 for a function without state, which a worker keeps loaded. Large arrays do not count: they are mapped.
    """
    is_kept = type(function) is BuiltinFunctionType or (type(function) is FunctionType and function in _cache)
    return 0 if is_kept else size_without_buffers(body)


def _dump_other(function: Callable[..., object], sent: Mapping[bytes, mmap.mmap]) -> tuple[bytes, Body]:
    """Return (digest, body) of a builtin, a class, a method or another callable object."""
    if type(function) is not BuiltinFunctionType or not is_importable(function):
        body = _dump_function(function)
        return _digest(body, sent), body
    known = _builtins.get(function)
    if known is None:
        body = _dump_function(function)
        known = _builtins[function] = digest(body), body
    return known


def load_function(body: Received) -> Callable[..., Any]:
    """Return the callable in `body`, and register its source lines for tracebacks.

    Args:
        body: a body from `dump_function`, or a new mapping of it. Large arrays of the callable are views of it.
    """
    pickled, buffers = split_body(body)
    # a mapping is a file itself, and a copy of a large pickle takes long
    file: Any = body if isinstance(body, mmap.mmap) and not buffers else io.BytesIO(pickled)
    function: Callable[..., Any] = pickle.load(file, buffers=buffers)
    remember_sources(pickle.load(file))
    return function


class _Cached(NamedTuple):
    """A pickled function.

    Attributes:
        captured: the dependencies of the pickle.
        digest: the digest of the body.
        body: the pickle, with source lines; or how to make it again.
        n_modules: the number of imported modules then.
    """

    captured: Captured
    digest: bytes
    body: Body
    n_modules: int

    def is_unchanged(self, function: FunctionType) -> bool:
        """Return whether `function` would give the same pickle now."""
        # once imported here, submodules of a package that the function uses are part of its pickle
        if self.captured.registered is not None and self.n_modules != len(sys.modules):
            return False
        return self.captured.is_unchanged(function)


class _Again(Pieces):
    """A large body that was not kept: it is pickled again when its pieces are needed."""

    __slots__ = ("_function",)

    def __init__(self, function: FunctionType) -> None:
        super().__init__([])
        self._function = weakref.ref(function)

    @property
    def parts(self) -> list[bytes | memoryview]:
        function = self._function()
        assert function is not None  # its body was asked for just now
        return list(parts_of(_dump_function(function)))


_cache: weakref.WeakKeyDictionary[FunctionType, _Cached] = weakref.WeakKeyDictionary()
_builtins: dict[BuiltinFunctionType, tuple[bytes, Body]] = {}
"""Pickles of modules' functions: they live as long as the modules, and their pickle is a name."""


def _dump_function(function: Callable[..., object]) -> Body:
    file = io.BytesIO()
    buffers = Buffers()
    name = getattr(function, "__qualname__", None) or type_name_of(type(function))
    try:
        pickler = dump(function, file, buffers)
    except Exception as error:
        raise UnpicklableArgument(describe_failure(str(name), function, error)) from error
    check_classes(pickler.made_classes, what=str(name))
    pickle.dump(sources_of(pickler.filenames), file, PICKLE_PROTOCOL)
    return buffers.body(file.getvalue())
