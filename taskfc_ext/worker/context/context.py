"""Execution context of attempts: working directory, module path and environment of the submission."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from taskfc_ext.drivers.environment import begin_with
from taskfc_ext.location import add_sources
from taskfc_ext.protocol.context import Edits, apply_edits, decode_context
from taskfc_ext.worker.context.elsewhere import PrivateFolder, path_here

_untyped_environ: Any = os.environ
_raw: dict[bytes, bytes] = _untyped_environ._data


class _Place(NamedTuple):
    cwd: str
    path: list[str]
    environ: dict[bytes, bytes]
    folder: str
    settings: bytes = b""


_Key = tuple[bytes | None, Edits]
"""A context's digest, and the environment of the session that it is entered from."""

_OWN: _Key = (None, ())


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
        self._places: dict[_Key, _Place] = {_OWN: self._own}
        self._place = self._own
        self._key: _Key = _OWN

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

    def enter(self, digest: bytes | None, body_of: Callable[[bytes], bytes], base: Edits = ()) -> bool:
        """Enter the context `digest`; return whether imports may find other modules there.

        Args:
            digest: `None` for this worker's own.
            body_of: returns the body under a digest.
            base: the variables of the submitting session that differ from this worker's own.

        Raises:
            FileNotFoundError: its working directory is gone.
            OSError: its working directory cannot be entered.
        """
        key = digest, base
        place = self._place if key == self._key else self._find(key, body_of)
        if _cwd() != place.cwd:
            self._change_folder(place.cwd)
        if sys.path != place.path:
            sys.path[:] = place.path
        if _raw != place.environ:
            _set_environment(place.environ)
        if place is self._place:
            return False
        if base != self._key[1]:
            begin_with(apply_edits(self._own.environ, base))
        before, self._place, self._key = self._place, place, key
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
        self._places = {_OWN: self._own}
        self._place = before._replace(path=list(sys.path))
        self._key = b"", self._key[1]  # no context has this digest: the next `enter` looks its place up again

    def _find(self, key: _Key, body_of: Callable[[bytes], bytes]) -> _Place:
        place = self._places.get(key)
        if place is None:
            if len(self._places) > 100:
                self._places = {_OWN: self._own}
            place = self._places[key] = self._place_of(key, body_of)
        return place

    def _place_of(self, key: _Key, body_of: Callable[[bytes], bytes]) -> _Place:
        digest, base = key
        environ = apply_edits(self._own.environ, base)
        if digest is None:
            return self._own._replace(environ=environ)
        context = decode_context(body_of(digest))
        path = [os.fsdecode(entry) for entry in context.sys_path]
        if self._private is not None:
            path = path_here(path)
        add_sources(path)
        path += [entry for entry in self._added if entry not in path]
        environ = apply_edits(environ, context.environ)
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
