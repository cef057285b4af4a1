"""Being told that a module was imported for the first time, whoever did it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def when_imported(name: str, then: Callable[[], None]) -> None:
    """Call `then` when the top-level module `name` has been imported, in the thread that did; now if it was before."""
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Finder(name, then))


class _Finder(MetaPathFinder):
    """Finds one module, once."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _NotifyingLoader(spec.loader, self, self._then)
        return spec


class LoaderProxy(Loader):
    """Takes the place of a loader until the module runs.

    Attributes:
        loader: the one that loads the module.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def restore_loader(self, module: ModuleType) -> None:
        """Make the loader that of the module, which is about to run."""
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader

    def __getattr__(self, name: str) -> Any:  # `is_package`, `get_source`, ... before it runs
        if name == "loader":  # this object is not complete: it is being copied
            raise AttributeError(name)
        return getattr(self.loader, name)


class _NotifyingLoader(LoaderProxy):
    """Notifies a finder's owner when the module has run."""

    def __init__(self, loader: Loader, finder: _Finder, then: Callable[[], None]) -> None:
        super().__init__(loader)
        self._finder = finder
        self._then = then

    def exec_module(self, module: ModuleType) -> None:
        self.restore_loader(module)
        self.loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
            self._then()
