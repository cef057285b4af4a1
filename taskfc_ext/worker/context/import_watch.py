"""Notice of imports: what a library sets when it is imported is its own, and no task's."""

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
    """Is notified of imports, in the thread that makes them."""

    def before_import(self) -> Any:
        """Take note that a module is about to run; what is returned is passed on when it has run."""
        ...

    def after_import(self, before: Any) -> None:
        """Take note that a module of a library has run, or raised."""
        ...

    def after_user_import(self, before: Any) -> None:
        """Take note that a module of the user's own has run, or raised: one that `UserModules` loads and drops."""
        ...


class ImportWatch(MetaPathFinder):
    """Finds nothing by itself; notifies a listener of each module that runs, unless a library's import runs it."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._state = threading.local()

    def install(self) -> None:
        """Watch all imports from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return what the other finders find, to be run under our eyes."""
        if getattr(self._state, "is_inside", False):
            return None
        spec = self._find(fullname, path, target)
        loader = None if spec is None else spec.loader
        if spec is not None and loader is not None and hasattr(loader, "exec_module"):
            spec.loader = _WatchedLoader(loader, self)
        return spec

    def _find(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        self._state.is_inside = True  # some finders import something to find something
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
        self._state.is_inside = not is_users  # the imports of a library are part of its own
        try:
            loader.exec_module(module)
        finally:
            self._state.is_inside = False
            if is_users:
                self._listener.after_user_import(before)
            else:
                self._listener.after_import(before)


class _WatchedLoader(LoaderProxy):
    """Has a watch run the module."""

    def __init__(self, loader: Loader, watch: ImportWatch) -> None:
        super().__init__(loader)
        self._watch = watch

    def exec_module(self, module: ModuleType) -> None:
        self.restore_loader(module)
        self._watch.run(self.loader, module)
