"""Context of submissions: folder, module path, environment edits and modules."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from threading import get_ident
from time import perf_counter
from typing import Any, NamedTuple

from taskfc_ext import serialize
from taskfc_ext.client.context.imports import imported_names
from taskfc_ext.client.context.modules import Packs, Sources
from taskfc_ext.client.context.pauses import last_submission
from taskfc_ext.drivers.environment import AT_START, sendable
from taskfc_ext.drivers.user_folder import is_installed
from taskfc_ext.lru import ByteLRU
from taskfc_ext.protocol.context import Context, Edits, edits_between, encode_context
from taskfc_ext.settings.travel import LOG_MARK, Marks, getcontext, getlimit, root_cache
from taskfc_ext.settings.travel import here as settings_here


class EncodedContext(NamedTuple):
    """A context, encoded, and the user's modules."""

    digest: bytes
    body: bytes
    modules: Packs = ()

    @property
    def defines(self) -> list[tuple[bytes, bytes]]:
        """(digest, body) of the modules and the context."""
        return [*self.modules, (self.digest, self.body)]


_untyped_environ: Any = os.environ
_raw: dict[bytes, bytes] = _untyped_environ._data
"""The dict in `os.environ`: to compare it takes 0.2 µs, to copy `os.environ` 20."""

_getcwd = ctypes.PyDLL(None).getcwd
_LONGEST = 4096
_folder_now = ctypes.create_string_buffer(_LONGEST)
"""A buffer for `getcwd`. `os.getcwd` releases the GIL to the I/O thread, and a submission in a loop then waits for it:
3 µs instead of 0.3."""


class _Last(NamedTuple):
    """The last context, and the state of the process that it was made from."""

    cwd: bytes
    path: list[str]
    raw: dict[bytes, bytes]
    settings: bytes
    sources: Sources
    context: EncodedContext


_last: _Last | None = None
_known: ByteLRU[tuple[bytes, tuple[bytes, ...]], EncodedContext] = ByteLRU(16 * 2**20, n_entries=100)
"""Earlier contexts, so that an equal one is the same object again."""

_places: dict[tuple[str, tuple[str, ...]], Sources] = {}
_looking = threading.Lock()


def _after_fork() -> None:
    global _looking
    _looking = threading.Lock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork)


def read_context(cell: str | None = None) -> EncodedContext:
    """Return the context of a submission made now; the same object for as long as nothing has changed.

    Variables of the environment that are unchanged since this package was imported are never sent or stored. So a
    secret in the environment stays here, but one that the notebook itself sets is sent.

    Args:
        cell: the source of a cell or a string task: the modules that it imports are included, and all module files are
            checked. For functions they are checked for at most a thirtieth of the time, and always after a pause.

    Raises:
        FileNotFoundError: the working directory is gone.
    """
    global _last, is_current
    now = perf_counter()
    pause = last_submission.pause(now)
    cwd = _folder_now.value if _getcwd(_folder_now, _LONGEST) else _slow_cwd()
    with _looking:
        last = _last
        settings = settings_here.update(pause if cell is None else math.inf)
        if last is not None and (cwd, sys.path, _raw, settings) == last[:4]:
            here, sources = last.context, last.sources
        else:
            here, sources = _place(os.fsdecode(cwd), settings)
        if cell is not None:
            sources.want(imported_names(cell))
        if cell is not None or last is None or here is not last.context or sources.is_due(now, pause):
            sources.look(for_new=cell is not None)
        if last is None or here is not last.context or sources.packs is not here.modules:
            here = _as_known(EncodedContext(here.digest, here.body, sources.packs))
            _last = last = _Last(cwd, list(sys.path), dict(_raw), settings, sources, here)
        is_current = _check_of(last, settings_here.marks)
        last_submission.note()  # the time of this look is not the user's
        return here


def _as_known(here: EncodedContext) -> EncodedContext:
    """Return an equal context that is remembered, or else this one."""
    key = here.digest, tuple([digest for digest, _ in here.modules])
    known = _known.get(key)
    if known is None:
        _known.put(key, here, sum(len(body) for _, body in here.defines))
    return here if known is None else known


def _check_of(last: _Last, marks: Marks) -> Callable[[EncodedContext], bool]:
    """Return `is_current` for as long as this process is in the context of `last`."""
    cwd, path, raw, _, sources, here = last
    limit, filters, precision, rounding, numpy_errors, errors, numpy_printing, printing = marks
    buffer, longest, getcwd, raw_now = ctypes.byref(_folder_now), _LONGEST, _getcwd, _raw
    folder, now_limit, now_context, now_cached, mark = _folder_now, getlimit, getcontext, root_cache, LOG_MARK
    clock, submitted, thread, settings = perf_counter, last_submission, get_ident, settings_here
    next_look = sources.next_look
    names, n_names = serialize.names_in_code, len(serialize.names_in_code)

    def is_current(context: EncodedContext) -> bool:  # each submission calls it: few attributes, no further calls
        now = clock()
        if (  # noqa: SIM103  `bool()` would cost a tenth of it
            context is here
            and now < next_look
            and now - submitted.ended < settings.pause
            and submitted.thread == thread()
            and len(names) == n_names
            and getcwd(buffer, longest)
            and folder.value == cwd
            and sys.path == path
            and raw_now == raw
            and now_limit() == limit
            and warnings.filters == filters
            and now_context().prec == precision
            and now_context().rounding is rounding
            and numpy_errors() is errors
            and numpy_printing() is printing
            and mark in now_cached
        ):
            return True
        return False

    return is_current


def _unknown(context: EncodedContext) -> bool:
    return False


is_current: Callable[[EncodedContext], bool] = _unknown
"""Tells whether `read_context()` would return this context, without a look at files and slow settings. To be called as
`context.is_current`: each look replaces it."""


def _place(cwd: str, settings: bytes) -> tuple[EncodedContext, Sources]:
    context = _context(cwd, list(sys.path), os.environ, settings)
    body = encode_context(context)
    key = os.fsdecode(context.folder), tuple(map(os.fsdecode, context.sys_path))
    sources = _places.get(key)
    if sources is None:
        if len(_places) > 8:
            _places.clear()
        sources = _places[key] = Sources(*key, elsewhere=True)
    return EncodedContext(serialize.digest(body), body), sources


def _slow_cwd() -> bytes:
    try:
        return os.getcwdb()  # its name may be too long for the buffer
    except FileNotFoundError:
        text = "the working directory of this process is gone, and its tasks run in it: os.chdir() to one that is"
        raise FileNotFoundError(errno.ENOENT, text) from None


def _context(cwd: str, path: list[str], environ: Mapping[str, str], settings: bytes) -> Context:
    entries = [os.path.join(cwd, entry) for entry in path if isinstance(entry, str)]  # "" means something here
    return Context(
        python_executable=os.fsencode(sys.executable or ""),
        python_version=platform.python_version(),
        cwd=os.fsencode(cwd),
        folder=os.fsencode(_folder(cwd)),
        sys_path=tuple([os.fsencode(entry) for entry in entries]),
        environ=environment_edits(AT_START, environ),
        settings=settings,
    )


def environment_edits(before: Mapping[str, str], now: Mapping[str, str]) -> Edits:
    """Return the variables that were set since `before`, and `None` for removed ones, by name."""
    return edits_between(sendable(before), sendable(now))


def _folder(cwd: str) -> str:
    """Return the folder of the user's own modules: that of the script, else the working directory.

    Else: in a notebook, and in a program that is installed, such as `python -m pytest`.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if isinstance(file, str) and "get_ipython" not in vars(sys.modules["__main__"]):
        beside = os.path.dirname(os.path.join(cwd, file))
        return cwd if is_installed(beside) else beside
    return cwd
