"""Functions: pickled once, with their source lines, and again when something that they capture may have changed."""

from __future__ import annotations

import hashlib
import io
import linecache
import os
import pickle
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.serialize.blame import complaint, type_name_of
from taskfc_ext.serialize.captured import Captured, capture, is_importable
from taskfc_ext.serialize.code_names import NotingPickler
from taskfc_ext.serialize.values import PICKLE_PROTOCOL

MAX_SOURCE = 256 * 1024
"""Characters of one cell's source that travel with a function, for its tracebacks; longer ones stay at home."""

_CACHED_FUNCTIONS = 512
_CACHED_BYTES = 64 * 2**20


def digest(body: bytes) -> bytes:
    """Return the 16 bytes that `body` is known by."""
    return hashlib.blake2b(body, digest_size=16).digest()


def dump_function(function: Callable[..., object]) -> tuple[bytes, bytes]:
    """Return (digest, body) of a callable; what `__main__` defines travels by value, with its source lines.

    Raises:
        UnpicklableArgument: it captures what cannot be pickled; the message names that.
    """
    if type(function) is not FunctionType:
        return _dump_other(function)
    cached = _cache.get(function)
    if cached is not None and cached.captured.is_still_true(function):
        return cached.digest, cached.body
    body = _dump_function(function)
    name = digest(body)
    captured = capture(function)
    if captured is not None:
        n_bytes = sum(len(each.body) for each in _cache.values())
        if len(_cache) >= _CACHED_FUNCTIONS or n_bytes + len(body) > _CACHED_BYTES:
            _cache.clear()  # functions that capture each other would stay for ever
        _cache[function] = _Cached(captured, name, body)
    return name, body


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


def load_function(body: bytes) -> Callable[..., Any]:
    """Return the callable in `body`, and make the source lines that came with it known to tracebacks."""
    file = io.BytesIO(body)
    function: Callable[..., Any] = pickle.load(file)
    for name, lines in pickle.load(file).items():
        remember_source(name, lines)
    return function


def remember_source(filename: str, lines: list[str]) -> None:
    """Let tracebacks show `lines` for code that was compiled under `filename`."""
    linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)  # no mtime: never checked against a file


class _Cached(NamedTuple):
    captured: Captured
    digest: bytes
    body: bytes


_cache: WeakKeyDictionary[FunctionType, _Cached] = WeakKeyDictionary()
_builtins: dict[BuiltinFunctionType, tuple[bytes, bytes]] = {}
"""Of modules: they live as long as those, and their pickle is their name."""


def _dump_function(function: Callable[..., object]) -> bytes:
    file = io.BytesIO()
    pickler = _FunctionPickler(file)
    try:
        pickler.dump(function)
    except Exception as error:
        name = getattr(function, "__qualname__", None) or type_name_of(type(function))
        raise UnpicklableArgument(complaint(str(name), function, error)) from error
    pickle.dump(_sources(pickler.filenames), file, PICKLE_PROTOCOL)
    return file.getvalue()


class _FunctionPickler(NotingPickler):
    """Notes the files of all code that it pickles by value."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, PICKLE_PROTOCOL)
        self.filenames: dict[str, None] = {}

    def reducer_override(self, obj: object) -> object:
        if type(obj) is CodeType:
            self.filenames[obj.co_filename] = None
        return super().reducer_override(obj)


def _sources(filenames: Iterable[str]) -> dict[str, list[str]]:
    """Return the lines of what is no file: cells, whose source only this process has."""
    found = {}
    for name in filenames:
        entry = linecache.cache.get(name)
        if entry is None or os.path.exists(name):
            continue
        lines = linecache.getlines(name)
        if sum(map(len, lines)) <= MAX_SOURCE:
            found[name] = lines
    return found
