"""Execution context of attempts: working directory, module path and environment of the submission."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from taskfc_ext.location import add_sources
from taskfc_ext.protocol.context import decode_context
from taskfc_ext.worker.context.elsewhere import PrivateFolder, path_here

_untyped_environ: Any = os.environ
_raw: dict[bytes, bytes] = _untyped_environ._data


class _Place(NamedTuple):
    cwd: str
    path: list[str]
    environ: dict[bytes, bytes]
    folder: str
    settings: bytes = b""


class ExecutionContext:
    """The context that this process is in. A task without a context gets the worker's own.

    Changes by a task (`os.chdir`, `sys.path`, `os.environ`) end with its attempt, also in the persistent namespace:
    the next task may belong to another client.

    Args:
        private_folder: replaces a working directory that is not here, if this machine may be another one than the
            client's. Its module path is then adapted, too.
    """

    def __init__(self, private_folder: PrivateFolder | None = None) -> None:
        self._private = private_folder
        self._own = _Place(_cwd(), list(sys.path), dict(_raw), "")
        self._added: list[str] = []
        self._places: dict[bytes | None, _Place] = {None: self._own}
        self._place = self._own
        self._digest: bytes | None = None

    @property
    def folder(self) -> str:
        """The folder of the user's modules."""
        return self._place.folder

    @property
    def path(self) -> list[str]:
        """The module path."""
        return self._place.path

    @property
    def settings(self) -> bytes:
        """The packed settings of the context; the same object for the same context."""
        return self._place.settings

    def enter(self, digest: bytes | None, body_of: Callable[[bytes], bytes]) -> bool:
        """Enter the context `digest`; return whether imports may find other modules there.

        Raises:
            FileNotFoundError: its working directory is gone.
            OSError: its working directory cannot be entered.
        """
        place = self._place if digest == self._digest else self._find(digest, body_of)
        if _cwd() != place.cwd:
            self._change_folder(place.cwd)
        if sys.path != place.path:
            sys.path[:] = place.path
        if _raw != place.environ:
            _set_environment(place.environ)
        if place is self._place:
            return False
        before, self._place, self._digest = self._place, place, digest
        return before.path != place.path or before.folder != place.folder

    def keep_changes(self) -> None:
        """Keep changes since `enter` for all contexts: the environment, and entries added to the module path.

        The environment of a submission still takes precedence.
        """
        before, environ = self._place, dict(self._own.environ)
        for name in before.environ.keys() - _raw.keys():
            environ.pop(name, None)
        environ.update({name: value for name, value in _raw.items() if before.environ.get(name) != value})
        added = [entry for entry in sys.path if entry not in before.path]
        self._added += added
        self._own = self._own._replace(path=[*self._own.path, *added], environ=environ)
        self._places = {None: self._own}
        self._place = before._replace(path=list(sys.path))
        self._digest = b""  # no context has this digest: the next `enter` looks its place up again

    def _find(self, digest: bytes | None, body_of: Callable[[bytes], bytes]) -> _Place:
        place = self._places.get(digest)
        if place is None:
            assert digest is not None
            if len(self._places) > 100:
                self._places = {None: self._own}
            place = self._places[digest] = self._place_of(body_of(digest))
        return place

    def _place_of(self, body: bytes) -> _Place:
        context = decode_context(body)
        path = [os.fsdecode(entry) for entry in context.sys_path]
        if self._private is not None:
            path = path_here(path)
        add_sources(path)
        path += [entry for entry in self._added if entry not in path]
        environ = dict(self._own.environ)
        for name, value in context.environ:
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value
        return _Place(os.fsdecode(context.cwd), path, environ, os.fsdecode(context.folder), context.settings)

    def _change_folder(self, folder: str) -> None:
        try:
            os.chdir(folder)
        except FileNotFoundError:
            if self._private is not None:
                self._private.enter(folder)
                return
            text = (
                "the working directory of this task is gone; create it again and retry the task, or submit "
                "the task from another one"
            )
            raise FileNotFoundError(errno.ENOENT, text, folder) from None


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:  # a task has removed it
        return ""


def _set_environment(environ: dict[bytes, bytes]) -> None:
    """Make `os.environ`, which subprocesses and C libraries share, equal to `environ`."""
    for name in [name for name in _raw if name not in environ]:
        del os.environb[name]
    for name, value in environ.items():
        if _raw.get(name) != value:
            os.environb[name] = value
