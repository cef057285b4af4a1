"""Notice of imports: what a library sets when it is imported is its own, and no task's."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Protocol

from taskfc_ext.drivers.user_folder import is_installed


class Listener(Protocol):
    """Hears of imports, in the thread that makes them."""

    def before_import(self) -> Any:
        """A module that is installed is about to run; return anything."""
        ...

    def after_import(self, before: Any) -> None:
        """It has run, or raised."""
        ...

    def user_module_ran(self, before: Any) -> None:
        """A module that is the user's own has run."""
        ...


class ImportWatch(MetaPathFinder):
    """Finds nothing by itself; tells a listener when a module runs that no other module imports."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._state = threading.local()
        self._installed: dict[str, bool] = {}

    def install(self) -> None:
        """Watch all imports from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return what the other finders find, to be run under our eyes."""
        if getattr(self._state, "is_inside", False):
            return None
        spec = self._found(fullname, path, target)
        loader = None if spec is None else spec.loader
        if spec is not None and loader is not None and hasattr(loader, "exec_module"):
            spec.loader = _Watched(loader, self, self._is_installed(spec))
        return spec

    def _found(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        self._state.is_inside = True  # some finders import something to find something
        try:
            for finder in list(sys.meta_path):
                find: Any = getattr(finder, "find_spec", None)
                if finder is not self and find is not None and (spec := find(fullname, path, target)) is not None:
                    return spec  # type: ignore[no-any-return]
            return None
        finally:
            self._state.is_inside = False

    def _is_installed(self, spec: ModuleSpec) -> bool:
        if not spec.has_location or spec.origin is None:
            return True
        folder = os.path.dirname(spec.origin)
        known = self._installed.get(folder)
        if known is None:
            known = self._installed[folder] = is_installed(folder)
        return known

    def run(self, loader: Loader, module: ModuleType, is_ours: bool) -> None:
        """Let `loader` run `module`, and tell the listener."""
        before = self._listener.before_import()
        self._state.is_inside = is_ours
        try:
            loader.exec_module(module)
        finally:
            self._state.is_inside = False
            if is_ours:
                self._listener.after_import(before)
            else:
                self._listener.user_module_ran(before)


class _Watched(Loader):
    """Loads as the loader whose place it takes until the module runs."""

    def __init__(self, loader: Loader, watch: ImportWatch, is_installed: bool) -> None:
        self._loader = loader
        self._watch = watch
        self._is_installed = is_installed

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._watch.run(self._loader, module, self._is_installed)

    def __getattr__(self, name: str) -> Any:  # `is_package`, `get_source`, ... before it runs
        if name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)
