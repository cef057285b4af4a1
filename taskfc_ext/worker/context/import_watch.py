"""Watch of imports: settings that a library changes at its import belong to the library, not to the task."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Protocol

from taskfc_ext.worker.context.import_hook import LoaderProxy
from taskfc_ext.worker.context.modules import UserLoader


class Listener(Protocol):
    """Receiver of import events, in the importing thread."""

    def before_import(self) -> Any:
        """Handle the start of a module; the return value is passed to the method that handles its end."""
        ...

    def after_import(self, before: Any) -> None:
        """Handle the end of a library's module, which may have raised."""
        ...

    def after_user_import(self, before: Any) -> None:
        """Handle the end of a user's module (one that `UserModules` loads and drops), which may have raised."""
        ...


class ImportWatch(MetaPathFinder):
    """Finder that notifies a listener of each module run, except for modules that a library imports.

    The modules themselves are found by the other finders.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._state = threading.local()

    def install(self) -> None:
        """Watch all imports from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return the spec that the other finders find, with a loader that notifies the listener."""
        if getattr(self._state, "is_inside", False):
            return None
        spec = self._find(fullname, path, target)
        loader = None if spec is None else spec.loader
        if spec is not None and loader is not None and hasattr(loader, "exec_module"):
            spec.loader = _WatchedLoader(loader, self)
        return spec

    def _find(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        self._state.is_inside = True  # some finders import modules themselves
        try:
            for finder in list(sys.meta_path):
                find: Any = getattr(finder, "find_spec", None)
                if finder is not self and find is not None and (spec := find(fullname, path, target)) is not None:
                    return spec  # type: ignore[no-any-return]
            return None
        finally:
            self._state.is_inside = False

    def run(self, loader: Loader, module: ModuleType) -> None:
        """Let `loader` run `module`, and notify the listener."""
        is_users = isinstance(loader, UserLoader)
        before = self._listener.before_import()
        self._state.is_inside = not is_users  # imports made by a library count as part of it
        try:
            loader.exec_module(module)
        finally:
            self._state.is_inside = False
            if is_users:
                self._listener.after_user_import(before)
            else:
                self._listener.after_import(before)


class _WatchedLoader(LoaderProxy):
    """Loader that lets the watch run the module."""

    def __init__(self, loader: Loader, watch: ImportWatch) -> None:
        super().__init__(loader)
        self._watch = watch

    def exec_module(self, module: ModuleType) -> None:
        self.restore_loader(module)
        self._watch.run(self.loader, module)
